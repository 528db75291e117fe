# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of the programs share: test points, and a bench for each.

A test is a function with @test("what is true"). It is given a Bench, with
which it starts programs and connects to them; run_tests() runs all that the
file has and prints the results as TAP.

Nothing here waits for a fixed time. A test blocks, or polls with until(),
until what it waits for is there, and an alarm ends it after TIME_LIMIT.

When a test has passed, the bench ends it: the connections are closed, the
servers that still run get SIGTERM, and every program must then have ended
with the status that was wanted, 0 if nothing else was said, and have said
nothing on standard error but what the test has taken. So every test is one of
a server's drain, too, and whatever a sanitizer finds fails the test.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import wire

# Seconds for one test; most need a few hundredths. A sanitizer on a busy
# machine can take 50 times as long.
TIME_LIMIT = 60

# Make check runs in the top of the build directory.
DIRECTORY = os.path.join(os.getcwd(), "examples")

_tests = []


class Skip(Exception):
    """Ends a test that cannot be run here; the text says why."""


class TimeIsUp(Exception):
    """A test has waited in vain."""


def test(name):
    """Makes a test point of a function."""

    def register(function):
        _tests.append((name, function))
        return function

    return register


def until(condition):
    """Returns once condition() is true, and what it was."""
    while True:
        result = condition()
        if result:
            return result
        time.sleep(0.005)


def equal(found, wanted):
    """As assert found == wanted, but shows only the ends of long values."""
    if found != wanted:
        raise AssertionError(f"found {_brief(found)}, not {_brief(wanted)}")


def _brief(value):
    text = repr(value)
    if len(text) <= 600:
        return text
    return f"{text[:300]} ... {text[-300:]}"


class Program:
    """One of the examples, running. Its standard output is a pipe, or what
    `stdout` says; its standard error goes to a file."""

    def __init__(self, name, *arguments, stdin=subprocess.DEVNULL,
                 stdout=subprocess.PIPE, environment=None):
        self.name = name
        self.wanted_status = 0
        self.ends_by_itself = True
        self._errors = tempfile.TemporaryFile()
        self._errors_taken = 0
        self.process = subprocess.Popen(
            [os.path.join(DIRECTORY, name), *arguments], stdin=stdin,
            stdout=stdout, stderr=self._errors, env=environment)
        self.input = self.process.stdin
        self.output = self.process.stdout

    def line(self):
        """The next line of the output, without its end."""
        return self.output.readline().decode().rstrip("\n")

    def say(self, text):
        """Writes a line to the input."""
        self.input.write(text.encode() + b"\n")
        self.input.flush()

    def signal(self, number):
        """Sends a signal that ends the program, sooner or later."""
        self.ends_by_itself = True
        self.process.send_signal(number)

    def wait(self, status=0):
        """Waits for the end of the program, which must have this status."""
        self.wanted_status = status
        found = self.process.wait()
        if found != status:
            raise AssertionError(f"{self.name} ended with status {found}, "
                                 f"not {status}: {self.errors()}")

    def errors(self):
        """What the program has said on standard error since the last time."""
        descriptor = self._errors.fileno()
        text = os.pread(descriptor, 1 << 20, self._errors_taken)
        self._errors_taken += len(text)
        return text.decode(errors="replace")

    def resident(self):
        """Bytes of memory that the program has."""
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        """How many files and sockets the program has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def is_running(self):
        return self.process.poll() is None

    def kill(self):
        """Nothing of the program is left after this."""
        if self.is_running():
            self.process.kill()
        self.process.wait()
        for file in (self.input, self.output, self._errors):
            _close_quietly(file)


def _close_quietly(file):
    try:
        if file is not None:
            file.close()
    except OSError:
        pass  # what was written and not flushed has nowhere to go


class Bench:
    """The programs, connections and files of one test."""

    def __init__(self):
        self.programs = []
        self.connections = []
        self._directory = tempfile.TemporaryDirectory(prefix="psock-")
        self.directory = self._directory.name

    def start(self, name, *arguments, **others):
        """Starts a program that comes to its end without a signal."""
        program = Program(name, *arguments, **others)
        self.programs.append(program)
        return program

    def serve(self, name, *addresses, options=()):
        """Starts a server and waits until it listens. Its attribute
        `addresses` is where, as it has printed it."""
        wanted = addresses or ("tcp:127.0.0.1:0",)
        listen = [word for address in wanted for word in ("-l", address)]
        server = self.start(name, *listen, *options)
        server.ends_by_itself = False
        lines = [server.line() for _ in wanted]
        for line in lines:
            if not line.startswith("listening on "):
                raise AssertionError(f"{name} has printed {line!r}: "
                                     f"{server.errors()}")
        server.addresses = [line.split(" ", 2)[2] for line in lines]
        server.address = server.addresses[0]
        return server

    def run(self, name, *arguments, status=0, **others):
        """Runs a program to its end. Returns what it has printed, and what it
        has said on standard error."""
        program = self.start(name, *arguments, **others)
        output = program.output.read().decode()
        program.wait(status)
        return output, program.errors()

    def connect(self, address):
        connection = wire.Connection(address)
        self.connections.append(connection)
        return connection

    def path(self, name):
        return os.path.join(self.directory, name)

    def finish(self):
        """The end of a test that has passed, as the top of the file says."""
        for connection in self.connections:
            connection.close()
        for program in self.programs:
            if not program.ends_by_itself:
                program.signal(signal.SIGTERM)
        for program in self.programs:
            program.wait(program.wanted_status)
            errors = program.errors()
            if errors:
                raise AssertionError(f"{program.name} said: {errors}")

    def clean_up(self):
        """The end of every test: whatever is left goes."""
        for connection in self.connections:
            connection.close()
        for program in self.programs:
            program.kill()
        self._directory.cleanup()


def _on_alarm(_number, _frame):
    raise TimeIsUp(f"not done after {TIME_LIMIT} seconds")


def _explain(bench):
    """The reason of a failure, as comments of TAP."""
    text = traceback.format_exc()
    for program in bench.programs:
        errors = program.errors()
        if errors:
            text += f"\n{program.name} said: {errors}"
    for line in text.splitlines():
        print(f"# {line}")


def _run_test(number, name, function):
    """Prints the result; returns whether the test has not failed."""
    bench = Bench()
    try:
        signal.alarm(TIME_LIMIT)
        function(bench)
        bench.finish()
        signal.alarm(0)
        print(f"ok {number} - {name}")
        return True
    except Skip as reason:
        print(f"ok {number} - {name} # SKIP {reason}")
        return True
    except Exception:  # whatever it is, it is this test's, and not the end
        print(f"not ok {number} - {name}")
        _explain(bench)
        return False
    finally:
        signal.alarm(0)
        bench.clean_up()
        sys.stdout.flush()


def run_tests():
    """Runs the tests of the file, and ends the program. With words on the
    command line, only those whose name has one of them."""
    words = sys.argv[1:]
    chosen = [one for one in _tests
              if not words or any(word in one[0] for word in words)]
    signal.signal(signal.SIGALRM, _on_alarm)
    print(f"1..{len(chosen)}", flush=True)
    results = [_run_test(number, *one) for number, one in enumerate(chosen, 1)]
    sys.exit(0 if all(results) else 1)
