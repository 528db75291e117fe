# SPDX-License-Identifier: BSD-2-Clause
"""kv-server and kv: every call, what fails, and calls that go on."""

import os
import re
import signal
import subprocess

from harness import equal, run_tests, test, until
from wire import bytes_field, decode, frame, number_field

PIPE = subprocess.PIPE

# The memory of the server may grow by this for a watcher that does not read,
# and keys with values of a MiB: less than what the watcher is behind by. A
# sanitizer keeps several bytes for each of the program's.
SANITIZED = "-fsanitize" in os.environ.get("TEST_CFLAGS", "")
MEMORY_OF_A_WATCHER = (8 << 20) * (8 if SANITIZED else 1)


def serve(bench, *options):
    return bench.serve("kv-server", "unix:" + bench.path("socket"),
                       options=options)


def start(bench, server, *words, **others):
    """A kv that was started."""
    return bench.start("kv", "-a", server.address, *words, **others)


def kv(bench, server, *words):
    """Runs a kv to its end, which has to be a good one. Returns what it has
    printed."""
    output, errors = bench.run("kv", "-a", server.address, *words)
    equal(errors, "")
    return output


def fails(bench, server, *words, sentence, status=1):
    output, errors = bench.run("kv", "-a", server.address, *words,
                               status=status)
    equal(output, "")
    equal(errors, f"kv: {sentence}\n")


def feed(program, data):
    """Gives a program its input, and returns what it has printed."""
    program.input.write(data)
    program.input.close()
    return program.output.read().decode()


def load(bench, server, data, *words):
    program = start(bench, server, *words, "load", stdin=PIPE)
    output = feed(program, data)
    program.wait()
    return output


def sync(bench, server, data):
    program = start(bench, server, "sync", stdin=PIPE)
    output = feed(program, data)
    program.wait()
    return output.splitlines()


# ---- The wire, for what kv does not do ----

NORMAL, CANCEL, END, HELLO, WINDOW, MESSAGE = 0, 1, 2, 16, 20, 21


def method_number(name):
    number = 2166136261
    for byte in name.encode():
        number = (number ^ byte) * 16777619 & 0xffffffff
    return number


def call_frame(call, code=NORMAL, method=None, payload=b""):
    data = number_field(1, call) + number_field(2, code)
    if method is not None:
        data += b"\x1d" + method_number(method).to_bytes(4, "little")
    return frame(data + (bytes_field(4, payload) if payload else b""))


def hello(window=0):
    hello = number_field(1, 1) + number_field(2, window)
    return frame(number_field(2, HELLO) + bytes_field(9, hello))


class Peer:
    """A caller that is written by hand."""

    def __init__(self, bench, server, window=0):
        self.connection = bench.connect(server.address)
        self.connection.send(hello(window))

    def send(self, *frames):
        self.connection.send(*frames)

    def next(self):
        """The next frame of any call: its id, code, payload and status."""
        while True:
            fields = decode(self.connection.payload())
            if fields.get(1, 0) > 0 and fields.get(2, 0) != WINDOW:
                return (fields[1], fields.get(2, 0), fields.get(4, b""),
                        decode(fields.get(6, b"")))

    def answer(self, call):
        """The next frame of this call, without its id."""
        return next(found[1:] for found in iter(self.next, None)
                    if found[0] == call)


def key_message(key):
    return bytes_field(1, key)


# ---- Calls that end by themselves ----


@test("put, get and delete")
def usual(bench):
    server = serve(bench)
    equal(kv(bench, server, "put", "colour", "red"), "")
    equal(kv(bench, server, "get", "colour"), "red\n")
    equal(kv(bench, server, "put", "colour", "green"), "")
    equal(kv(bench, server, "get", "colour"), "green\n")
    equal(kv(bench, server, "delete", "colour"), "")
    fails(bench, server, "get", "colour",
          sentence='NOT_FOUND: there is no key "colour"')
    equal(kv(bench, server, "delete", "colour"), "")
    equal(kv(bench, server, "put", "colour", "blue"), "")
    equal(kv(bench, server, "get", "colour"), "blue\n")


@test("values of all kinds")
def values(bench):
    server = serve(bench)
    for value in ("", "-1", "--help", "two words", "a\nb", 100000 * "x",
                  "gr\u00fcn"):
        kv(bench, server, "put", "key", value)
        equal(kv(bench, server, "get", "key"), value + "\n")


@test("keys have 1 to 255 bytes of UTF-8")
def keys(bench):
    server = serve(bench)
    for key in ("k", 255 * "k", "a b", "gr\u00fcn", "-k", "--"):
        kv(bench, server, "put", key, key)
        equal(kv(bench, server, "get", key), key + "\n")
    for key in ("", 256 * "k"):
        fails(bench, server, "put", key, "value",
              sentence="INVALID_ARGUMENT: a key has 1 to 255 bytes, and not "
              f"{len(key)}")
        fails(bench, server, "get", key,
              sentence=f'NOT_FOUND: there is no key "{key[:255]}"')
    _, errors = bench.run("kv", "-a", server.address, "put", b"\xff", "value",
                          status=1)
    assert re.fullmatch(r"kv: [A-Z_]+: .+\n", errors), errors


@test("load: lines of a pipe, also many, and what is no line")
def loads(bench):
    server = serve(bench)
    equal(load(bench, server, b""), "0 loaded\n")
    equal(load(bench, server, b"a 1\nb two words\nc  \nd 4"), "4 loaded\n")
    for key, value in (("a", "1"), ("b", "two words"), ("c", " "), ("d", "4")):
        equal(kv(bench, server, "get", key), value + "\n")
    many = b"".join(b"key%d %d\n" % (one, one) for one in range(50000))
    equal(load(bench, server, many), "50000 loaded\n")
    equal(kv(bench, server, "get", "key49999"), "49999\n")
    equal(load(bench, server, b"long " + 3000000 * b"x"), "1 loaded\n")
    equal(len(kv(bench, server, "get", "long")), 3000001)
    wrong = start(bench, server, "load", stdin=PIPE)
    equal(feed(wrong, b"e 1\nvalue\n"), "")
    wrong.wait(1)
    equal(wrong.errors(), "kv: standard input: line 2 is not KEY VALUE\n")


@test("load: lines that come one by one")
def slow_load(bench):
    server = serve(bench)
    program = start(bench, server, "load", stdin=PIPE)
    watcher = start(bench, server, "watch", "")
    for number in range(3):
        program.say(f"key {number}")
        equal(watcher.line(), f"{number + 1} put key {number}")
    program.input.close()
    equal(program.line(), "3 loaded")
    program.wait()
    watcher.signal(signal.SIGTERM)
    watcher.wait(-signal.SIGTERM)


@test("a store that is full refuses, and deleting makes room")
def full(bench):
    server = serve(bench, "-m", "1")
    sentence = 'RESOURCE_EXHAUSTED: the store is full: there is no room for '
    data = b"".join(b"key%d %s\n" % (one, 100000 * b"x") for one in range(20))
    program = start(bench, server, "load", stdin=PIPE)
    try:
        program.input.write(data)
        program.input.close()
    except BrokenPipeError:
        pass  # it has ended before it has read all
    program.wait(1)
    equal(program.errors(), f'kv: {sentence}"key10"\n')
    fails(bench, server, "put", "key", 100000 * "x",
          sentence=f'{sentence}"key"')
    kv(bench, server, "put", "key0", 100000 * "y")
    kv(bench, server, "delete", "key1")
    kv(bench, server, "put", "key", 99000 * "x")
    equal(kv(bench, server, "get", "key9"), 100000 * "x" + "\n")


@test("two clients load and read at once")
def two_clients(bench):
    server = serve(bench)
    programs = [start(bench, server, "load", stdin=PIPE) for _ in range(2)]
    for number, program in enumerate(programs):
        program.input.write(b"".join(b"%d-%d value\n" % (number, one)
                                     for one in range(20000)))
    for program in programs:
        program.input.close()
    for program in programs:
        equal(program.line(), "20000 loaded")
    equal(kv(bench, server, "get", "0-19999"), "value\n")
    equal(kv(bench, server, "get", "1-19999"), "value\n")


# ---- Watch ----


@test("watch: what there is under a prefix, then what changes")
def watch(bench):
    server = serve(bench)
    load(bench, server, b"a/1 one\nb/1 two\na/2 three\na/1 four\n")
    kv(bench, server, "delete", "a/2")
    watcher = start(bench, server, "watch", "a/")
    everything = start(bench, server, "watch", "")
    equal(watcher.line(), "4 put a/1 four")
    equal(everything.line(), "2 put b/1 two")
    equal(everything.line(), "4 put a/1 four")
    kv(bench, server, "put", "a/3", "")
    kv(bench, server, "put", "b/1", "x")
    kv(bench, server, "delete", "a/1")
    kv(bench, server, "delete", "a/1")
    equal([watcher.line() for _ in range(2)],
          ["6 put a/3 ", "8 delete a/1"])
    equal([everything.line() for _ in range(3)],
          ["6 put a/3 ", "7 put b/1 x", "8 delete a/1"])
    for program in (watcher, everything):
        program.signal(signal.SIGTERM)
        program.wait(-signal.SIGTERM)


@test("watch: one that is not read costs nobody anything, and misses no key")
def slow_watcher(bench):
    server = serve(bench)
    slow = start(bench, server, "watch", "")
    kv(bench, server, "put", "first", "1")
    equal(slow.line(), "1 put first 1")
    quick = start(bench, server, "watch", "last")
    before = server.resident()
    # Each round is more than the pipe and the sockets have room for.
    text = 1000 * b"x"
    for number in range(20):
        load(bench, server, b"".join(
            b"key%d %d%s\n" % (key, number, text) for key in range(1000)))
    grown = server.resident() - before
    assert grown < MEMORY_OF_A_WATCHER, grown
    kv(bench, server, "put", "last", "now")
    assert quick.line().endswith(" put last now")
    last = {}
    lines = 0
    line = ""
    while not line.endswith("put last now"):
        line = slow.line()
        _, verb, key, value = line.split(" ", 3)
        equal(verb, "put")
        last[key] = value
        lines += 1
    equal(len(last), 1001)
    for key in range(1000):
        equal(last[f"key{key}"], f"19{text.decode()}")
    assert lines < 20000, lines
    for program in (slow, quick):
        program.signal(signal.SIGTERM)
        program.wait(-signal.SIGTERM)


@test("watch: who misses more deletions than are remembered is told so")
def aborted(bench):
    server = serve(bench)
    load(bench, server, b"".join(b"key%d %s\n" % (key, 100 * b"x")
                                 for key in range(20000)))
    # One window, and never another.
    watcher = Peer(bench, server, window=1000)
    watcher.send(call_frame(1, method="kv.Store/Watch"))
    equal(watcher.answer(1)[0], NORMAL)
    peer = Peer(bench, server)
    for key in range(20000):
        peer.send(call_frame(key + 1, method="kv.Store/Delete",
                             payload=key_message(b"key%d" % key)))
    for key in range(20000):
        equal(peer.answer(key + 1)[0], NORMAL)
    code = NORMAL
    while code == NORMAL:
        code, _, status = watcher.answer(1)
    equal((code, status[1]), (CANCEL, 10))


@test("watch: many at once, and all are told")
def many_watchers(bench):
    server = serve(bench)
    peer = Peer(bench, server)
    calls = range(1, 501)
    peer.send(*[call_frame(call, method="kv.Store/Watch",
                           payload=key_message(b"k")) for call in calls])
    kv(bench, server, "put", "k", "1")
    equal(sorted(peer.next()[0] for _ in calls), list(calls))
    peer.send(*[call_frame(call, code=CANCEL) for call in calls[1:]])
    kv(bench, server, "put", "k", "2")
    equal(peer.answer(1)[0], NORMAL)


@test("watch: when nobody reads the pipe any more, the next line ends it")
def broken_pipe(bench):
    server = serve(bench)
    kv(bench, server, "put", "a", "1")
    watcher = start(bench, server, "watch", "")
    equal(watcher.line(), "1 put a 1")
    watcher.output.close()
    kv(bench, server, "put", "a", "2")
    watcher.wait(-signal.SIGPIPE)


@test("standard output that takes nothing: status 1")
def full_output(bench):
    server = serve(bench)
    kv(bench, server, "put", "a", "1")
    for words in (("get", "a"), ("watch", "a")):
        with open("/dev/full", "wb") as output:
            program = start(bench, server, *words, stdout=output)
        program.wait(1)
        equal(program.errors(),
              "kv: standard output: No space left on device\n")


# ---- Sync ----


@test("sync: what differs from what the lines say, and then it ends")
def sync_once(bench):
    server = serve(bench)
    load(bench, server, b"a 1\nb 2\nc 3\n")
    equal(sync(bench, server, b""), [])
    equal(sync(bench, server, b"a\nb 2\nc 2\nd\ne 7\na 1\n"),
          ["1 put a 1", "3 put c 3", "0 delete e"])
    path = bench.path("lines")
    with open(path, "w", encoding="ascii") as file:
        file.write("b\nd\nc")
    equal(kv(bench, server, "sync", path), "2 put b 2\n3 put c 3\n")
    wrong = start(bench, server, "sync", stdin=PIPE)
    equal(feed(wrong, b"a 1x\n"), "")
    wrong.wait(1)
    equal(wrong.errors(), "kv: standard input: line 1 is not KEY VERSION\n")


@test("sync: both sides go on")
def sync_live(bench):
    server = serve(bench)
    kv(bench, server, "put", "a", "1")
    program = start(bench, server, "sync", stdin=PIPE)
    program.say("a")
    equal(program.line(), "1 put a 1")
    kv(bench, server, "put", "b", "2")
    kv(bench, server, "put", "a", "3")
    equal(program.line(), "3 put a 3")
    program.say("b 1")
    equal(program.line(), "2 put b 2")
    kv(bench, server, "delete", "b")
    equal(program.line(), "0 delete b")
    equal(feed(program, b"a 3\n"), "")
    program.wait()


@test("sync: many keys, and an answer to each")
def sync_many(bench):
    server = serve(bench)
    text = 500 * b"x"
    load(bench, server, b"".join(b"key%d %s\n" % (key, text)
                                 for key in range(10000)))
    lines = sync(bench, server, b"".join(b"key%d\n" % key
                                         for key in range(10000)))
    equal(len(lines), 10000)
    equal(sorted(line.split(" ")[2] for line in lines),
          sorted(f"key{key}" for key in range(10000)))
    program = start(bench, server, "sync", stdin=PIPE)
    try:
        feed(program, b"".join(b"k%d\n" % key for key in range(10001)))
    except BrokenPipeError:
        pass  # it has ended before it has read all
    program.wait(1)
    equal(program.errors(), "kv: RESOURCE_EXHAUSTED: 10000 keys, and no more, "
          "can be followed by one call\n")


@test("sync: a caller that does not read is told each key once, at last")
def sync_unread(bench):
    server = serve(bench)
    peer = Peer(bench, server, window=1000)
    peer.send(call_frame(1, method="kv.Store/Sync"))
    peer.send(*[call_frame(1, code=MESSAGE, payload=key_message(b"key%d" % key))
                for key in range(100)])
    text = 1000 * b"x"
    for number in range(10):
        load(bench, server, b"".join(
            b"key%d %d%s\n" % (key, number, text) for key in range(100)))
    peer.send(frame(number_field(1, 1) + number_field(2, WINDOW) +
                    number_field(8, 1 << 20)), call_frame(1, code=END))
    changes = []
    code, payload, status = peer.answer(1)
    while code == NORMAL:
        changes.append(decode(payload))
        code, payload, status = peer.answer(1)
    equal((code, status), (END, {}))
    assert len(changes) < 110, len(changes)
    last = {change[1]: change[3][:1] for change in changes}
    equal(last, {b"key%d" % key: b"9" for key in range(100)})


# ---- Tokens, logs, times, ends ----


@test("--token: only who knows it is answered")
def token(bench):
    server = serve(bench, "--token", "sesame")
    kv(bench, server, "--token", "sesame", "put", "a", "1")
    equal(kv(bench, server, "--token=sesame", "get", "a"), "1\n")
    equal(load(bench, server, b"b 2\n", "--token", "sesame"), "1 loaded\n")
    refused = "UNAUTHENTICATED: the token is missing, or wrong"
    for words in ((), ("--token", ""), ("--token", "sesam"),
                  ("--token", "sesame "), ("--token", "Sesame")):
        for command in (("get", "a"), ("watch", ""), ("load",), ("sync",)):
            fails(bench, server, *words, *command, sentence=refused)


@test("-v: a line for every call, and what there was at the end")
def log(bench):
    server = serve(bench, "-v", "--token", "sesame")
    kv(bench, server, "--token", "sesame", "put", "a", "1")
    fails(bench, server, "--token", "sesame", "get", "b",
          sentence='NOT_FOUND: there is no key "b"')
    fails(bench, server, "get", "a",
          sentence="UNAUTHENTICATED: the token is missing, or wrong")
    server.signal(signal.SIGTERM)
    server.wait()
    lines = server.errors().splitlines()
    wanted = (r"kv\.Store/Put: OK, \d+ us",
              r'kv\.Store/Get: NOT_FOUND: there is no key "b", \d+ us',
              r"kv\.Store/Get: UNAUTHENTICATED: the token is missing, or "
              r"wrong, \d+ us",
              r"3 calls, of which 2 failed: \d+ were refused, 0 cancelled, "
              r"0 out of time")
    equal(len(lines), len(wanted))
    for line, pattern in zip(lines, wanted):
        assert re.fullmatch("kv-server: " + pattern, line), line


@test("--timeout: a server that does not answer")
def timeout(bench):
    server = serve(bench)
    kv(bench, server, "put", "a", "1")
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        for words in (("get", "a"), ("watch", "")):
            _, errors = bench.run("kv", "-a", server.address, "--timeout", "1",
                                  *words, status=1)
            assert errors.startswith("kv: DEADLINE_EXCEEDED"), errors
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    equal(kv(bench, server, "get", "a"), "1\n")


@test("nobody listens there")
def nobody(bench):
    for address in ("tcp:127.0.0.1:1", "unix:" + bench.path("none")):
        _, errors = bench.run("kv", "-a", address, "get", "a", status=1)
        assert errors.startswith("kv: UNAVAILABLE: "), errors


@test("a server that ends at once: status 1")
def crash(bench):
    server = serve(bench)
    kv(bench, server, "put", "a", "1")
    watcher = start(bench, server, "watch", "")
    equal(watcher.line(), "1 put a 1")
    server.signal(signal.SIGKILL)
    server.wait(-signal.SIGKILL)
    watcher.wait(1)
    errors = watcher.errors()
    assert errors.startswith("kv: UNAVAILABLE"), errors


@test("SIGTERM: calls that would go on are ended, with a reason")
def drain(bench):
    server = serve(bench)
    kv(bench, server, "put", "a", "1")
    watcher = start(bench, server, "watch", "")
    equal(watcher.line(), "1 put a 1")
    follower = start(bench, server, "sync", stdin=PIPE)
    follower.say("a")
    equal(follower.line(), "1 put a 1")
    server.signal(signal.SIGTERM)
    server.wait()
    for program in (watcher, follower):
        program.wait(1)
        equal(program.errors(), "kv: UNAVAILABLE: the server is stopping\n")
    assert not os.path.exists(bench.path("socket"))


@test("SIGTERM: a load that has begun is finished")
def drain_load(bench):
    server = serve(bench)
    program = start(bench, server, "load", stdin=PIPE)
    watcher = start(bench, server, "watch", "")
    program.say("a 1")
    equal(watcher.line(), "1 put a 1")
    server.signal(signal.SIGTERM)
    watcher.wait(1)
    equal(watcher.errors(), "kv: UNAVAILABLE: the server is stopping\n")
    assert server.is_running()
    equal(feed(program, b"b 2\n"), "2 loaded\n")
    program.wait()
    server.wait()


@test("health: the service is said to be serving")
def health(bench):
    server = serve(bench)
    peer = Peer(bench, server)
    for call, service in ((1, b""), (2, b"kv.Store")):
        peer.send(call_frame(call, method="protosocket.rpc.Health/Check",
                             payload=bytes_field(1, service)))
        code, payload, _ = peer.answer(call)
        equal((code, decode(payload)), (NORMAL, {1: 1}))
    peer.send(call_frame(3, method="protosocket.rpc.Health/Check",
                         payload=bytes_field(1, b"kv.None")))
    equal(peer.answer(3)[2][1], 5)


@test("callers that go away are forgotten")
def gone(bench):
    server = serve(bench)
    kv(bench, server, "put", "a", "1")
    before = server.descriptors()
    for _ in range(10):
        peer = Peer(bench, server)
        peer.send(call_frame(1, method="kv.Store/Watch"),
                  call_frame(2, method="kv.Store/Sync"),
                  call_frame(2, code=MESSAGE, payload=key_message(b"a")),
                  call_frame(3, method="kv.Store/Load"))
        equal(peer.answer(1)[0], NORMAL)
        peer.connection.close()
    until(lambda: server.descriptors() <= before)
    kv(bench, server, "put", "a", "2")


# ---- The command line ----


@test("kv: mistakes on the command line")
def usage(bench):
    there_is = "--help says what there is"
    for words, sentence in (
            ([], "a command is needed"),
            (["grab", "a"], 'there is no command "grab"'),
            (["get"], "get takes KEY"),
            (["get", "a", "b"], "get takes KEY"),
            (["put", "a"], "put takes KEY VALUE"),
            (["delete"], "delete takes KEY"),
            (["watch"], "watch takes PREFIX"),
            (["load", "a"], "load takes no operands"),
            (["sync", "a", "b"], "sync takes [FILE]"),
            (["-x", "get", "a"], "there is no option -x"),
            (["--timeout"], "option --timeout needs an argument"),
            (["--timeout", "0", "get", "a"],
             "--timeout 0: not a number from 1 to 1000000"),
            (["-a", "nowhere", "get", "a"],
             "-a nowhere: the address is none of tcp:HOST:PORT (HOST in "
             "figures), unix:PATH, unix:@NAME")):
        output, errors = bench.run("kv", *words, status=2)
        equal(output, "")
        equal(errors, f"kv: {sentence}\nkv: {there_is}\n")


@test("kv: a file that is not there, and one that can't be read")
def no_file(bench):
    server = serve(bench)
    none = bench.path("none")
    fails(bench, server, "sync", none,
          sentence=f"{none}: No such file or directory")
    fails(bench, server, "sync", bench.directory,
          sentence=f"{bench.directory}: Is a directory")


run_tests()
