# SPDX-License-Identifier: BSD-2-Clause
"""The test services, and the two programs around them.

conformance.proto says what its service does, proto/echo.proto the same of its
own; the top of tests/programs/test_conformance.py, how the programs are run.
"""

import signal
import sys
import threading

from client import Client
from schema import EchoRequest, EchoResponse, Request, Response
from server import Failure, Server
from side import FRAMES, MESSAGES_CLIENT, MESSAGES_SERVER, Ended

_print_lock = threading.Lock()


def say(*words):
    with _print_lock:
        print(*words, flush=True)


# ---- The server ----

def filler(size):
    return size * b"x"


def reply_metadata(call):
    call.first = [one for one in call.metadata if one[0].startswith("first-")]
    call.last = [one for one in call.metadata if one[0].startswith("last-")]


def wait(call, request):
    if request.delay_ms:
        call.wait(request.delay_ms / 1000)


def fail_if_asked(request):
    if request.status_code:
        raise Failure(request.status_code, request.status_text)


class Service:
    """The handlers of conformance.Conformance."""

    def __init__(self):
        self.server = None

    def handlers(self):
        return {"unary": self.unary, "download": self.download,
                "upload": self.upload, "chat": self.chat, "hang": self.hang}

    def unary(self, call):
        reply_metadata(call)
        request = call.request
        wait(call, request)
        fail_if_asked(request)
        return Response(
            text=request.text, messages=1, bytes=len(request.filler),
            filler=filler(request.size),
            stray=self.server.get_stray() if request.ask_stray else 0)

    def download(self, call):
        reply_metadata(call)
        self.answer(call, call.request, 0)

    def answer(self, call, request, sequence):
        """The responses to one request; returns the next one's number."""
        for _ in range(request.count):
            wait(call, request)
            call.send(Response(text=request.text, sequence=sequence,
                               filler=filler(request.size)))
            sequence += 1
        fail_if_asked(request)
        return sequence

    def upload(self, call):
        reply_metadata(call)
        response = Response()
        size = 0
        for request in iter(call.receive, None):
            wait(call, request)
            fail_if_asked(request)
            response.text += request.text
            response.messages += 1
            response.bytes += len(request.filler)
            size = request.size
        response.filler = filler(size)
        return response

    def chat(self, call):
        reply_metadata(call)
        sequence = 0
        for request in iter(call.receive, None):
            sequence = self.answer(call, request, sequence)

    def hang(self, call):
        reply_metadata(call)
        try:
            call.wait()
        except Ended:
            say("stopped", "Hang")
            raise


def echo_unary(call):
    request = call.request
    if not request.HasField("body"):
        raise Failure(3, "no body")
    response = EchoResponse()
    response.echo.message = request.body.message
    response.echo.nanotime = request.body.nanotime
    return response


def echo_download(call):
    request = call.request
    if not request.HasField("body"):
        raise Failure(3, "no body")
    for sequence, byte in enumerate(request.body.message.encode()):
        response = EchoResponse()
        response.stream.message = chr(byte)
        response.stream.nanotime = request.body.nanotime
        response.stream.sequence = sequence
        call.send(response)


ECHO_HANDLERS = {"unary": echo_unary, "download": echo_download}


def service_echo(call):
    return call.method.response(message=call.request.message,
                                nanotime=call.request.nanotime)


def service_stream(call):
    for sequence, byte in enumerate(call.request.message.encode()):
        call.send(call.method.response(
            message=chr(byte), nanotime=call.request.nanotime,
            sequence=sequence))


# Of examples/echo_service.proto.
ECHO_SERVICE_HANDLERS = {"echo": service_echo, "stream": service_stream}


def serve(address, plain, messages):
    """The server's program."""
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    if messages:
        server = Server(address, ECHO_HANDLERS, MESSAGES_SERVER)
    else:
        service = Service()
        server = Server(address, service.handlers(), FRAMES, not plain)
        service.server = server
    say("listening on", server.address)
    signal.sigwait(signals)
    server.drain()


# ---- The client ----

def make_request(fields):
    request = Request()
    for key, value in fields.items():
        if key in ("text", "status_text"):
            setattr(request, key, value)
        elif key == "filler":
            request.filler = filler(int(value))
        else:
            setattr(request, key, int(value))
    return request


def make_echo_request(name, fields):
    request = EchoRequest(response_behavior=int(name == "download"))
    request.body.message = fields.get("text", "")
    return request


def describe(response):
    """The words for a response: its fields that are not 0 or empty."""
    if isinstance(response, EchoResponse):
        response = getattr(response, response.WhichOneof("kind") or "echo")
    for field, value in response.ListFields():
        if field.name == "filler":
            value = len(value)
        yield f"{field.name}={value}"


class Commands:
    """What the lines ask for."""

    def __init__(self, client):
        self._client = client
        self._calls = {}
        self._threads = []

    def take(self, line):
        words = line.split()
        if words == ["stray"]:
            say("stray", self._client.stray)
            return
        command, name, *rest = words
        fields = dict(word.split("=", 1) for word in rest)
        if command in self._client.face.methods:
            self._start(command, name, fields)
        elif command == "send":
            self._calls[name].send(make_request(fields))
        elif command == "end":
            self._calls[name].end()
        elif command == "cancel":
            self._calls[name].cancel()
        else:
            raise ValueError(line)

    def finish(self):
        self._client.close()
        for thread in self._threads:
            thread.join()

    def _start(self, method, name, fields):
        timeout = fields.pop("timeout_ms", None)
        metadata = [(key[len("meta."):], fields.pop(key).encode())
                    for key in list(fields) if key.startswith("meta.")]
        if not self._client.face.is_frames:
            request = make_echo_request(method, fields)
        elif self._client.face.methods[method].client_streams:
            request = None
        else:
            request = make_request(fields)
        call = self._client.start(method, request, metadata,
                                  timeout and int(timeout) / 1000)
        self._calls[name] = call
        self._threads.append(
            threading.Thread(target=self._watch, args=(name, call)))
        self._threads[-1].start()

    def _watch(self, name, call):
        for kind, value in call.events():
            if kind == "metadata":
                for key, one in value:
                    say("metadata", name, f"{key}={one.decode()}")
            elif kind == "message":
                say("message", name, *describe(value))
            else:
                say("ended", name, f"{value.code}" +
                    (" not_begun" if value.not_begun else "") +
                    (f": {value.text}" if value.text else ""))


def call(address, plain, messages):
    """The client's program."""
    commands = Commands(Client(
        address, MESSAGES_CLIENT if messages else FRAMES, not plain))
    for line in sys.stdin:
        commands.take(line)
    commands.finish()
