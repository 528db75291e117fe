# SPDX-License-Identifier: BSD-2-Clause
"""What both ends of a connection with calls do alike, and the two faces.

Everything above this speaks of Frames. The faces FRAMES and ECHO_FRAMES, which
differ in the methods that they know, put them on the wire as they are; the two
MESSAGES_ make of them the Request and Response of proto/echo.proto,
in which only the id, the code and the message itself have a place.

A Side keeps the table of its calls, under the one lock of its link; server.py
and client.py say what each does with a frame. What a call sends waits in its
outbox until it has begun and the peer's window allows it.
"""

import framing
from framing import Malformed, TooLarge
from schema import (ECHO_METHODS, ECHO_SERVICE, METHODS, DecodeError,
                    EchoRequest, EchoResponse, Frame)

NORMAL, CANCEL, END = 0, 1, 2
HELLO, PING, PONG, GOAWAY, WINDOW, MESSAGE = range(16, 22)

(OK, CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED,
 RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE) = (
     0, 1, 2, 3, 4, 8, 12, 13, 14)

DEFAULT_WINDOW = 256 << 10
DEFAULT_MAX_FRAME = 4 << 20
MOST_WINDOW = 1 << 62


class Ended(Exception):
    """The call has ended, so nothing more can be done in it."""


class FrameFace:
    """Section 3."""

    is_frames = True

    def __init__(self, methods):
        self.methods = methods

    def decode(self, body):
        try:
            return Frame.FromString(body)
        except DecodeError:
            raise Malformed("no Frame") from None

    def encode(self, frame):
        return frame.SerializeToString()


class MessageFace:
    """Section 2, as echo.proto has it. A start's payload is the request, and
    the method what it asks for; a response's payload is the response. An id
    and a code in them are not looked at."""

    is_frames = False
    methods = ECHO_METHODS

    def __init__(self, incoming, outgoing):
        self._incoming = incoming
        self._outgoing = outgoing

    def decode(self, body):
        try:
            message = self._incoming.FromString(body)
        except DecodeError:
            raise Malformed("no message of this type") from None
        frame = Frame(id=message.request_id, code=message.code, payload=body)
        if self._incoming is EchoRequest and frame.code == NORMAL:
            streams = message.response_behavior == 1
            kind = "download" if streams else "unary"
            frame.method = ECHO_METHODS[kind].number
        return frame

    def encode(self, frame):
        message = self._outgoing.FromString(frame.payload)
        message.request_id = frame.id
        message.code = frame.code
        return message.SerializeToString()


FRAMES = FrameFace(METHODS)
ECHO_FRAMES = FrameFace(ECHO_SERVICE)
MESSAGES_SERVER = MessageFace(EchoRequest, EchoResponse)
MESSAGES_CLIENT = MessageFace(EchoResponse, EchoRequest)


class Call:
    """What either side knows of a call. Belongs to the lock of its side."""

    def __init__(self, side, number, method):
        self.side = side
        self.id = number
        self.method = method
        self.begun = False  # may send
        self.over = False  # is no longer in the table of its side
        self.window = None  # bytes that may be sent; None: as many as one likes
        self.outbox = []  # (body, whether the window counts it)
        self.consumed = 0  # bytes received and read, and not given back yet
        self.timer = None

    def post(self, frame, is_counted):
        """Sends `frame` as soon as the window allows it."""
        self.outbox.append((self.side.encode(frame), is_counted))
        self.pump()

    def pump(self):
        while self.outbox and self.begun and not self.over and \
                (self.window is None or self.window > 0 or
                 not self.outbox[0][1]):
            body, is_counted = self.outbox.pop(0)
            size = self.side.link.send(body)
            if is_counted and self.window is not None:
                self.window -= size
        self.side.changed.notify_all()

    def take_window(self, more):
        """The peer allows `more` bytes; false if that is too many."""
        if self.window is None:
            return True
        if self.window + more > MOST_WINDOW:
            return False
        self.window += more
        self.pump()
        return True

    def consume(self, size):
        """A message of this size in a stream has been read: the peer may send
        more. It is told when half of the window has been used up."""
        self.consumed += size
        if self.side.hello and not self.over and \
                self.consumed * 2 >= self.side.window:
            self.side.link.send_merged(
                (self.id, WINDOW), self.consumed,
                lambda sum: FRAMES.encode(
                    Frame(id=self.id, code=WINDOW, window=sum)))
            self.consumed = 0

    def leave(self):
        """The call is over."""
        self.over = True
        self.side.calls.pop(self.id, None)
        if self.timer:
            self.timer.cancel()
        self.side.changed.notify_all()
        self.side.look_if_done()


class Side:
    """One end of a connection."""

    def __init__(self, peer, face, extensions, window, max_frame):
        self.link = framing.Link(peer, max_frame)
        self.changed = self.link.changed
        self.face = face
        self.extensions = extensions and face.is_frames
        self.methods = {one.number: one for one in face.methods.values()}
        self.window = window
        self.calls = {}
        self.stray = 0  # frames that were ignored because they belong nowhere
        self.heard = False  # the peer's first frame has come
        self.hello = None  # which was this
        self.reason = None  # why the input has ended
        if self.extensions:
            frame = Frame(code=HELLO)
            frame.hello.version = 1
            frame.hello.stream_window = window
            frame.hello.max_frame_size = max_frame
            self.send(frame)

    def run(self):
        """Does all that the input asks for, until the connection is closed."""
        self.link.run(self._take_frame, self._end)

    # What the two ends have to say.

    def take_call(self, frame, size):
        """A frame with a call's id, or that of none."""
        raise NotImplementedError

    def take_goaway(self):
        raise NotImplementedError

    def know(self):
        """The first frame has come, or the input has ended without one."""

    def end_calls(self):
        """The input has ended."""
        raise NotImplementedError

    def look_if_done(self):
        """A call has ended: finishes the connection if it was the last."""

    # What they use.

    def encode(self, frame):
        """Raises TooLarge for what is more than the peer takes."""
        body = self.face.encode(frame)
        most = self.hello.max_frame_size if self.hello else 0
        if len(body) > (most or DEFAULT_MAX_FRAME):
            raise TooLarge(f"a frame of {len(body)} bytes")
        return body

    def send(self, frame):
        return self.link.send(self.encode(frame))

    def send_goaway(self):
        self.link.send_merged((0, GOAWAY), 0,
                              lambda _: FRAMES.encode(Frame(code=GOAWAY)))

    def peer_window(self):
        """What a stream may send before a WINDOW."""
        if not self.hello:
            return None
        return self.hello.stream_window or DEFAULT_WINDOW

    def _take_frame(self, body, size):
        frame = self.face.decode(body)
        with self.changed:
            is_first = not self.heard
            self.heard = True
            if self.face.is_frames and frame.id == 0:
                self._take_connection(frame, is_first)
            else:
                self.take_call(frame, size)
            if is_first:
                self.know()
            self.changed.notify_all()

    def _take_connection(self, frame, is_first):
        """A frame about the connection itself."""
        if not self.extensions:
            self.stray += 1
        elif frame.code == HELLO and is_first:
            self.hello = frame.hello
        elif frame.code == PING:
            self.link.send_merged((0, PONG), 0,
                                  lambda _: FRAMES.encode(Frame(code=PONG)))
        elif frame.code == GOAWAY:
            self.take_goaway()
        elif frame.code != PONG:
            self.stray += 1

    def _end(self, reason):
        with self.changed:
            self.reason = reason
            self.end_calls()
            self.changed.notify_all()
