# SPDX-License-Identifier: BSD-2-Clause
"""The messages and methods of the schemas, by Google's protobuf for Python.

Importing this compiles proto/protosocket/rpc.proto, proto/echo.proto,
examples/echo_service.proto and conformance.proto with protoc;
$CONFORMANCE_DESCRIPTORS names a file with what came of it, so that the programs
that a test starts need not do it again. Where protobuf is missing, it raises
Missing.
"""

import os
import subprocess
import tempfile
from typing import NamedTuple


class Missing(ImportError):
    """Something that is needed is not installed."""


try:
    from google.protobuf import (descriptor_pb2, descriptor_pool,
                                 message_factory)
    from google.protobuf.message import DecodeError
except ImportError:
    raise Missing("google.protobuf (Debian: python3-protobuf)") from None

HERE = os.path.dirname(os.path.abspath(__file__))
PROTO = os.path.join(HERE, "..", "..", "proto")
EXAMPLES = os.path.join(HERE, "..", "..", "examples")
FILES = ("protosocket/rpc.proto", "echo.proto", "echo_service.proto",
         "conformance.proto")
VARIABLE = "CONFORMANCE_DESCRIPTORS"


def compile_to(path):
    """Writes what protoc makes of the schemas."""
    protoc = os.environ.get("PROTOC") or "protoc"
    try:
        subprocess.run(
            [protoc, f"-I{PROTO}", f"-I{HERE}", f"-I{EXAMPLES}",
             f"-I{os.environ.get('PROTOBUF_C_PROTODIR') or '/usr/include'}",
             "--include_imports", f"--descriptor_set_out={path}", *FILES],
            check=True)
    except FileNotFoundError:
        raise Missing(protoc) from None


def _load():
    path = os.environ.get(VARIABLE)
    if path:
        with open(path, "rb") as file:
            return file.read()
    with tempfile.NamedTemporaryFile() as file:
        compile_to(file.name)
        return file.read()


def _get_class(name):
    descriptor = _pool.FindMessageTypeByName(name)
    if hasattr(message_factory, "GetMessageClass"):  # since 4.22
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(_pool).GetPrototype(descriptor)


def fnv1a(name):
    """The number of a method: 32-bit FNV-1a."""
    number = 0x811c9dc5
    for byte in name.encode():
        number = (number ^ byte) * 0x01000193 & 0xffffffff
    return number


class Method(NamedTuple):
    """A method; `number` is what it has on the wire."""

    name: str
    number: int
    request: type
    response: type
    client_streams: bool
    server_streams: bool


def _list_methods(file):
    """The methods of the one service in a file, by their names in small
    letters."""
    service = file.service[0]
    return {one.name.lower(): Method(
        one.name, fnv1a(f"{file.package}.{service.name}/{one.name}"),
        _get_class(one.input_type[1:]), _get_class(one.output_type[1:]),
        one.client_streaming, one.server_streaming) for one in service.method}


_pool = descriptor_pool.DescriptorPool()
_files = {}
for _file in descriptor_pb2.FileDescriptorSet.FromString(_load()).file:
    _pool.AddSerializedFile(_file.SerializeToString())
    _files[_file.name] = _file

Frame = _get_class("protosocket.rpc.Frame")
EchoRequest = _get_class("Request")
EchoResponse = _get_class("Response")
Request = _get_class("conformance.Request")
Response = _get_class("conformance.Response")

# The methods of the test service, and those of the examples' echo service.
METHODS = _list_methods(_files["conformance.proto"])
ECHO_SERVICE = _list_methods(_files["echo_service.proto"])

# The two kinds of call that echo.proto has. It has no numbers for them: these
# are for use inside of the peer only.
ECHO_METHODS = {
    "unary": Method("Unary", 1, EchoRequest, EchoResponse, False, False),
    "download": Method("Download", 2, EchoRequest, EchoResponse, False, True)}
