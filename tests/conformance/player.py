# SPDX-License-Identifier: BSD-2-Clause
"""Plays a case: the other side, frame by frame.

What a program under test sends on its own account, its HELLO, PINGs (which are
answered) and WINDOWs, is passed over, unless the step wants just that. All that
it sends is held against the rules that hold in every case: see Watch.
"""

import re
import select
import socket
import struct
import time
from collections import deque
from itertools import islice

import framing
import wire
from cases import Any, Counter, Message, Name, Not, Nothing, OneOf
from dialect import Dialect, brief
from schema import Frame
from side import DEFAULT_WINDOW, FRAMES, GOAWAY, HELLO, PING, PONG, WINDOW
from watch import Watch, Wrong

PATIENCE = 30  # seconds to wait for what has to come
LIMIT = 64 << 20  # of a frame


class Player:
    """Plays one case. `program` is a client under test, with say(), line()
    and finish(), or a server that can be told to drain, or None."""

    def __init__(self, case, face, peer, program):
        self._case = case
        self._program = program
        self._socket = peer
        peer.settimeout(PATIENCE)
        self._input = framing.Frames(LIMIT)
        self._came = deque()  # frames that have been read and not been wanted yet
        self._ended = None
        self._watch = Watch(case, face)
        self._face = face
        self._out = Dialect(face, case.role == "client")
        self._in = Dialect(face, case.role == "server")
        self._names = {}
        self._left = set()  # ids that # stands for, in the step at hand
        self._may = []
        self._lines = []
        self._windows = {}
        self._hello = None
        self._since = time.monotonic()
        self._held = b""

    def play(self):
        verbs = {">": self._send, "<": self._expect, "<&": self._expect_all,
                 "may": self._allow, "say": self._say, "hear": self._hear,
                 "wait": self._wait, "eof": self._eof, "term": self._term}
        steps = list(self._case.steps)
        while steps:
            step = steps.pop(0)
            together = [step]
            while step.verb == "<&" and steps and steps[0].verb == "<&":
                together.append(steps.pop(0))
            try:
                verbs[step.verb](together if step.verb == "<&" else step)
            except (Wrong, OSError) as error:
                raise Wrong(f"line {step.line}: {step.text}\n{error}") from None
        if self._socket.fileno() >= 0:
            self._drain_socket()
            self._pass_over("behind all this comes ")

    # Sending.

    def _send(self, step):
        # Before, because the program may be quicker than this thread.
        self._since = time.monotonic()
        for number in range(1, step.options.get("times", 1) + 1):
            self._send_one(step, number)

    def _send_one(self, step, counter):
        if step.value == "end":
            self._socket.shutdown(socket.SHUT_WR)
            return
        if step.value == "reset":
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                    struct.pack("ii", 1, 0))
            self._socket.close()
            return
        data = step.value
        if isinstance(data, Message):
            message = self._out.make(
                data, self._resolve(data.id, counter))
            self._watch.look_at_sent(message)
            data = self._frame(message, step.options)
        else:
            self._watch.look_away()
        data = data[:step.options.get("cut", len(data))]
        if "more" in step.options:
            self._held += data
            return
        data, self._held = self._held + data, b""
        size = 1 if "bytewise" in step.options else max(1, len(data))
        for position in range(0, len(data), size):
            self._socket.sendall(data[position:position + size])

    def _frame(self, message, options):
        body = message.SerializeToString()
        count = bytearray(wire.varint(len(body)))
        while len(count) < options.get("count", 0):
            count[-1] |= 0x80
            count.append(0)
        if "paced" in options:
            self._wait_for_window(message.id)
            self._windows[message.id] -= len(count) + len(body)
        return bytes(count) + body

    def _wait_for_window(self, number):
        """Until the program allows another message in this call."""
        if number not in self._windows:
            hello = self._hello.stream_window if self._hello else 0
            self._windows[number] = hello or DEFAULT_WINDOW
        self._drain_socket()
        end = time.monotonic() + PATIENCE
        while self._windows[number] <= 0:
            self._read(end, "a WINDOW")

    def _resolve(self, number, counter):
        if isinstance(number, Counter):
            return counter
        if isinstance(number, Name):
            return self._names[number.name]
        return number

    # Receiving.

    def _read(self, end, wanted):
        """Waits for one more frame, or the end, and sorts it in."""
        left = end - time.monotonic()
        ready = select.select([self._socket], [], [], max(0, left))[0]
        if not ready:
            raise Wrong(f"{wanted} has not come" + self._rest())
        self._take_data()

    def _take_data(self):
        try:
            data = self._socket.recv(1 << 18)
        except ConnectionResetError:
            self._ended = "reset"
            return
        if not data:
            if self._input.is_inside():
                raise Wrong("the end came inside a frame")
            self._ended = "end"
        self._input.feed(data)
        while True:
            frame = self._input.next()
            if frame is None:
                return
            self._take(self._in.type.FromString(frame[0]))

    def _take(self, frame):
        try:
            self._watch.look_at(frame)
        except Wrong as error:
            raise Wrong(f"{error}: {brief(frame)}") from None
        if self._face is FRAMES:
            if frame.code == HELLO:
                self._hello = frame.hello
            elif frame.code == WINDOW:
                self._windows[frame.id] = frame.window + self._windows.get(
                    frame.id, self._hello.stream_window or DEFAULT_WINDOW)
            elif frame.code == PING:
                self._socket.sendall(
                    wire.frame(Frame(code=PONG).SerializeToString()))
        self._came.append(frame)

    def _drain_socket(self):
        """Takes what has come already."""
        while self._ended is None and \
                select.select([self._socket], [], [], 0)[0]:
            self._take_data()

    def _is_by_the_way(self, frame):
        """Whether the frame may come at any time."""
        if self._face is FRAMES and (
                frame.code in (PING, WINDOW) or
                (frame.code == HELLO and frame.id == 0) or
                (frame.code == GOAWAY and self._case.role == "client")):
            return True
        for step in self._may:
            if self._fits(frame, step.value):
                if "once" in step.options:
                    self._may.remove(step)
                return True
        return False

    def _fits(self, frame, message):
        if not self._in.matches(frame, message):
            return False
        number = getattr(frame, self._in.id_field)
        wanted = message.id
        if isinstance(wanted, Counter):
            is_wanted = number in self._left
            self._left.discard(number)
            return is_wanted
        if isinstance(wanted, Name):
            return self._names.setdefault(wanted.name, number) == number
        if isinstance(wanted, (Any, OneOf, Not)):
            return wanted.matches(number)
        return number == wanted

    def _next(self, wanted, end):
        """Takes the next frame, which fits one of these messages, and returns
        that. What comes by the way is passed over."""
        while True:
            while self._came:
                frame = self._came.popleft()
                for message in wanted:
                    if self._fits(frame, message):
                        return message
                if not self._is_by_the_way(frame):
                    raise Wrong(f"instead came {brief(frame)}" + self._rest())
            if self._ended:
                raise Wrong(f"instead came the {self._ended}")
            self._read(end, "that")

    def _expect(self, step):
        if isinstance(step.value, Nothing):
            self._expect_nothing(step.value.seconds)
        elif step.value in ("end", "closed"):
            self._expect_end(step.value)
        else:
            times = step.options.get("times", 1)
            self._left = set(range(1, times + 1))
            for _ in range(times):
                self._expect_one([step.value])
        self._check_time(step)

    def _expect_all(self, steps):
        wanted = [step.value for step in steps]
        while wanted:
            wanted.remove(self._expect_one(wanted))

    def _expect_one(self, wanted):
        return self._next(wanted, time.monotonic() + PATIENCE)

    def _expect_nothing(self, seconds):
        end = time.monotonic() + seconds
        while True:
            self._pass_over("something has come: ")
            left = end - time.monotonic()
            if left <= 0:
                return
            if self._ended:
                raise Wrong("the connection has ended")
            if select.select([self._socket], [], [], left)[0]:
                self._take_data()

    def _expect_end(self, how):
        end = time.monotonic() + PATIENCE
        while not self._ended:
            self._pass_over("instead came ")
            self._read(end, "the end")
        self._pass_over("before it came ")
        if how == "end" and self._ended != "end":
            raise Wrong("the connection was reset")

    def _pass_over(self, complaint):
        while self._came:
            frame = self._came.popleft()
            if not self._is_by_the_way(frame):
                raise Wrong(complaint + brief(frame))

    def _rest(self):
        return "".join(f"\nand then {brief(frame)}"
                       for frame in islice(self._came, 5))

    def _allow(self, step):
        self._may.append(step)

    def _check_time(self, step):
        if step.between:
            first, last = step.between
            passed = time.monotonic() - self._since
            if not first <= passed <= last:
                raise Wrong(f"that was after {passed:.3f} seconds")

    # The program.

    def _say(self, step):
        self._since = time.monotonic()
        self._program.say(step.value)

    def _hear(self, step):
        """The next line about what the first line here is about."""
        wanted = step.value.split(" or ")
        patterns = [".*".join(map(re.escape, one.split("*")))
                    for one in wanted]
        for _ in range(step.options.get("times", 1)):
            line = self._line_about(wanted[0].split()[1])
            if not any(re.fullmatch(one, line) for one in patterns):
                raise Wrong(f"instead it says {line[:300]!r}")
        self._check_time(step)

    def _line_about(self, subject):
        end = time.monotonic() + PATIENCE
        while True:
            for line in self._lines:
                if line.split()[1:2] == [subject]:
                    self._lines.remove(line)
                    return line
            line = self._program.line(end - time.monotonic())
            if line is None:
                raise Wrong("it says nothing of the kind, but: "
                            f"{self._lines}")
            self._lines.append(line)

    def _wait(self, step):
        time.sleep(step.value)
        self._since = time.monotonic()

    def _eof(self, _step):
        self._since = time.monotonic()
        self._program.close_input()

    def _term(self, _step):
        self._since = time.monotonic()
        self._program.drain()
