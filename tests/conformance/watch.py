# SPDX-License-Identifier: BSD-2-Clause
"""What holds in every case, whatever else is wanted."""

from schema import METHODS
from side import (CANCEL, END, FRAMES, GOAWAY, HELLO, MESSAGE, NORMAL, PING,
                  PONG, WINDOW)


class Wrong(Exception):
    """The program under test has done something else than it should."""


class Watch:
    """The rules that everything that a program sends is held against."""

    def __init__(self, case, face):
        self._role = case.role
        self._frames = face is FRAMES
        self._extensions = self._frames and "plain" not in case.options
        self._first = True
        self._calls = {}  # id: method, of the calls in flight
        self._used = set()  # ids of the calls that a client has started
        self._goaway = False  # a client has said it
        self._is_blind = False  # the player has sent bytes as they are
        self.said_hello = False  # the player has

    def look_at_sent(self, frame):
        """A frame that the player has sent."""
        if self._frames and frame.id == 0:
            self.said_hello |= frame.code == HELLO
        elif self._role == "server" and frame.code == NORMAL:
            self._calls.setdefault(self._id(frame), frame)
        elif self._role == "client":
            self._look_at_response(frame)

    def look_away(self):
        """The player sends bytes that may be anything."""
        self._is_blind = True

    def look_at(self, frame):
        """A frame that has come from the program."""
        if self._extensions:
            if self._first != (frame.code == HELLO and frame.id == 0):
                raise Wrong("HELLO is the first frame, once")
            if self._first and frame.hello.version != 1:
                raise Wrong("the version in HELLO is 1")
            if not self.said_hello and frame.code > END and \
                    frame.code != HELLO:
                raise Wrong("an extension is used without a HELLO")
        elif frame.code > END:
            raise Wrong("an extension is used")
        self._first = False
        if self._frames and frame.id == 0:
            if frame.code not in (HELLO, PING, PONG, GOAWAY):
                raise Wrong("the id 0 belongs to the connection")
            self._goaway |= frame.code == GOAWAY
        elif self._role == "server":
            self._look_at_response(frame)
        else:
            self._look_at_request(frame)

    def _id(self, frame):
        return frame.id if self._frames else frame.request_id

    def _look_at_response(self, frame):
        """From a server; a player may send what it likes."""
        number = self._id(frame)
        start = self._calls.get(number)
        if frame.code == WINDOW and start is None:
            return  # it may have crossed with the end
        if start is None:
            if self._role == "server" and not self._is_blind:
                raise Wrong("an answer to no call")
            return
        if frame.code in (CANCEL, END) or (
                frame.code == NORMAL and not self._is_stream(start)):
            del self._calls[number]
        elif frame.code not in (NORMAL, WINDOW) and self._role == "server":
            raise Wrong("a code that no server sends")

    def _look_at_request(self, frame):
        number = self._id(frame)
        if frame.code == NORMAL:
            if number in self._used:
                raise Wrong("an id is used twice")
            if self._goaway and self._role == "client":
                raise Wrong("a start comes behind the client's GOAWAY")
            self._used.add(number)
            self._calls[number] = frame
        elif number not in self._used:
            raise Wrong("there is no such call")
        elif frame.code not in (CANCEL, END, WINDOW, MESSAGE):
            raise Wrong("a code that no client sends")

    def _is_stream(self, start):
        if not self._frames:
            return start.response_behavior == 1
        return start.method in [one.number for one in METHODS.values()
                                if one.server_streams]
