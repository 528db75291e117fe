# SPDX-License-Identifier: BSD-2-Clause
"""echo-server: calls, streams, cancels, and readers that do not read."""

import os

from harness import equal, run_tests, test, until
from wire import (MAX_MESSAGE, cancel, echo, end, item, item_frames, request,
                  stream_request, varint)

# More items than the sockets' buffers and the server's queue can hold: of a
# TCP connection, and of one over a unix socket.
LONG_STREAM = 1000000
UNIX_STREAM = 120000

# The server's memory may grow by this for a reader that does not read: the
# request, read and decoded, and 256 KiB of items. It is less than the items of
# a long stream are. A sanitizer keeps several bytes for each of the program's.
SANITIZED = "-fsanitize" in os.environ.get("TEST_CFLAGS", "")
MEMORY_OF_A_STREAM = (8 << 20) * (5 if SANITIZED else 1)


def connect(bench, address=None):
    """A server and a connection to it; a unix socket has small buffers."""
    server = bench.serve("echo-server",
                         address or "unix:" + bench.path("socket"))
    return server, bench.connect(server.address)


def begin_long_stream(connection, call=1, length=LONG_STREAM):
    """Starts a stream and takes its first item; then the server is waiting
    for room, or will be once its buffers are full."""
    connection.send(stream_request(call, length * b"a"))
    equal(connection.response(), item(call, b"a", 0))


def stops_early(connection, call):
    """Reads the rest of a long stream, whose first item has been read, up to
    the cancel. Then its id can be used again."""
    found = 1
    for response in iter(connection.response, cancel(call)):
        equal(response, item(call, b"a", found))
        found += 1
    assert found < LONG_STREAM / 2, found
    connection.send(request(call, b"again"))
    equal(connection.response(), echo(call, b"again"))


def serves_others(bench, server):
    """Calls on a connection of their own are answered. So the server has come
    back to its loop."""
    other = bench.connect(server.address)
    for call in range(20):
        other.send(request(call, b"hello"))
        equal(other.response(), echo(call, b"hello"))
    other.close()


@test("a unary call is answered with its text and time stamp")
def unary(bench):
    _, connection = connect(bench, "tcp:127.0.0.1:0")
    connection.send(request(1, b"hello", nanotime=7))
    equal(connection.response(), echo(1, b"hello", nanotime=7))
    connection.send(request(0, b""), request(2 ** 64 - 1, b"x"))
    equal(connection.responses(2), [echo(0, b""), echo(2 ** 64 - 1, b"x")])


@test("an unknown response behaviour is a unary call")
def unknown_behavior(bench):
    _, connection = connect(bench)
    connection.send(request(9, b"abc", behavior=7))
    equal(connection.response(), echo(9, b"abc"))


@test("a streaming call is answered with an item a byte, and an end")
def stream(bench):
    _, connection = connect(bench)
    connection.send(stream_request(8, b"abc", nanotime=3))
    equal(connection.responses(4), [
        item(8, b"a", 0, nanotime=3), item(8, b"b", 1, nanotime=3),
        item(8, b"c", 2, nanotime=3), end(8)])


@test("a streaming call with an empty text has only an end")
def empty_stream(bench):
    _, connection = connect(bench)
    connection.send(stream_request(7, b""))
    equal(connection.response(), end(7))


@test("the items of bytes from 0x80 on are characters in UTF-8")
def high_bytes(bench):
    _, connection = connect(bench)
    text = bytes(range(1, 256))
    connection.send(stream_request(1, text))
    equal(connection.responses(256),
          [item(1, chr(byte).encode(), sequence)
           for sequence, byte in enumerate(text)] + [end(1)])


@test("a text ends at a byte of 0")
def zero_byte(bench):
    _, connection = connect(bench)
    connection.send(request(1, b"ab\0cd"), stream_request(2, b"a\0b"))
    equal(connection.responses(3),
          [echo(1, b"ab"), item(2, b"a", 0), end(2)])


@test("a call without a body is answered with cancel")
def no_body(bench):
    _, connection = connect(bench)
    connection.send(request(2), request(3, behavior=1), request(4, b"x"))
    equal(connection.responses(3), [cancel(2), cancel(3), echo(4, b"x")])


@test("codes other than 0 start no call and get no answer")
def codes_start_nothing(bench):
    _, connection = connect(bench)
    for code in (1, 2, 3, 255, 2 ** 32 - 1):
        connection.send(request(5, code=code), request(6, b"x", code=code))
    connection.send(request(7, b"last"))
    equal(connection.response(), echo(7, b"last"))


@test("a cancel stops a stream and is answered with cancel")
def cancel_stream(bench):
    _, connection = connect(bench)
    begin_long_stream(connection)
    connection.send(request(1, code=1))
    stops_early(connection, 1)


@test("codes above 2 stop a stream as a cancel does")
def other_codes(bench):
    server, _ = connect(bench)
    for code in (3, 2 ** 32 - 1):
        connection = bench.connect(server.address)
        begin_long_stream(connection)
        connection.send(request(1, code=code))
        stops_early(connection, 1)


@test("code 2 from the caller is ignored, also during the stream")
def end_from_caller(bench):
    _, connection = connect(bench)
    begin_long_stream(connection, length=UNIX_STREAM)
    connection.send(request(1, code=2), request(1, b"x", code=2))
    expected = item_frames(1, b"a", 1, UNIX_STREAM) + end(1).encode()
    equal(connection.bytes(len(expected)), expected)


@test("a start with the id of a running stream: one cancel ends both")
def id_in_flight(bench):
    _, connection = connect(bench)
    begin_long_stream(connection)
    connection.send(request(1, b"x"), request(2, b"y"))
    stopped = [response for response in iter(connection.response,
                                             echo(2, b"y"))
               if response.kind == 0]
    equal(stopped, [cancel(1)])


@test("3000 calls at once are answered in order, also after a half-close")
def pipelined(bench):
    _, connection = connect(bench, "tcp:127.0.0.1:0")
    connection.send(*[request(call, b"x%d" % call) for call in range(3000)])
    connection.end()
    equal(connection.responses(),
          [echo(call, b"x%d" % call) for call in range(3000)])


@test("streams that run at a half-close run to their end")
def half_close(bench):
    _, connection = connect(bench)
    begin_long_stream(connection, length=UNIX_STREAM)
    connection.send(stream_request(2, b"b"))
    connection.end()
    responses = connection.responses()
    equal([one for one in responses if one.call == 1],
          [item(1, b"a", number) for number in range(1, UNIX_STREAM)] +
          [end(1)])
    equal([one for one in responses if one.call == 2],
          [item(2, b"b", 0), end(2)])


@test("messages up to 4 MiB are answered")
def large(bench):
    _, connection = connect(bench, "tcp:127.0.0.1:0")
    overhead = len(request(1, 4000000 * b"a")) - len(varint(4000000)) - 4000000
    for length in (32767, 32768, 4000000, MAX_MESSAGE - overhead):
        connection.send(request(1, length * b"a"))
        equal(connection.response(), echo(1, length * b"a"))


@test("several large answers that are not read at once")
def large_and_late(bench):
    _, connection = connect(bench, "tcp:127.0.0.1:0")
    for call in range(4):
        connection.send(request(call, 3000000 * bytes((97 + call,))))
    connection.end()
    equal(connection.responses(),
          [echo(call, 3000000 * bytes((97 + call,))) for call in range(4)])


@test("a reader that does not read costs little memory, and nobody else time")
def slow_reader(bench):
    server, connection = connect(bench, "tcp:127.0.0.1:0")
    serves_others(bench, server)
    before = server.resident()
    begin_long_stream(connection)
    serves_others(bench, server)
    # The reader starts and stops: the server must not run ahead of it.
    for first in range(1, 100001, 20000):
        expected = item_frames(1, b"a", first, first + 20000)
        equal(connection.bytes(len(expected)), expected)
        serves_others(bench, server)
        grown = server.resident() - before
        assert grown < MEMORY_OF_A_STREAM, grown


@test("a reader that comes late gets all items, in order")
def late_reader(bench):
    server, connection = connect(bench)
    begin_long_stream(connection, length=300000)
    serves_others(bench, server)
    expected = item_frames(1, b"a", 1, 300000) + end(1).encode()
    equal(connection.bytes(len(expected)), expected)


@test("streams of one connection take turns")
def turns(bench):
    _, connection = connect(bench)
    length = 400000
    begin_long_stream(connection, length=length)
    connection.send(stream_request(2, 1000 * b"b"))
    connection.end()
    calls = [response.call for response in connection.responses()]
    equal(len(calls), length - 1 + 1000 + 2)
    last = len(calls) - 1 - calls[::-1].index(2)
    assert last < length / 2, last


def ends_of(connection, calls):
    """Cancels the call 1, and reads to the end. Returns which of the calls
    were cancelled, and which have ended."""
    connection.send(request(1, code=1))
    connection.end()
    ends = [response for response in connection.responses()
            if response.kind == 0 and response.call in calls]
    return ([one.call for one in ends if one.code == 1],
            [one.call for one in ends if one.code == 2])


@test("1024 streams wait at most; further ones are refused")
def too_many(bench):
    server, connection = connect(bench)
    begin_long_stream(connection)
    serves_others(bench, server)  # and now there is no more room
    calls = range(2, 1125)
    connection.send(*[stream_request(call, 10 * b"b") for call in calls])
    refused, ended = ends_of(connection, calls)
    equal(refused, list(range(1025, 1125)))
    equal(ended, list(range(2, 1025)))


@test("streams that wait come to 16 MiB at most; further ones are refused")
def too_much(bench):
    server, connection = connect(bench)
    begin_long_stream(connection)
    serves_others(bench, server)
    calls = range(2, 9)
    connection.send(*[stream_request(call, 3000000 * b"b") for call in calls])
    connection.send(*[request(call, code=1) for call in range(2, 7)])
    refused, ended = ends_of(connection, calls)
    equal(sorted(refused), list(calls))
    equal(refused[:2], [7, 8])
    equal(ended, [])


@test("streams whose reader goes away are forgotten")
def gone(bench):
    server, connection = connect(bench, "tcp:127.0.0.1:0")
    serves_others(bench, server)
    before = server.descriptors()
    for _ in range(10):
        begin_long_stream(connection)
        connection.reset()
        connection = bench.connect(server.address)
    until(lambda: server.descriptors() <= before)
    serves_others(bench, server)


MALFORMED = (
    ("a frame that is cut short", b"\x05\x08"),
    ("a byte count that never ends", 11 * b"\x80"),
    ("a byte count above 4 MiB", varint(MAX_MESSAGE + 1)),
    ("a byte count above 64 bits", 9 * b"\xff" + b"\x7f"),
    ("a message that is no protobuf", b"\x02\x0f\xff"),
    ("a field that is longer than its message", b"\x02\x1a\x7f"))


def add_test_of_malformed(name, data):
    @test(f"{name} closes its connection only")
    def _(bench):
        server, connection = connect(bench, "tcp:127.0.0.1:0")
        other = bench.connect(server.address)
        other.send(request(1, b"before"))
        equal(other.response(), echo(1, b"before"))
        connection.send(request(1, b"x"))
        equal(connection.response(), echo(1, b"x"))
        connection.send(data)
        if len(data) == 2:
            connection.end()
        assert connection.is_closed()
        other.send(request(2, b"after"))
        equal(other.response(), echo(2, b"after"))


for _name, _data in MALFORMED:
    add_test_of_malformed(_name, _data)

run_tests()
