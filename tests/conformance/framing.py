# SPDX-License-Identifier: BSD-2-Clause
"""Frames on a stream: section 1 of the wire.

Frames takes bytes as they come and gives bodies; it knows no socket. Link has a
socket, a thread that reads and one that writes.

What is sent is queued and written by the one thread, in order, so that sending
never waits. Who can wait asks has_room() before. Frames that are sent at most
once while they are pending, or whose numbers can be added up, are queued under
a key: see send_merged().
"""

import os
import socket
import sys
import threading
from collections import deque

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..",
                             "programs"))
import wire  # noqa: E402

LIMIT = 4 << 20  # bytes of a body, by default
ROOM = 16 << 10  # bytes queued, from which on there is no room
LINGER = 5  # seconds that closing may take
LONGEST = 1e9  # seconds that a timer can take


class Malformed(Exception):
    """What has come is no frame."""


class TooLarge(Exception):
    """A count above the limit."""


class Frames:
    """Takes bytes, gives the bodies of the frames in them."""

    def __init__(self, limit=LIMIT):
        self._limit = limit
        self._data = bytearray()
        self._start = 0

    def feed(self, data):
        del self._data[:self._start]
        self._start = 0
        self._data += data

    def is_inside(self):
        """Whether a frame has begun and not ended, when next() gives none."""
        return len(self._data) > self._start

    def next(self):
        """(body, bytes of the whole frame), or None when more must come."""
        count, length = self._read_count()
        if count is None:
            return None
        begin, end = self._start + length, self._start + length + count
        if len(self._data) < end:
            return None
        self._start = end
        return bytes(self._data[begin:end]), length + count

    def _read_count(self):
        """The count and its own length; (None, None) as long as it goes on."""
        count = 0
        begin = self._data[self._start:self._start + 10]
        for position, byte in enumerate(begin):
            if byte > 1 and position == 9:
                raise Malformed("a count of more than 64 bits")
            count |= (byte & 0x7f) << 7 * position
            if byte < 0x80:
                if count > self._limit:
                    raise TooLarge(f"a count of {count}")
                return count, position + 1
        return None, None


class Link:
    """A socket with frames; `changed` is the one lock of the connection.

    run(on_frame, on_end) reads until the stream ends, on the thread that calls
    it: on_frame(body, size) for each frame, then on_end(reason), which is
    "well", "cut" (the end came inside a frame), "malformed", "too large", or
    "lost". When that has returned, and all that is queued was written, the
    socket is closed.
    """

    def __init__(self, peer, limit=LIMIT):
        self.socket = peer
        self.changed = threading.Condition(threading.RLock())
        self._limit = limit
        self._queue = deque()
        self._queued = 0
        self._merged = {}
        self._finishing = False
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def send(self, body):
        """Queues a frame; returns its size, as windows count it."""
        data = wire.frame(body)
        with self.changed:
            self._queue.append(data)
            self._queued += len(data)
            self.changed.notify_all()
        return len(data)

    def send_merged(self, key, number, make):
        """Queues the frame make(number). If one with this key is queued still,
        its number becomes the sum instead."""
        with self.changed:
            if key not in self._merged:
                self._queue.append(key)
                self._merged[key] = 0, make
            self._merged[key] = self._merged[key][0] + number, make
            self.changed.notify_all()

    def has_room(self):
        """Whether who can wait may send."""
        return self._queued < ROOM or self._finishing

    def finish(self):
        """Closes in good order: what is queued is written, then nothing more;
        what still comes is thrown away, until the peer ends, too, or for
        LINGER seconds."""
        with self.changed:
            if not self._finishing:
                self._finishing = True
                start_timer(LINGER, self._cut)
            self.changed.notify_all()

    def is_finishing(self):
        return self._finishing

    def run(self, on_frame, on_end):
        on_end(self._read(on_frame))
        while self._discard():
            pass
        self._writer.join()
        self.socket.close()

    def _read(self, on_frame):
        frames = Frames(self._limit)
        try:
            while True:
                data = self.socket.recv(1 << 16)
                if not data:
                    return "cut" if frames.is_inside() else "well"
                if self._finishing:
                    continue
                frames.feed(data)
                frame = frames.next()
                while frame is not None and not self._finishing:
                    on_frame(*frame)
                    frame = frames.next()
        except Malformed:
            return "malformed"
        except TooLarge:
            return "too large"
        except OSError:
            return "lost"

    def _discard(self):
        """Reads what comes behind a frame that is none; false at the end."""
        try:
            return bool(self.socket.recv(1 << 16))
        except OSError:
            return False

    def _take(self):
        """What is queued, encoded; waits until something is. None when there
        will be nothing more."""
        with self.changed:
            while not self._queue and not self._finishing:
                self.changed.wait()
            parts = []
            while self._queue:
                part = self._queue.popleft()
                if isinstance(part, tuple):
                    number, make = self._merged.pop(part)
                    part = wire.frame(make(number))
                    self._queued += len(part)
                parts.append(part)
            return b"".join(parts)

    def _write(self):
        data = self._take()
        try:
            while data:
                self.socket.sendall(data)
                with self.changed:
                    self._queued -= len(data)
                    self.changed.notify_all()
                data = self._take()
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._give_up()

    def _give_up(self):
        """Nothing can be written any more: whoever reads or waits is woken."""
        with self.changed:
            self._finishing = True
            self.changed.notify_all()
        self._cut()

    def _cut(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended, or been closed


def start_timer(seconds, function):
    timer = threading.Timer(min(seconds, LONGEST), function)
    timer.daemon = True
    timer.start()
    return timer


def listen(address):
    """A socket that listens, and its address as the peer can use it."""
    kind, place = address.split(":", 1)
    if kind == "unix":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("\0" + place[1:] if place[0] == "@" else place)
        listener.listen(128)
        return listener, address
    host, port = place.rsplit(":", 1)
    listener = socket.create_server((host.strip("[]"), int(port)), backlog=128)
    return listener, f"tcp:{host}:{listener.getsockname()[1]}"
