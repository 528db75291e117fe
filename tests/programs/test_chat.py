# SPDX-License-Identifier: BSD-2-Clause
"""chat-server and chat: what one says goes to all."""

import os
import re
import signal
import subprocess
import tempfile

from harness import equal, run_tests, test, until
from wire import bytes_field, decode, frame

NAME, TEXT = 1, 2

RULE = "say your name, of 1 to 32 bytes, once and first of all"


def chat(bench, server, name, **others):
    """A client that is in the room: it has been told of itself."""
    others.setdefault("stdin", subprocess.PIPE)
    client = bench.start("chat", "-a", server.address, "-n", name, **others)
    if client.output is not None:
        equal(client.line(), f"* {name} has come")
    return client


def leave(client):
    """The end of the client's input, and with it of the client."""
    client.input.close()
    client.wait()


def file_with(lines):
    file = tempfile.TemporaryFile()
    file.write(b"".join(line.encode() + b"\n" for line in lines))
    file.seek(0)
    return file


def say(kind, text):
    """A frame with a chat.ToServer."""
    return frame(bytes_field(kind, text))


def hear(connection):
    """The name and the text in the next chat.ToClient, or None."""
    payload = connection.payload()
    if payload is None:
        return None
    fields = decode(payload)
    return tuple(fields.get(one, b"").decode() for one in (NAME, TEXT))


@test("three clients through pipes: all read the same in the same order")
def broadcast(bench):
    server = bench.serve("chat-server")
    ann = chat(bench, server, "ann")
    bob = chat(bench, server, "bob")
    eve = chat(bench, server, "eve")
    equal([ann.line(), ann.line()], ["* bob has come", "* eve has come"])
    equal(bob.line(), "* eve has come")
    for client, name in ((ann, "ann"), (eve, "eve"), (bob, "bob")):
        client.say(f"hello from {name}")
        for reader in (ann, bob, eve):
            equal(reader.line(), f"{name}: hello from {name}")
    leave(eve)
    leave(bob)
    equal([ann.line(), ann.line()], ["* eve has left", "* bob has left"])
    leave(ann)


@test("at the end of its input a client sends what is left, and ends well")
def end_of_input(bench):
    server = bench.serve("chat-server")
    ann = chat(bench, server, "ann")
    bob = chat(bench, server, "bob")
    ann.line()
    bob.input.write(b"one\nno line feed")
    leave(bob)
    equal([ann.line() for _ in range(3)],
          ["bob: one", "bob: no line feed", "* bob has left"])
    leave(ann)


@test("all lines of a file arrive")
def file_input(bench):
    # They are less than what the server queues for a member, so that a busy
    # machine makes nobody lose any.
    lines = [f"line {number}" for number in range(20000)]
    server = bench.serve("chat-server")
    ann = chat(bench, server, "ann")
    with file_with(lines) as file:
        chat(bench, server, "cat", stdin=file, stdout=subprocess.DEVNULL)
    equal(ann.line(), "* cat has come")
    equal([ann.line() for _ in lines], [f"cat: {line}" for line in lines])
    equal(ann.line(), "* cat has left")
    leave(ann)


@test("a client without any input comes and goes")
def no_input(bench):
    server = bench.serve("chat-server")
    ann = chat(bench, server, "ann")
    chat(bench, server, "nul", stdin=subprocess.DEVNULL,
         stdout=subprocess.DEVNULL)
    equal([ann.line(), ann.line()], ["* nul has come", "* nul has left"])
    leave(ann)


@test("lines of more than 1024 bytes are sent in parts")
def long_line(bench):
    server = bench.serve("chat-server")
    ann = chat(bench, server, "ann")
    ann.say(3000 * "y")
    equal([len(ann.line()) - len("ann: ") for _ in range(3)],
          [1024, 1024, 952])
    leave(ann)


@test("control characters are shown as dots")
def control_characters(bench):
    server = bench.serve("chat-server")
    ann = chat(bench, server, "ann")
    ann.say("\x1b[31m \x7f \x9b \t \u00a0 \u00e4 \u20ac")
    equal(ann.line(), "ann: .[31m . . . \u00a0 \u00e4 \u20ac")
    leave(ann)


@test("without -n the name is that of USER")
def user(bench):
    server = bench.serve("chat-server")
    client = bench.start("chat", "-a", server.address, stdin=subprocess.PIPE,
                         environment={**os.environ, "USER": "zoe"})
    equal(client.line(), "* zoe has come")
    leave(client)


@test("a name that is too long, or empty: the server's reason, and status 1")
def bad_names(bench):
    server = bench.serve("chat-server")
    for name in ("", 33 * "x"):
        output, errors = bench.run("chat", "-a", server.address, "-n", name,
                                   stdin=subprocess.PIPE, status=1)
        equal(output, f"* {RULE}\n")
        equal(errors, f"chat: {server.address}: "
              "the server has closed the connection\n")


@test("input that cannot be read: status 1")
def unreadable(bench):
    server = bench.serve("chat-server")
    directory = os.open("/", os.O_RDONLY)
    try:
        _, errors = bench.run("chat", "-a", server.address, stdin=directory,
                              status=1)
    finally:
        os.close(directory)
    equal(errors, "chat: standard input: Is a directory\n")


@test("a server that drains closes its clients' connections: status 1")
def drain(bench):
    server = bench.serve("chat-server")
    ann = chat(bench, server, "ann")
    server.signal(signal.SIGTERM)
    ann.wait(1)
    equal(ann.errors(), f"chat: {server.address}: "
          "the server has closed the connection\n")
    server.wait()


@test("a client that is killed has left")
def killed(bench):
    server = bench.serve("chat-server")
    ann = chat(bench, server, "ann")
    bob = chat(bench, server, "bob")
    ann.line()
    bob.signal(signal.SIGKILL)
    bob.wait(-signal.SIGKILL)
    equal(ann.line(), "* bob has left")
    leave(ann)


@test("a name comes once, first of all, and has 1 to 32 bytes")
def rules(bench):
    server = bench.serve("chat-server")
    for frames in ([say(TEXT, b"hello")], [say(NAME, b"")],
                   [say(NAME, 33 * b"x")], [frame(b"")]):
        connection = bench.connect(server.address)
        connection.send(*frames)
        equal(hear(connection), ("", RULE))
        equal(hear(connection), None)
    connection = bench.connect(server.address)
    name = 32 * "x"
    connection.send(say(NAME, name.encode()))
    equal(hear(connection), ("", f"{name} has come"))
    connection.send(say(TEXT, b"hello"), say(NAME, b"other"))
    equal([hear(connection) for _ in range(3)],
          [(name, "hello"), ("", RULE), None])


@test("a message has at most 4096 bytes; a longer one ends its connection")
def large(bench):
    server = bench.serve("chat-server")
    ann = chat(bench, server, "ann")
    connection = bench.connect(server.address)
    connection.send(say(NAME, b"bob"))
    equal(hear(connection), ("", "bob has come"))
    overhead = len(bytes_field(TEXT, 4000 * b"y")) - 4000
    connection.send(say(TEXT, (4096 - overhead) * b"y"))
    equal(hear(connection), ("bob", (4096 - overhead) * "y"))
    connection.send(say(TEXT, (4097 - overhead) * b"y"))
    equal(hear(connection), None)
    equal(ann.line(), "* bob has come")
    equal(len(ann.line()), len("bob: ") + 4096 - overhead)
    equal(ann.line(), "* bob has left")
    leave(ann)


def flood(writer, reader, count):
    """Says `count` lines of 900 bytes, no more at a time than fit into a
    pipe, until the reader has printed them. So it is one that reads at once,
    however busy the machine is."""
    text = 890 * "z"
    for first in range(0, count, 50):
        lines = [f"{number} {text}" for number in range(first, first + 50)]
        writer.say("\n".join(lines))
        equal([reader.line() for _ in lines],
              [f"fast: {line}" for line in lines])


@test("a slow reader stops nobody, and is told what it has lost")
def slow_reader(bench):
    count = 6000
    server = bench.serve("chat-server", "unix:" + bench.path("socket"))
    # Nobody reads what this one prints, so it stops reading, too.
    slow = chat(bench, server, "slow")
    fast = chat(bench, server, "fast")
    equal(slow.line(), "* fast has come")
    flood(fast, fast, count)
    received = lost = 0
    while received + lost < count:
        line = slow.line()
        told = re.fullmatch(r"\* you read too slowly: (\d+) messages lost",
                            line)
        if told:
            lost += int(told.group(1))
        else:
            assert line.startswith(f"fast: {received + lost} "), line[:40]
            received += 1
    equal(received + lost, count)
    assert lost > count / 2, lost
    fast.say("do you hear me?")
    equal(slow.line(), "fast: do you hear me?")
    leave(fast)
    leave(slow)


run_tests()
