# SPDX-License-Identifier: BSD-2-Clause
"""echo-server: the end, by SIGTERM or SIGINT, and what is finished before."""

import os
import signal

import wire
from harness import run_tests, test, equal, until
from wire import cancel, echo, end, item, item_frames, request, stream_request

# Items of a stream that does not fit into the buffers of a unix socket.
LENGTH = 120000


def begin_stream(bench):
    """A server at a unix socket and a TCP port, with a stream that runs."""
    server = bench.serve("echo-server", "unix:" + bench.path("socket"),
                         "tcp:127.0.0.1:0")
    connection = bench.connect(server.address)
    connection.send(stream_request(1, LENGTH * b"a"))
    equal(connection.response(), item(1, b"a", 0))
    return server, connection


def refuses_connections(address):
    try:
        wire.dial(address).close()
    except OSError:
        return True
    return False


def drain(bench, server, number=signal.SIGTERM):
    """Sends the signal, and waits until the drain has begun."""
    server.signal(number)
    until(lambda: not os.path.exists(bench.path("socket")))
    until(lambda: refuses_connections(server.addresses[1]))
    assert server.is_running()


def add_test_of_idle(number):
    @test(f"{number.name} ends a server without connections")
    def _(bench):
        server = bench.serve("echo-server")
        server.signal(number)
        server.wait()

    @test(f"{number.name} closes a connection without streams in good order")
    def _(bench):
        server = bench.serve("echo-server")
        connection = bench.connect(server.address)
        connection.send(request(1, b"a"))
        equal(connection.response(), echo(1, b"a"))
        server.signal(number)
        equal(connection.response(), None)
        connection.close()
        server.wait()


def add_test_of_second(first, second):
    @test(f"a second signal ends it at once: {first.name}, {second.name}")
    def _(bench):
        server, _ = begin_stream(bench)
        drain(bench, server, first)
        server.signal(second)
        server.wait(-second)


for _number in (signal.SIGTERM, signal.SIGINT):
    add_test_of_idle(_number)
    add_test_of_second(_number, _number)
add_test_of_second(signal.SIGTERM, signal.SIGINT)
add_test_of_second(signal.SIGINT, signal.SIGTERM)


@test("a drain lets streams run to their end")
def streams(bench):
    server, connection = begin_stream(bench)
    drain(bench, server)
    expected = item_frames(1, b"a", 1, LENGTH) + end(1).encode()
    equal(connection.bytes(len(expected)), expected)
    equal(connection.response(), None)
    connection.close()
    server.wait()


@test("during a drain further calls are answered with cancel")
def further_calls(bench):
    server, connection = begin_stream(bench)
    drain(bench, server)
    connection.send(request(2, b"x"), stream_request(3, b"x"))
    responses = connection.responses()
    equal([one for one in responses if one.kind == 0],
          [cancel(2), cancel(3), end(1)])
    equal(len(responses), LENGTH - 1 + 3)


@test("a stream that is cancelled during a drain ends the connection")
def cancelled(bench):
    server, connection = begin_stream(bench)
    drain(bench, server)
    connection.send(request(1, code=1))
    responses = connection.responses()
    equal(responses[-1], cancel(1))
    assert len(responses) < LENGTH, len(responses)
    connection.close()
    server.wait()


@test("a drain closes the connections that have nothing to finish")
def idle_beside(bench):
    server, _ = begin_stream(bench)
    idle = bench.connect(server.addresses[1])
    idle.send(request(1, b"a"))
    equal(idle.response(), echo(1, b"a"))
    drain(bench, server)
    equal(idle.response(), None)
    assert server.is_running()


@test("answers that are queued at a drain still arrive")
def queued(bench):
    server = bench.serve("echo-server", "unix:" + bench.path("socket"),
                         "tcp:127.0.0.1:0")
    connection = bench.connect(server.address)
    text = 4000000 * b"a"
    connection.send(request(1, text))
    # The first byte of the answer is there; the most of it can't be.
    first = connection.bytes(1)
    drain(bench, server)
    expected = echo(1, text).encode()
    equal(first + connection.bytes(len(expected) - 1), expected)
    equal(connection.response(), None)
    connection.close()
    server.wait()


run_tests()
