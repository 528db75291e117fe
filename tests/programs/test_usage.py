# SPDX-License-Identifier: BSD-2-Clause
"""The command lines of all programs: help, mistakes, addresses that fail."""

import os
import re
import signal
import socket

from harness import Skip, equal, run_tests, test

SERVERS = ("chat-server", "echo-server", "kv-server", "line-server")
CLIENTS = ("chat", "echo-load")

# The options of each, but for --help and --version.
OPTIONS = {
    "chat": ("-a", "-n"),
    "chat-server": ("-l",),
    "echo-load": ("-a", "-c", "-m", "-s", "-t", "-v", "-w", "--frame"),
    "echo-server": ("-l", "-v", "--frame"),
    "kv": ("-a", "--timeout", "--token"),
    "kv-server": ("-l", "-m", "-v", "--token"),
    "line-server": ("-l",)}

# An address at which nobody listens: nobody may listen at port 1.
NOWHERE = "tcp:127.0.0.1:1"


def refuses(bench, name, *arguments, status=2, sentence):
    """The program exits with the status and says the sentence, after its own
    name, on standard error; a mistake of usage also points to --help."""
    output, errors = bench.run(name, *arguments, status=status)
    wanted = f"{name}: {sentence}\n"
    if status == 2:
        wanted += f"{name}: --help says what there is\n"
    equal(errors, wanted)
    equal(output, "")


def add_tests_of_help(name):
    @test(f"{name}: --help fits into 80 columns and names every option")
    def _(bench):
        output, errors = bench.run(name, "--help")
        equal(errors, "")
        assert output.startswith(f"usage: {name} "), output
        assert max(map(len, output.splitlines())) <= 80, output
        for option in (*OPTIONS[name], "--help", "--version"):
            assert f"\n  {option} " in output, option

    @test(f"{name}: --version")
    def _(bench):
        output, errors = bench.run(name, "--version")
        equal(errors, "")
        # By hand there may be nobody to say which version it has to be.
        version = re.escape(os.environ.get("VERSION", "")) or r"\d+\.\d+\.\d+"
        wanted = rf"{name} \(protosocket\) {version}\n"
        assert re.fullmatch(wanted, output), output


def refuses_address(bench, name, option, text):
    refuses(bench, name, option, text,
            sentence=f"{option} {text}: the address is none of tcp:HOST:PORT "
            "(HOST in figures), unix:PATH, unix:@NAME")


def add_tests_of_mistakes(name):
    address = "-l" if name in SERVERS else "-a"

    @test(f"{name}: mistakes on the command line")
    def _(bench):
        for arguments, sentence in (
                (["-x"], "there is no option -x"),
                (["-xl"], "there is no option -x"),
                (["--foo"], "there is no option --foo"),
                (["--help=3"], "there is no option --help=3"),
                (["foo"], 'there is no use for "foo"'),
                ([address], f"option {address} needs an argument")):
            refuses(bench, name, *arguments, sentence=sentence)

    @test(f"{name}: an address that is none")
    def _(bench):
        refuses_address(bench, name, address, "tcp:localhost:1")


for _name in OPTIONS:
    add_tests_of_help(_name)
for _name in SERVERS + CLIENTS:
    add_tests_of_mistakes(_name)


@test("texts of all kinds that are no addresses")
def no_addresses(bench):
    for text in ("", "localhost:1", "tcp:127.0.0.1", "tcp:127.0.0.1:65536",
                 "tcp:::1:1", "unix:", "unix:" + 108 * "x"):
        refuses_address(bench, "line-server", "-l", text)


@test("echo-load: numbers and words that are none of the option's")
def load_numbers(bench):
    for letter, most, wrong in (("c", 100000, "0"), ("c", 100000, "100001"),
                                ("t", 1000000, "x"), ("t", 1000000, "-1"),
                                ("t", 1000000, "1s"), ("w", 1000000, ""),
                                ("w", 1000000, 30 * "9")):
        refuses(bench, "echo-load", f"-{letter}", wrong,
                sentence=f"-{letter} {wrong}: not a number from 1 to {most}")
    refuses(bench, "echo-load", "-s", "4000001",
            sentence="-s 4000001: not a number from 0 to 4000000")
    refuses(bench, "echo-load", "-m", "both",
            sentence="-m both: neither unary nor stream")


@test("echo-load: without an address, and with more than 1 GiB in flight")
def load_options(bench):
    refuses(bench, "echo-load", sentence="-a ADDRESS is needed")
    refuses(bench, "echo-load", "-a", NOWHERE, "-s", "4000000", "-w", "1000",
            sentence="-w times -s is too much: more than a GiB in flight")


@test("clients: nobody listens there")
def refused(bench):
    for name, kind in (("chat", ""), ("echo-load", "UNAVAILABLE: ")):
        refuses(bench, name, "-a", NOWHERE, status=1,
                sentence=f"{NOWHERE}: {kind}connection refused")


@test("clients: no such unix socket")
def no_socket(bench):
    for name in CLIENTS:
        for address in ("unix:" + bench.path("none"),
                        "unix:@" + bench.path("none")):
            _, errors = bench.run(name, "-a", address, status=1)
            assert errors.startswith(f"{name}: {address}: "), errors


@test("servers: at most 16 addresses")
def addresses(bench):
    options = []
    for number in range(17):
        options += ["-l", f"unix:{bench.path(str(number))}"]
    refuses(bench, "line-server", *options,
            sentence="more than 16 addresses")
    bench.serve("line-server", *options[1:32:2])
    assert os.path.exists(bench.path("15"))


@test("servers: an address in use, and nothing is left of the others")
def in_use(bench):
    running = bench.serve("line-server")
    for name in SERVERS:
        refuses(bench, name, "-l", f"unix:{bench.path('first')}",
                "-l", running.address, status=1,
                sentence=f"cannot listen on {running.address}: "
                "the address is in use")
        equal(os.listdir(bench.directory), [])


@test("servers: one address twice")
def twice(bench):
    address = "unix:@" + bench.path("twice")
    refuses(bench, "echo-server", "-l", address, "-l", address, status=1,
            sentence=f"cannot listen on {address}: the address is in use")


@test("servers: a unix socket where there is no directory")
def no_directory(bench):
    address = "unix:" + bench.path("none/socket")
    _, errors = bench.run("chat-server", "-l", address, status=1)
    assert errors.startswith(
        f"chat-server: cannot listen on {address}: "), errors


@test("servers: the socket file that a crash has left is replaced")
def stale(bench):
    address = "unix:" + bench.path("socket")
    crashed = bench.serve("line-server", address)
    crashed.signal(signal.SIGKILL)
    crashed.wait(-signal.SIGKILL)
    assert os.path.exists(bench.path("socket"))
    server = bench.serve("line-server", address)
    server.signal(signal.SIGTERM)
    server.wait()
    assert not os.path.exists(bench.path("socket"))


@test("servers: the default addresses are ports 9000 to 9003 of 127.0.0.1")
def defaults(bench):
    for number, name in enumerate(("echo-server", "chat-server",
                                   "line-server", "kv-server")):
        output, _ = bench.run(name, "--help")
        assert f"default tcp:127.0.0.1:{9000 + number}\n" in output, output


@test("servers: IPv6, unix and abstract addresses, printed in their order")
def all_kinds(bench):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        raise Skip(f"no IPv6 on the loopback interface: {error}")
    server = bench.serve("line-server", "tcp:[::1]:0", "tcp:127.0.0.1:0",
                         "unix:" + bench.path("socket"),
                         "unix:@" + bench.path("abstract"))
    equal([address.rstrip("0123456789") for address in server.addresses],
          ["tcp:[::1]:", "tcp:127.0.0.1:", "unix:" + bench.path("socket"),
           "unix:@" + bench.path("abstract")])
    for address in server.addresses:
        connection = bench.connect(address)
        connection.send(b"echo hello\n")
        equal(connection.line(), "hello")


run_tests()
