# SPDX-License-Identifier: BSD-2-Clause
"""The conformance suite: every case of tests/conformance/cases.txt against
every server and client that there is, and these with each other.

The implementations are the library's, in the programs that
tests/conformance/server.c and client.c make; a second one in Python,
tests/conformance/peer.py; and, as a server of echo.proto, examples/echo-server.
Cases run at the same time, because most of them wait for something.

The programs
------------

    server ADDRESS [--plain | --messages]

serves conformance.proto (which says what the methods do) over Frames; with
--plain without the extensions of section 3 (its codes; the other fields of
Frame are used as ever); with --messages, echo.proto over its own messages. It
prints lines:

    listening on ADDRESS   when it does; with the port, if that was 0
    stopped Hang           when a call of Hang has ended, however that came

With SIGTERM it drains: ends in good order when what was begun has ended, with
status 0.

    client ADDRESS [--plain | --messages]

makes one connection, at once, and what standard input says. A line is a
command, the name of a call (any word; the program has nothing to do with ids),
and words KEY=VALUE, without blanks in them:

    unary NAME ...      calls the method; so for download, hang, upload, chat.
                        Words: the fields of Request (filler=10: ten bytes 'x');
                        timeout_ms=N, without which there is no deadline;
                        meta.KEY=VALUE, metadata in the start, in order.
                        upload and chat have no fields here.
    send NAME ...       sends a request with these fields, or keeps it until it
                        can be sent, in order
    end NAME            ends the requests, behind those that are kept
    cancel NAME         gives the call up
    stray               prints "stray N": frames that came and belong to no call

With --messages there are unary and download only, for the two behaviours of
echo.proto, and the only field is text. At the end of standard input the client
closes in good order when the calls that there are have ended, and ends with
status 0; the connection may end before. It prints lines, for each call in the
order in which things happen:

    metadata NAME KEY=VALUE
                        one entry that the server has sent; before the message
                        or the end that came in the same frame
    message NAME ...    a response: its fields that are not 0 or empty, as
                        KEY=VALUE in the order of their numbers; of filler, how
                        long it is. With --messages: the fields of echo, or of
                        stream.
    ended NAME CODE[ not_begun][: TEXT]
                        last of all. A call that can't be started ends in the
                        same way: with 8 when its request is too large, as does
                        one with a later request that is (which is cancelled);
                        with 14 when no call can be started any more; with 12
                        when the peer has no client streams.

A call of a method with one response prints its message, and then that it has
ended with 0. Neither program prints anything on standard error.
"""

import atexit
import concurrent.futures
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CONFORMANCE = os.path.join(HERE, "..", "conformance")
sys.path.insert(0, CONFORMANCE)


def skip(reason):
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)


try:
    import schema
except ImportError as missing:
    # The system's packages are for the system's Python.
    SYSTEM = "/usr/bin/python3"
    if os.path.realpath(sys.executable) == os.path.realpath(SYSTEM) or \
            not os.path.exists(SYSTEM):
        skip(f"missing: {missing}")
    os.execv(SYSTEM, [SYSTEM, "-B", *sys.argv])

import cases  # noqa: E402
import peer  # noqa: E402
import service  # noqa: E402
from harness import Skip, equal, run_tests, test  # noqa: E402
from programs import Side, kill_all, way_of  # noqa: E402
from watch import Wrong  # noqa: E402

# How many cases run at once.
AT_ONCE = 8

# Make check runs in the top of the build directory.
BUILD = os.getcwd()
DIRECTORY = tempfile.TemporaryDirectory(prefix="psock-")
WAYS = {"frames": [], "plain": ["--plain"], "messages": ["--messages"]}


def in_python(word):
    """The commands of peer.py."""
    return {way: lambda address, options=options: [
        sys.executable, "-B", os.path.join(CONFORMANCE, "peer.py"), word,
        address, *options] for way, options in WAYS.items()}


def in_c(name):
    """Those of the library's programs, which have all extensions."""
    program = os.path.join(BUILD, "tests", "conformance", name)
    return {way: lambda address, options=options: [program, address, *options]
            for way, options in WAYS.items() if way != "plain"}


def example(name):
    program = os.path.join(BUILD, "examples", name)
    return {"messages": lambda address: [program, "-l", address]}


SERVERS = [Side("python", "server", in_python("serve"), DIRECTORY.name),
           Side("library", "server", in_c("server"), DIRECTORY.name),
           Side("echo-server", "server", example("echo-server"),
                DIRECTORY.name)]
CLIENTS = [Side("python", "client", in_python("call"), DIRECTORY.name),
           Side("library", "client", in_c("client"), DIRECTORY.name)]

_chosen = []  # (name, function) of what runs at the same time
_futures = {}


def at_once(name, function, *arguments):
    """A test point that runs while others do."""
    _chosen.append((name, lambda: function(*arguments)))

    @test(name)
    def _(_bench):
        try:
            _futures[name].result()
        except Wrong as error:  # without the way that it has come
            raise Wrong(error) from None


def add_cases(side):
    for case in CASES:
        if case.role == side.role and side.can(way_of(case)):
            at_once(f"{side.name} {side.role}: {case.name}: {case.about}",
                    side.play, case)


# ---- The implementations with each other ----

SCRIPT = """\
unary a text=hello filler=5 size=3 meta.first-a=1 meta.last-b=2 meta.c=3
unary b status_code=5 status_text=gone meta.first-a=1
unary c size=3000000
unary d filler=3000000
download e text=x count=3 meta.first-a=1 meta.last-b=2
download f count=500 size=5000 status_code=9
hang g timeout_ms=100
hang h
cancel h
upload i
send i text=a filler=200000
send i text=b filler=200000
send i text=c filler=200000 size=7
end i
chat j meta.last-b=2
send j text=r count=2
send j text=s count=1
end j
chat k
send k status_code=3
"""

EXPECTED = {
    "a": ["metadata a first-a=1", "metadata a last-b=2",
          "message a text=hello messages=1 bytes=5 filler=3", "ended a 0"],
    "b": ["metadata b first-a=1", "ended b 5: gone"],
    "c": ["message c messages=1 filler=3000000", "ended c 0"],
    "d": ["message d messages=1 bytes=3000000", "ended d 0"],
    "e": ["metadata e first-a=1", "message e text=x",
          "message e text=x sequence=1", "message e text=x sequence=2",
          "metadata e last-b=2", "ended e 0"],
    "f": ["message f filler=5000"] +
         [f"message f sequence={number} filler=5000"
          for number in range(1, 500)] + ["ended f 9"],
    "g": ["ended g 4"],
    "h": ["ended h 1"],
    "i": ["message i text=abc messages=3 bytes=600000 filler=7", "ended i 0"],
    "j": ["message j text=r", "message j text=r sequence=1",
          "message j text=s sequence=2", "metadata j last-b=2", "ended j 0"],
    "k": ["ended k 3"]}


def run_script(server, server_way, client, client_way):
    """All kinds of calls at the same time, from one to the other."""
    program, address = server.serve(server_way)
    caller = client.start(client_way, address)
    try:
        for line in SCRIPT.splitlines():
            caller.say(line)
        caller.close_input()
        lines = caller.lines()
        caller.finish()
        program.drain()
        program.finish()
    finally:
        caller.kill()
        program.kill()
    found = {}
    for line in lines:
        words = line.split()
        if words[0] == "ended" and words[1] != "b":
            line = line.split(":")[0]  # a text that the case has not asked for
        found.setdefault(words[1], []).append(line)
    expected = dict(EXPECTED)
    if "plain" in (server_way, client_way):
        expected.update({name: [f"ended {name} 12"] for name in "ijk"})
    equal(found, expected)


def add_scripts():
    for server in SERVERS:
        for client in CLIENTS:
            for server_way in ("frames", "plain"):
                for client_way in ("frames", "plain"):
                    if server.can(server_way) and client.can(client_way) and \
                            server.exists() and client.exists():
                        at_once(f"{client.name} client ({client_way}) calls "
                                f"{server.name} server ({server_way})",
                                run_script, server, server_way, client,
                                client_way)


def echo(client, names, make_request, text_of, stray=0):
    """The client in Python calls an echo server: unary and streams in turns,
    all in flight at the same time."""
    calls = []
    for number in range(200):
        name = names[number % 2]
        calls.append(client.start(name, make_request(name, f"text {number}")))
    for number, call in enumerate(calls):
        *responses, ended = call.events()
        equal(ended, ("ended", peer.Status(0)))
        text = f"text {number}"
        found = [text_of(one) for _, one in responses]
        equal(found, list(text) if number % 2 else [text])
    client.close(10)
    equal((client.reason, client.stray), ("well", stray))


def make_message(name, text):
    return service.make_echo_request(name, {"text": text})


def text_of_message(response):
    return response.echo.message or response.stream.message


def make_service_request(name, text):
    return peer.ECHO_FRAMES.methods[name].request(message=text)


def text_of_service(response):
    return response.message


def need_example(name):
    if not os.path.exists(os.path.join(BUILD, "examples", name)):
        raise Skip(f"examples/{name} has not been built")


@test("the Python client calls examples/echo-server, over its own messages")
def call_echo_server(bench):
    need_example("echo-server")
    server = bench.serve("echo-server", "tcp:127.0.0.1:0",
                         "unix:" + bench.path("socket"))
    for address in server.addresses:
        for extensions in (True, False):
            echo(peer.Client(address, peer.MESSAGES_CLIENT, extensions),
                 ("unary", "download"), make_message, text_of_message)


@test("the Python client, with extensions and without, calls its service")
def call_echo_service(bench):
    need_example("echo-server")
    server = bench.start("echo-server", "-l", "tcp:127.0.0.1:0", "--frame")
    server.ends_by_itself = False
    address = server.line().split(" ", 2)[2]
    # A client that knows section 2 only ignores the server's HELLO.
    for extensions, stray in ((True, 0), (False, 1)):
        echo(peer.Client(address, peer.ECHO_FRAMES, extensions),
             ("echo", "stream"), make_service_request, text_of_service, stray)


@test("examples/echo-load calls Python servers: over its own messages, and its "
      "service, with extensions and without")
def echo_load(bench):
    need_example("echo-load")
    # (server, options, frames that it ignores: a server that knows section 2
    # only, the HELLO of each connection)
    servers = [
        (peer.Server("tcp:127.0.0.1:0", service.ECHO_HANDLERS,
                     peer.MESSAGES_SERVER), [], 0),
        (peer.Server("tcp:127.0.0.1:0", service.ECHO_SERVICE_HANDLERS,
                     peer.ECHO_FRAMES), ["--frame"], 0),
        (peer.Server("tcp:127.0.0.1:0", service.ECHO_SERVICE_HANDLERS,
                     peer.ECHO_FRAMES, extensions=False), ["--frame"], 4)]
    loads = [(mode, bench.start("echo-load", "-a", server.address, "-t", "1",
                                "-c", "2", "-w", "4", "-s", "20", "-m", mode,
                                *options))
             for server, options, _ in servers for mode in ("unary", "stream")]
    for mode, load in loads:
        output = load.output.read().decode()
        load.wait()
        assert output.startswith(f"{mode}, 2 x 4 calls in flight, 20 bytes, "
                                 "all answers right: "), output
    for server, _, stray in servers:
        server.drain()
        equal(server.get_stray(), stray)


def add_missing(side):
    @test(f"{side.name} {side.role}")
    def _(_bench):
        raise Skip("the program has not been built")


# ---- All of it ----

def main():
    descriptors = os.path.join(DIRECTORY.name, "descriptors")
    schema.compile_to(descriptors)
    os.environ[schema.VARIABLE] = descriptors
    atexit.register(kill_all)
    for side in (*SERVERS, *CLIENTS):
        if side.exists():
            add_cases(side)
        else:
            add_missing(side)
    add_scripts()

    @test("the servers that cases have shared end well")
    def _(_bench):
        for side in SERVERS:
            side.finish_shared()

    words = sys.argv[1:]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for name, function in _chosen:
            if not words or any(word in name for word in words):
                _futures[name] = pool.submit(function)
        run_tests()


CASES = cases.read(os.path.join(CONFORMANCE, "cases.txt"))
main()
