# SPDX-License-Identifier: BSD-2-Clause
"""The connecting side: calls.

start() never waits, nor does what is done with a call: what can't be sent yet
is kept. What comes is kept as well, and counts as read, for the window, when it
is taken out of ClientCall.events().
"""

import threading
import time
from typing import NamedTuple

import framing
from framing import TooLarge
from schema import DecodeError, Frame
from side import (CANCEL, CANCELLED, DEADLINE_EXCEEDED, DEFAULT_MAX_FRAME,
                  DEFAULT_WINDOW, END, FRAMES, INTERNAL, MESSAGE, NORMAL, OK,
                  RESOURCE_EXHAUSTED, UNAVAILABLE, UNIMPLEMENTED, UNKNOWN,
                  WINDOW, Call, Side)
import wire

HELLO_LIMIT = 1  # seconds that a client stream waits for the peer's HELLO


class Status(NamedTuple):
    """How a call has ended."""

    code: int
    text: str = ""
    not_begun: bool = False


class ClientCall(Call):
    """A call, as its caller sees it."""

    def __init__(self, side, number, method, request, metadata, timeout):
        super().__init__(side, number, method)
        self.status = None
        self._request = request
        self._metadata = metadata
        self._deadline = None
        self._has_response = False
        self._happened = []  # (kind, value, size)
        if timeout is not None:
            self._deadline = time.monotonic() + timeout
            self.timer = framing.start_timer(timeout, self._expire)

    # For the caller.

    def send(self, request):
        """One more request of a stream."""
        with self.side.changed:
            if not self.over:
                frame = Frame(id=self.id, code=MESSAGE,
                              payload=request.SerializeToString())
                try:
                    self.post(frame, True)
                except TooLarge as error:
                    self._give_up(Status(RESOURCE_EXHAUSTED, str(error)))

    def end(self):
        """There are no more requests."""
        with self.side.changed:
            if not self.over:
                self.post(Frame(id=self.id, code=END), False)

    def cancel(self):
        with self.side.changed:
            self._give_up(Status(CANCELLED))

    def events(self):
        """What comes, as it comes: ("metadata", [(key, value)]) and ("message",
        response) as often as need be, at last ("ended", status)."""
        kind = None
        while kind != "ended":
            with self.side.changed:
                self.side.changed.wait_for(lambda: self._happened)
                kind, value, size = self._happened.pop(0)
                if size and self.method.server_streams:
                    self.consume(size)
            yield kind, value

    # For the side, with the lock.

    def begin(self):
        """Sends the start."""
        frame = Frame(id=self.id, method=self.method.number)
        if not self.side.face.is_frames:
            frame.method = 0
        if self._request is not None:
            frame.payload = self._request.SerializeToString()
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            frame.timeout_us = max(1, int(-(-left * 1e6 // 1)))
        for key, value in self._metadata:
            frame.metadata.add(key=key, value=value)
        self.side.send(frame)
        self.begun = True
        if self.method.client_streams:
            self.window = self.side.peer_window()
        self.pump()

    def take_metadata(self, frame):
        if frame.metadata:
            self._happened.append(
                ("metadata", [(one.key, one.value) for one in frame.metadata],
                 0))

    def take_response(self, frame, size):
        try:
            response = self.method.response.FromString(frame.payload)
        except DecodeError:
            self._leave(Status(INTERNAL, "a response that is none"),
                        self.method.server_streams)
            return
        self._has_response = True
        self._happened.append(("message", response, size))
        if not self.method.server_streams:
            self._leave(Status(OK))

    def take_end(self, frame):
        if frame.status.code:
            self._leave(Status(frame.status.code, frame.status.message))
        elif not self.method.server_streams:
            self._leave(Status(INTERNAL, "no response"))
        else:
            self._leave(Status(OK))

    def take_cancel(self, frame):
        code = frame.status.code or UNKNOWN if frame.HasField("status") \
            else CANCELLED
        self._leave(Status(code, frame.status.message, frame.not_begun))

    def take_more_window(self, frame):
        if not self.take_window(frame.window):
            self._give_up(Status(INTERNAL, "the window is too large"))

    def fail(self, status):
        """Ends without a word to the server."""
        self._leave(status)

    def _expire(self):
        with self.side.changed:
            self._give_up(Status(DEADLINE_EXCEEDED, "the time is up"))

    def _give_up(self, status):
        if not self.over:
            self._leave(status, self.begun)

    def _leave(self, status, tell=False):
        if tell:
            self.side.send(Frame(id=self.id, code=CANCEL))
        self.status = status
        self._happened.append(("ended", status, 0))
        self.leave()


class Client(Side):
    """A connection to a server, and the calls on it. `face` is FRAMES, or
    MESSAGES_CLIENT. Without `extensions` it has codes 0, 1 and 2 only."""

    def __init__(self, address, face=FRAMES, extensions=True,
                 window=DEFAULT_WINDOW, max_frame=DEFAULT_MAX_FRAME):
        self._next = 1
        self._waiting = []  # calls, for the peer's first frame
        self._goaway = False
        self._closing = False
        super().__init__(wire.dial(address), face, extensions, window,
                         max_frame)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def start(self, name, request=None, metadata=(), timeout=None):
        """Calls a method, by its name in small letters. `timeout` is in
        seconds."""
        with self.changed:
            call = ClientCall(self, self._next, self.face.methods[name],
                              request, metadata, timeout)
            self._next += 1
            self.calls[call.id] = call
            if self.reason is not None:
                call.fail(Status(UNAVAILABLE, "the connection has ended"))
            elif self._goaway or self._closing:
                call.fail(Status(UNAVAILABLE, "no more calls", True))
            elif call.method.client_streams and not self.hello:
                self._await_hello(call)
            else:
                self._begin(call)
            return call

    def close(self, wait=None):
        """Starts no more calls, and closes in good order when those that there
        are have ended. Returns when the connection has ended, or after `wait`
        seconds."""
        with self.changed:
            self._closing = True
            self.look_if_done()
        self.thread.join(wait)

    def take_call(self, frame, size):
        call = self.calls.get(frame.id)
        if call is None or not call.begun:
            self.stray += 1
            return
        if frame.code == WINDOW and self.hello:
            call.take_more_window(frame)
            return
        call.take_metadata(frame)
        if frame.code == NORMAL:
            call.take_response(frame, size)
        elif frame.code == END:
            call.take_end(frame)
        else:
            call.take_cancel(frame)

    def take_goaway(self):
        if not self._goaway:
            self._goaway = True
            self.send_goaway()
            for call in self._take_waiting():
                call.fail(Status(UNAVAILABLE, "no more calls", True))
            self.look_if_done()

    def know(self):
        for call in self._take_waiting():
            if self.hello:
                self._begin(call)
            else:
                call.fail(Status(UNIMPLEMENTED, "the peer has no streams"))

    def look_if_done(self):
        if not self.calls and (self._closing or self.reason is not None):
            self.link.finish()

    def end_calls(self):
        self._take_waiting()
        for call in list(self.calls.values()):
            call.fail(Status(UNAVAILABLE, "the connection has ended"))
        self.look_if_done()

    def _begin(self, call):
        try:
            call.begin()
        except TooLarge as error:
            call.fail(Status(RESOURCE_EXHAUSTED, str(error)))

    def _await_hello(self, call):
        if self.heard or not self.extensions:
            call.fail(Status(UNIMPLEMENTED, "the peer has no streams"))
            return
        self._waiting.append(call)
        framing.start_timer(HELLO_LIMIT, lambda: self._wait_no_longer(call))

    def _wait_no_longer(self, call):
        with self.changed:
            if call in self._waiting:
                self._waiting.remove(call)
                if not call.over:
                    call.fail(Status(UNIMPLEMENTED,
                                     "the peer has said nothing"))

    def _take_waiting(self):
        waiting = [call for call in self._waiting if not call.over]
        self._waiting = []
        return waiting
