# SPDX-License-Identifier: BSD-2-Clause
"""line-server: commands, delayed answers, and the ends of connections."""

import signal
import time

from harness import equal, run_tests, test

MAX_LINE = 4096


def connect(bench):
    server = bench.serve("line-server")
    return server, bench.connect(server.address)


def answers(bench, data):
    """What a server says to these bytes and a half-close, as nc -N does."""
    _, connection = connect(bench)
    connection.send(data)
    connection.end()
    return connection.lines()


@test("echo answers its text, help a line for each command")
def commands(bench):
    _, connection = connect(bench)
    connection.send(b"echo hello  world \necho\necho \r\nhelp\n")
    equal([connection.line() for _ in range(3)], ["hello  world ", "", ""])
    words = [connection.line().split()[0] for _ in range(4)]
    equal(words, ["echo", "after", "help", "quit"])


@test("what is no command is answered by a line")
def mistakes(bench):
    lines = answers(bench, b"foo bar\n\nECHO x\necho\tx\n" + 60 * b"a" +
                    b"\necho last\n")
    equal(lines, [f'there is no command "{word}"; help lists them'
                  for word in ("foo", "", "ECHO", "echo\tx", 20 * "a")] +
          ["last"])


@test("a delayed answer comes when its time has passed, and not before")
def delayed(bench):
    _, connection = connect(bench)
    began = time.monotonic()
    connection.send(b"after 200 slow\necho quick\n")
    equal(connection.line(), "quick")
    equal(connection.line(), "slow")
    assert time.monotonic() - began >= 0.2


@test("delayed answers come in the order of their times")
def order(bench):
    equal(answers(bench, b"after 300 c\nafter 0 a\nafter 150 b 1\n"),
          ["a", "b 1", "c"])


@test("delays that are none, or are longer than 10 seconds")
def bad_delays(bench):
    data = b"".join(b"after %s x\n" % word for word in (
        b"", b"x", b"10001", b"-1", b"+1", b"1.5", 20 * b"9"))
    equal(answers(bench, data + b"after\n"),
          8 * ["after needs a number of milliseconds, at most 10000"])


@test("at most 100 answers wait, and those of a failed connection go with it")
def too_many(bench):
    server, connection = connect(bench)
    began = time.monotonic()
    connection.send(102 * b"after 10000 x\n", b"echo last\n")
    sentence = "there are 100 answers waiting; try again later"
    equal([connection.line() for _ in range(3)],
          [sentence, sentence, "last"])
    connection.reset()
    server.signal(signal.SIGTERM)
    server.wait()
    assert time.monotonic() - began < 10


@test("a half-close, as nc -N does it: delayed answers still come")
def half_close(bench):
    equal(answers(bench, b"after 200 slow\necho quick\n"), ["quick", "slow"])


@test("a line without its end, at the end of the input, is no command")
def unfinished(bench):
    equal(answers(bench, b"echo one\necho two"), ["one"])


@test("quit: delayed answers come, later commands are not read, then the end")
def quit_command(bench):
    _, connection = connect(bench)
    connection.send(b"after 200 slow\nquit\necho never\n")
    equal(connection.lines(), ["slow"])


@test("a drain: delayed answers come, later commands are not read")
def drain(bench):
    server, connection = connect(bench)
    idle = bench.connect(server.address)
    idle.send(b"echo idle\n")
    equal(idle.line(), "idle")
    connection.send(b"after 300 slow\necho quick\n")
    equal(connection.line(), "quick")
    server.signal(signal.SIGTERM)
    # This one has nothing to finish. When it is closed the drain has begun.
    equal(idle.lines(), [])
    connection.send(b"echo never\n")
    equal(connection.line(), "slow")
    assert connection.is_closed()
    connection.close()
    idle.close()
    server.wait()


@test("a line of 4096 bytes is read; a longer one closes its connection only")
def long_lines(bench):
    server, connection = connect(bench)
    other = bench.connect(server.address)
    text = (MAX_LINE - len("echo ")) * "a"
    connection.send(b"echo %s\n" % text.encode())
    equal(connection.line(), text)
    connection.send(b"echo %sa\n" % text.encode())
    assert connection.is_closed()
    other.send(b"echo hello\n")
    equal(other.line(), "hello")


@test("a long line is refused before it has ended")
def endless_line(bench):
    _, connection = connect(bench)
    connection.send((MAX_LINE + 1) * b"a")
    assert connection.is_closed()


@test("100000 commands at once")
def many(bench):
    equal(answers(bench, 100000 * b"echo a\n"), 100000 * ["a"])


run_tests()
