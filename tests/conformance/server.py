# SPDX-License-Identifier: BSD-2-Clause
"""The accepting side: serves.

A handler is a function that is given a ServerCall, on a thread of its own. What
it returns is the one response, if the method has but one. It may raise Failure.
When the call has been stopped (cancelled, its deadline has passed, the
connection has ended), what it does with the call raises Ended.
"""

import socket
import sys
import threading
import time
import traceback

import framing
from framing import TooLarge
from schema import DecodeError, Frame
from side import (CANCEL, CANCELLED, DEADLINE_EXCEEDED, DEFAULT_MAX_FRAME,
                  DEFAULT_WINDOW, END, FRAMES, INTERNAL, INVALID_ARGUMENT,
                  MESSAGE, NORMAL, RESOURCE_EXHAUSTED, UNAVAILABLE,
                  UNIMPLEMENTED, UNKNOWN, WINDOW, Call, Ended, Side)

DRAIN_LIMIT = 10  # seconds


class Failure(Exception):
    """Ends a call with a status."""

    def __init__(self, code, text=""):
        super().__init__(code, text)
        self.code = code
        self.text = text


class ServerCall(Call):
    """A call, as its handler sees it."""

    def __init__(self, side, start, method):
        super().__init__(side, start.id, method)
        self.begun = True
        self.metadata = [(one.key, one.value) for one in start.metadata]
        self.first = []  # metadata for the first frame
        self.last = []  # and for the last
        self.request = None
        self._requests = []  # (request, size)
        self._requests_ended = not method.client_streams
        self._has_sent = False
        if method.server_streams:
            self.window = side.peer_window()

    # For the handler.

    def receive(self):
        """The next request of a stream, or None behind the last."""
        with self.side.changed:
            self._wait_until(lambda: self._requests or self._requests_ended)
            if not self._requests:
                return None
            request, size = self._requests.pop(0)
            self.consume(size)
            return request

    def send(self, response):
        """One of many responses. Returns when it was sent."""
        with self.side.changed:
            self._wait_until(self.side.link.has_room)
            self.post(self._make_response(response, self._first_left()), True)
            self._has_sent = True
            self._wait_until(lambda: not self.outbox)

    def wait(self, seconds=None):
        """Lets time pass."""
        with self.side.changed:
            self.side.changed.wait_for(lambda: self.over, seconds)
            if self.over:
                raise Ended

    def _wait_until(self, condition):
        self.side.changed.wait_for(lambda: self.over or condition())
        if self.over:
            raise Ended

    # For the side, with the lock.

    def give(self, request, size):
        self._requests.append((request, size))

    def end_requests(self):
        self._requests_ended = True

    def still_takes(self):
        return not self._requests_ended

    def finish(self, response):
        """The handler has returned."""
        if self.over:
            return
        if self.method.server_streams:
            frame = Frame(id=self.id, code=END)
            _add(frame, self._first_left() + self.last)
        else:
            frame = self._make_response(response,
                                        self._first_left() + self.last)
        self.side.send(frame)
        self.leave()

    def stop(self, code, text="", not_begun=False):
        """Ends the call with a cancel."""
        if not self.over:
            self.side.refuse(self.id, code, text, not_begun,
                             self._first_left() + self.last)
            self.leave()

    def _first_left(self):
        """Metadata that the next frame has because it is the first."""
        return [] if self._has_sent else self.first

    def _make_response(self, response, metadata):
        frame = Frame(id=self.id, payload=response.SerializeToString())
        _add(frame, metadata)
        return frame


def _add(frame, metadata):
    for key, value in metadata:
        frame.metadata.add(key=key, value=value)


class ServerSide(Side):
    """A connection that has been accepted."""

    def __init__(self, server, peer):
        super().__init__(peer, server.face, server.extensions, server.window,
                         server.max_frame)
        self._handlers = server.handlers
        self._draining = False
        self._caller_is_done = False  # it starts no more calls

    def drain(self):
        with self.changed:
            self._draining = True
            if self.hello:
                self.send_goaway()
            self.look_if_done()

    def refuse(self, number, code, text="", not_begun=False, metadata=()):
        frame = Frame(id=number, code=CANCEL)
        if self.face.is_frames:
            frame.status.code = code
            frame.status.message = text
            frame.not_begun = not_begun
            _add(frame, metadata)
        self.send(frame)

    def take_call(self, frame, size):
        call = self.calls.get(frame.id)
        if frame.code == NORMAL:
            if call is None:
                self._start(frame)
            else:
                call.stop(INVALID_ARGUMENT, "the id is in flight")
        elif call is None:
            self.stray += 1
        elif frame.code == END:
            call.end_requests()
        elif frame.code == WINDOW and self.hello:
            if not call.take_window(frame.window):
                call.stop(INTERNAL, "the window is too large")
        elif frame.code == MESSAGE and self.hello:
            self._take_message(call, frame, size)
        else:
            call.stop(CANCELLED)

    def take_goaway(self):
        self._caller_is_done = True
        self.look_if_done()

    def look_if_done(self):
        """No call can come any more, and none is there: closes."""
        no_more = (self.reason is not None or self._caller_is_done or
                   (self._draining and not self.hello))
        if no_more and not self.calls:
            self.link.finish()

    def end_calls(self):
        """Those whose requests have all come are answered, if the peer has
        closed its side in good order."""
        for call in list(self.calls.values()):
            if self.reason != "well" or call.still_takes():
                call.stop(CANCELLED, "the connection has ended")
        self.look_if_done()

    def _start(self, frame):
        if self._caller_is_done or (self._draining and not self.hello):
            self.refuse(frame.id, UNAVAILABLE, "draining", not_begun=True)
            return
        method = self.methods.get(frame.method)
        if method is None or (method.client_streams and not self.hello):
            self.refuse(frame.id, UNIMPLEMENTED, "no such method")
            return
        call = ServerCall(self, frame, method)
        if not method.client_streams:
            try:
                call.request = method.request.FromString(frame.payload)
            except DecodeError:
                self.refuse(frame.id, INVALID_ARGUMENT,
                            "a request that is none")
                return
        # Who does not read its answers gets no more of them.
        self.changed.wait_for(self.link.has_room)
        self.calls[call.id] = call
        if frame.timeout_us:
            call.timer = framing.start_timer(frame.timeout_us / 1e6,
                                             lambda: self._expire(call))
        threading.Thread(target=self._serve, args=(call,), daemon=True).start()

    def _take_message(self, call, frame, size):
        if not call.still_takes():
            self.stray += 1
            return
        try:
            call.give(call.method.request.FromString(frame.payload), size)
        except DecodeError:
            call.stop(INVALID_ARGUMENT, "a request that is none")

    def _expire(self, call):
        with self.changed:
            call.stop(DEADLINE_EXCEEDED, "the time is up")

    def _serve(self, call):
        handler = self._handlers[call.method.name.lower()]
        try:
            response = handler(call)
            with self.changed:
                call.finish(response)
        except Ended:
            pass  # its end was sent by who has stopped it
        except Failure as failure:
            self._stop(call, failure.code, failure.text)
        except TooLarge:
            self._stop(call, RESOURCE_EXHAUSTED, "the response is too large")
        except Exception:  # whatever it is, it is the handler's
            traceback.print_exc(file=sys.stderr)
            self._stop(call, UNKNOWN, "")

    def _stop(self, call, code, text):
        with self.changed:
            call.stop(code, text)


class Server:
    """Listens, and serves whoever connects, on threads of its own.

    `handlers` are by the names of the methods in small letters. Without
    `extensions` it has codes 0, 1 and 2 only. `face` is FRAMES, or
    MESSAGES_SERVER, which never has more.
    """

    def __init__(self, address, handlers, face=FRAMES, extensions=True,
                 window=DEFAULT_WINDOW, max_frame=DEFAULT_MAX_FRAME):
        self.handlers = handlers
        self.face = face
        self.extensions = extensions
        self.window = window
        self.max_frame = max_frame
        self._sides = []
        self._stray = 0  # of the connections that have ended
        self._listener, self.address = framing.listen(address)
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def get_stray(self):
        """Frames that were ignored because they belong to no call."""
        return self._stray + sum(side.stray for side in list(self._sides))

    def drain(self):
        """Listens no more; returns when all calls and connections have ended,
        or after DRAIN_LIMIT."""
        self._listener.shutdown(socket.SHUT_RDWR)  # which ends _accept()
        self._acceptor.join()
        sides = list(self._sides)
        for side in sides:
            side.drain()
        end = time.monotonic() + DRAIN_LIMIT
        for side in sides:
            side.thread.join(max(0, end - time.monotonic()))

    def _accept(self):
        try:
            while True:
                side = ServerSide(self, self._listener.accept()[0])
                side.thread = threading.Thread(
                    target=self._run, args=(side,), daemon=True)
                self._sides.append(side)
                side.thread.start()
        except OSError:
            self._listener.close()  # drain() has shut it down

    def _run(self, side):
        side.run()
        self._sides.remove(side)
        self._stray += side.stray
