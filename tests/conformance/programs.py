# SPDX-License-Identifier: BSD-2-Clause
"""The programs under test, running, and cases played against them."""

import os
import queue
import signal
import subprocess
import tempfile
import threading

import framing
import wire
from player import PATIENCE, Player
from side import FRAMES, MESSAGES_SERVER
from watch import Wrong

_running = set()


class Program:
    """A program. Its lines are read all the time, whether wanted or not."""

    def __init__(self, command):
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._errors)
        self._is_draining = False
        _running.add(self)
        self._lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def line(self, patience=PATIENCE):
        """The next line, without its end; None at the end, or too late."""
        try:
            return self._lines.get(timeout=max(0, patience))
        except queue.Empty:
            return None

    def lines(self):
        """All lines up to the end."""
        return list(iter(self.line, None))

    def say(self, line):
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def close_input(self):
        self._process.stdin.close()

    def drain(self):
        """Tells a server to end; once, for a second time means: at once."""
        if not self._is_draining:
            self._is_draining = True
            self._process.send_signal(signal.SIGTERM)

    def finish(self):
        """The program comes to its end, as it should."""
        self.close_input()
        try:
            status = self._process.wait(2 * PATIENCE)
        except subprocess.TimeoutExpired:
            raise Wrong("the program does not end") from None
        if status != 0:
            raise Wrong(f"it ends with status {status}: {self.errors()}")
        if self.errors():
            raise Wrong(f"it says on standard error: {self.errors()}")
        self.kill()

    def errors(self):
        size = os.fstat(self._errors.fileno()).st_size
        return os.pread(self._errors.fileno(), min(size, 4000), 0).decode(
            errors="replace")

    def kill(self):
        """Nothing is left after this."""
        _running.discard(self)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def _read(self):
        try:
            for line in self._process.stdout:
                self._lines.put(line.decode().rstrip("\n"))
        except ValueError:
            pass  # closed by kill()
        self._lines.put(None)


def kill_all():
    for program in list(_running):
        program.kill()


class Side:
    """What can be tested: a server or a client of somebody's. `commands` has,
    for each way of running it ("frames", "plain", "messages"), a function that
    makes a command line for an address."""

    def __init__(self, name, role, commands, directory):
        self.name = name
        self.role = role
        self._commands = commands
        self._directory = directory
        self._shared = {}
        self._lock = threading.Lock()
        self._count = 0

    def can(self, way):
        return way in self._commands

    def exists(self):
        """Whether the programs are there."""
        return all(os.path.exists(command("")[0])
                   for command in self._commands.values())

    def start(self, way, address):
        return Program(self._commands[way](address))

    def serve(self, way):
        """Starts a server: the program, and where it listens. Over messages it
        is a unix socket, which takes less before it is full."""
        program = self.start(way, self.place(way))
        line = program.line()
        if line is None or not line.startswith("listening on "):
            program.kill()
            raise Wrong(f"{self.name} says {line!r}, {program.errors()}")
        return program, line.split(" ", 2)[2]

    def place(self, way):
        """Where a server may listen."""
        if way != "messages":
            return "tcp:127.0.0.1:0"
        with self._lock:
            self._count += 1
            return "unix:" + os.path.join(
                self._directory, f"{self.name}-{self.role}-{self._count}")

    def shared(self, way):
        """A server for all cases that can do with one."""
        with self._lock:
            if way in self._shared:
                return self._shared[way]
        program_and_address = self.serve(way)
        with self._lock:
            if way not in self._shared:
                self._shared[way] = program_and_address
                return program_and_address
        program_and_address[0].kill()
        return self._shared[way]

    def finish_shared(self):
        for program, _ in self._shared.values():
            program.drain()
            program.finish()

    def play(self, case):
        """Plays a case; raises Wrong if the program does not what it should."""
        if self.role == "server":
            self._play_server(case)
        else:
            self._play_client(case)

    def _play_server(self, case):
        is_alone = "alone" in case.options
        way = way_of(case)
        program, address = self.serve(way) if is_alone else self.shared(way)
        try:
            with wire.dial(address) as peer:
                Player(case, _face(way), peer, program).play()
            if is_alone:
                program.drain()
                program.finish()
        finally:
            if is_alone:
                program.kill()

    def _play_client(self, case):
        way = way_of(case)
        listener, address = framing.listen(self.place(way))
        with listener:
            listener.settimeout(PATIENCE)
            program = self.start(way, address)
            try:
                with listener.accept()[0] as peer:
                    Player(case, _face(way), peer, program).play()
                program.finish()
            except Wrong as error:
                raise Wrong(f"{error}\n{program.errors()}") from None
            finally:
                program.kill()


def way_of(case):
    """How the program is run for a case."""
    for option in ("messages", "plain"):
        if option in case.options:
            return option
    return "frames"


def _face(way):
    return MESSAGES_SERVER if way == "messages" else FRAMES
