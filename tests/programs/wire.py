# SPDX-License-Identifier: BSD-2-Clause
"""The wire, spoken by hand, so that no code of the library's is on both ends.

A frame is a varint byte count and a protobuf message. Of protobuf only what
proto/echo.proto and examples/chat.proto need is here: numbers and bytes.
"""

import socket
import struct
from typing import NamedTuple

NORMAL, CANCEL, END = 0, 1, 2

# What a message may have at most, by default.
MAX_MESSAGE = 4 << 20


def varint(value):
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7f | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def frame(payload):
    return varint(len(payload)) + payload


def number_field(field, value):
    """A field of type 0; left out if it is 0, as proto3 has it."""
    return varint(field << 3) + varint(value) if value else b""


def bytes_field(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value


def request(call, message=None, code=NORMAL, behavior=0, nanotime=0):
    """A frame with a Request; without a body if there is no `message`."""
    payload = number_field(1, call) + number_field(2, code)
    if message is not None:
        body = bytes_field(1, message) if message else b""
        payload += bytes_field(3, body + number_field(2, nanotime))
    return frame(payload + number_field(4, behavior))


def stream_request(call, message, nanotime=0):
    return request(call, message, behavior=1, nanotime=nanotime)


class Response(NamedTuple):
    """A Response; `kind` is the field that holds its body, or 0."""

    call: int
    code: int = NORMAL
    kind: int = 0
    message: bytes = b""
    nanotime: int = 0
    sequence: int = 0

    def encode(self):
        """As a frame."""
        payload = number_field(1, self.call) + number_field(2, self.code)
        if self.kind:
            payload += bytes_field(
                self.kind, bytes_field(1, self.message) +
                number_field(2, self.nanotime) +
                number_field(3, self.sequence))
        return frame(payload)


def echo(call, message, nanotime=0):
    return Response(call, kind=3, message=message, nanotime=nanotime)


def item(call, message, sequence, nanotime=0):
    return Response(call, kind=4, message=message, nanotime=nanotime,
                    sequence=sequence)


def cancel(call):
    return Response(call, code=CANCEL)


def end(call):
    return Response(call, code=END)


def decode_response(payload):
    fields = decode(payload)
    kind = 3 if 3 in fields else 4 if 4 in fields else 0
    body = decode(fields[kind]) if kind else {}
    return Response(fields.get(1, 0), fields.get(2, 0), kind,
                    body.get(1, b""), body.get(2, 0), body.get(3, 0))


def item_frames(call, character, first, last):
    """The frames of the items `first` to `last` - 1 of a stream of one and
    the same character. Item by item would take too long for a million."""
    before = number_field(1, call) + b"\x22"
    text = bytes_field(1, character)
    frames = []
    for sequence in range(first, last):
        body = text + number_field(3, sequence)
        payload = before + bytes((len(body),)) + body
        frames.append(bytes((len(payload),)) + payload)
    return b"".join(frames)


def _read_varint(data, position):
    """The value, and the position behind it. Too short: an IndexError."""
    value = data[position]
    if value < 0x80:
        return value, position + 1
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7f) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def decode(payload):
    """The fields of a message, by number: ints and bytes. All numbers are
    below 16, so that a tag is a byte."""
    fields = {}
    position = 0
    while position < len(payload):
        tag = payload[position]
        value, position = _read_varint(payload, position + 1)
        if tag & 7 == 2:
            length = value
            value = payload[position:position + length]
            position += length
        fields[tag >> 3] = value
    return fields


def dial(address):
    """A socket that is connected to an address as the servers print it."""
    kind, place = address.split(":", 1)
    if kind == "unix":
        peer = socket.socket(socket.AF_UNIX)
        try:
            peer.connect("\0" + place[1:] if place[0] == "@" else place)
        except OSError:
            peer.close()
            raise
        return peer
    host, port = place.rsplit(":", 1)
    return socket.create_connection((host.strip("[]"), int(port)))


class Connection:
    """One end of a connection: frames, or lines, or bytes."""

    def __init__(self, address):
        """`address`, or a socket that is connected."""
        self.socket = dial(address) if isinstance(address, str) else address
        self._data = b""
        self._position = 0

    def send(self, *frames):
        self.socket.sendall(b"".join(frames))

    def end(self):
        """Nothing more will be sent; what is owed can still be read."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        self.socket.close()

    def reset(self):
        """Ends a TCP connection as a crash would."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                               struct.pack("ii", 1, 0))
        self.socket.close()

    def _receive(self):
        """Adds to the data; returns whether there was any left to come."""
        more = self.socket.recv(1 << 18)
        self._data = self._data[self._position:] + more
        self._position = 0
        return len(more) > 0

    def _take(self, length):
        taken = self._data[self._position:self._position + length]
        self._position += length
        return taken

    def bytes(self, length):
        """The next bytes, fewer only at the end."""
        parts = []
        while length > 0:
            part = self._take(min(length, len(self._data) - self._position))
            parts.append(part)
            length -= len(part)
            if length > 0 and not self._receive():
                break
        return b"".join(parts)

    def payload(self):
        """The next frame's, or None at the end."""
        while True:
            try:
                length, start = _read_varint(self._data, self._position)
                if start + length <= len(self._data):
                    self._position = start
                    return self._take(length)
            except IndexError:
                pass  # the byte count has not come as a whole
            if not self._receive():
                if self._position < len(self._data):
                    raise AssertionError("the end came inside a frame")
                return None

    def line(self):
        """The next line, without its end, or None at the end."""
        while True:
            feed = self._data.find(b"\n", self._position)
            if feed >= 0:
                return self._take(feed + 1 - self._position)[:-1].decode()
            if not self._receive():
                if self._position < len(self._data):
                    raise AssertionError("the end came inside a line")
                return None

    def lines(self):
        """The lines up to the end."""
        return list(iter(self.line, None))

    def response(self):
        """The next response, or None at the end."""
        payload = self.payload()
        return None if payload is None else decode_response(payload)

    def responses(self, count=None):
        """The next `count` responses, or all up to the end."""
        if count is not None:
            return [self.response() for _ in range(count)]
        return list(iter(self.response, None))

    def is_closed(self):
        """Waits for the end, however it comes; throws away what comes."""
        try:
            while self._receive():
                self._position = len(self._data)
        except ConnectionResetError:
            pass  # the server has not read all that was sent
        return True
