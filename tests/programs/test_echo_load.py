# SPDX-License-Identifier: BSD-2-Clause
"""echo-load: against echo-server, and against servers that are wrong."""

import re
import signal
import socket

from harness import equal, run_tests, test
from wire import Connection, Response, cancel, decode, echo, end, item

LATENCIES = r"p50 \d+\.\d us, p99 \d+\.\d us, p99\.9 \d+\.\d us\n"
UNARY = r"[1-9]\d* calls/s, " + LATENCIES
STREAM = r"[1-9]\d* calls/s, [1-9]\d* items/s, " + LATENCIES


def matches(text, pattern):
    assert re.fullmatch(pattern, text), text


def summary(mode, connections, in_flight, size):
    rates = STREAM if mode == "stream" and size > 0 else UNARY
    if mode == "stream" and size == 0:
        rates = UNARY.replace("calls/s, ", "calls/s, 0 items/s, ", 1)
    return (f"{mode}, {connections} x {in_flight} calls in flight, "
            f"{size} bytes, all answers right: " + rates)


@test("unary and stream, over TCP and a unix socket: all answers are right")
def modes(bench):
    server = bench.serve("echo-server", "tcp:127.0.0.1:0",
                         "unix:@" + bench.path("socket"))
    loads = [(mode, bench.start("echo-load", "-a", address, "-t", "1", "-m",
                                mode, "-c", "2", "-w", "4", "-s", "100"))
             for address in server.addresses for mode in ("unary", "stream")]
    for mode, load in loads:
        matches(load.output.read().decode(), summary(mode, 2, 4, 100))
        load.wait()


@test("--frame: the same over the service")
def frames(bench):
    server = bench.serve("echo-server", "tcp:127.0.0.1:0",
                         "unix:@" + bench.path("socket"), options=["--frame"])
    loads = [(mode, size,
              bench.start("echo-load", "--frame", "-a", address, "-t", "1",
                          "-m", mode, "-c", "2", "-w", "4", "-s", str(size)))
             for address in server.addresses
             for mode, size in (("unary", 100), ("stream", 100),
                                ("unary", 1000000), ("stream", 0))]
    for mode, size, load in loads:
        matches(load.output.read().decode(), summary(mode, 2, 4, size))
        load.wait()


@test("--frame on one side only: status 1")
def one_side(bench):
    for options, arguments in ((["--frame"], []), ([], ["--frame"])):
        server = bench.serve("echo-server", options=options)
        load = bench.start("echo-load", *arguments, "-a", server.address)
        load.wait(1)
        equal(load.output.read(), b"")
        assert load.errors().startswith(f"echo-load: {server.address}: ")


@test("echo-server -v: how many calls there were")
def counted(bench):
    server = bench.serve("echo-server", options=["-v"])
    bench.run("echo-load", "-a", server.address, "-t", "1")
    server.signal(signal.SIGTERM)
    server.wait()
    errors = server.errors()
    assert re.fullmatch(r"echo-server: [1-9]\d* calls, of which 0 failed: 0 were "
                        r"refused, 0 cancelled, 0 out of time\n", errors), errors


@test("empty and large texts, and many connections")
def sizes(bench):
    server = bench.serve("echo-server")
    loads = [(mode, *numbers,
              bench.start("echo-load", "-a", server.address, "-t", "1",
                          "-m", mode, "-c", str(numbers[0]),
                          "-w", str(numbers[1]), "-s", str(numbers[2])))
             for mode, *numbers in (("unary", 1, 4, 0), ("stream", 1, 4, 0),
                                    ("unary", 1, 2, 4000000),
                                    ("stream", 1, 2, 10000),
                                    ("unary", 100, 1, 8))]
    for *what, load in loads:
        matches(load.output.read().decode(), summary(*what))
        load.wait()


@test("by default 64 calls of 8 bytes on a connection; -v: a line a second")
def verbose(bench):
    server = bench.serve("echo-server")
    output, _ = bench.run("echo-load", "-a", server.address, "-t", "1", "-v")
    matches(output, f"   1 s: {UNARY}" +
            summary("unary", 1, 64, 8))


@test("a server that drains in the midst of it: status 1")
def drained(bench):
    server = bench.serve("echo-server")
    load = bench.start("echo-load", "-a", server.address, "-t", "1000", "-v")
    matches(load.line() + "\n", "   1 s: " + UNARY)
    server.signal(signal.SIGTERM)
    load.wait(1)
    # A call that comes while the server drains is answered with a cancel; over
    # messages of its own it can't say why.
    found = load.errors()
    assert found in (
        f"echo-load: {server.address}: CANCELLED\n",
        f"echo-load: {server.address}: UNAVAILABLE: the connection has ended\n",
    ), found
    server.wait()


@test("standard output that takes nothing: status 1")
def full_output(bench):
    server = bench.serve("echo-server")
    with open("/dev/full", "wb") as full:
        load = bench.start("echo-load", "-a", server.address, "-t", "1",
                           stdout=full)
    load.wait(1)
    equal(load.errors(),
          "echo-load: standard output: No space left on device\n")


def fails(bench, mode, answer, sentence):
    """Plays a server that gives answer(id, nanotime) to one call of two
    bytes; None: closes the connection instead."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"tcp:127.0.0.1:{listener.getsockname()[1]}"
        load = bench.start("echo-load", "-a", address, "-m", mode,
                           "-w", "1", "-s", "2")
        connection = Connection(listener.accept()[0])
    bench.connections.append(connection)
    call = decode(connection.payload())
    body = decode(call[3])
    equal(body[1], b"ab")
    connection.send(*answer(call.get(1, 0), body[2]))
    if not answer(0, 0):
        connection.end()
    load.wait(1)
    equal(load.output.read(), b"")
    equal(load.errors(), f"echo-load: {address}: {sentence}\n")


def encoded(*responses):
    return [response.encode() for response in responses]


WRONG = "a wrong answer has come"
NO_ANSWER = "INTERNAL: the server has ended the call without answer"
CANCELLED = "CANCELLED"

ANSWERS = (
    ("another text", "unary", WRONG,
     lambda call, time: encoded(echo(call, b"ba", time))),
    ("another time stamp", "unary", WRONG,
     lambda call, time: encoded(echo(call, b"ab", time + 1))),
    ("an answer without a body", "unary", WRONG,
     lambda call, time: encoded(Response(call))),
    ("an end for a unary call", "unary", NO_ANSWER,
     lambda call, time: encoded(end(call))),
    ("a cancel", "unary", CANCELLED,
     lambda call, time: encoded(cancel(call))),
    ("a code above 2", "unary", CANCELLED,
     lambda call, time: encoded(Response(call, code=200))),
    ("an item for a unary call", "unary", WRONG,
     lambda call, time: encoded(item(call, b"a", 0, time))),
    ("an echo for a streaming call", "stream", WRONG,
     lambda call, time: encoded(echo(call, b"ab", time))),
    ("an item with another number", "stream", WRONG,
     lambda call, time: encoded(item(call, b"a", 1, time))),
    ("an item with another text", "stream", WRONG,
     lambda call, time: encoded(item(call, b"b", 0, time))),
    ("an item with another time stamp", "stream", WRONG,
     lambda call, time: encoded(item(call, b"a", 0, time + 1))),
    ("too few items", "stream", WRONG,
     lambda call, time: encoded(item(call, b"a", 0, time), end(call))),
    ("too many items", "stream", WRONG,
     lambda call, time: encoded(item(call, b"a", 0, time),
                                item(call, b"b", 1, time),
                                item(call, b"", 2, time))),
    ("a cancelled stream", "stream", CANCELLED,
     lambda call, time: encoded(item(call, b"a", 0, time), cancel(call))),
    ("a closed connection", "unary",
     "UNAVAILABLE: the connection has ended",
     lambda call, time: []))


def add_test_of_wrong(name, mode, sentence, answer):
    @test(f"{name}: status 1, and a sentence")
    def _(bench):
        fails(bench, mode, answer, sentence)


for _answer in ANSWERS:
    add_test_of_wrong(*_answer)


@test("what is no frame: status 1, and a sentence")
def malformed(bench):
    fails(bench, "unary", lambda call, time: [11 * b"\xff"],
          "UNAVAILABLE: the input is malformed")


run_tests()
