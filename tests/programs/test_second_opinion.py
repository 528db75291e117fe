# SPDX-License-Identifier: BSD-2-Clause
"""A second opinion on generated codecs: Google's implementation of protobuf.

For every schema in tests/schemas, random messages go both ways. Those that are
made here go through a program with the generated codecs (tests/fuzz/translate.c
decodes and encodes them), and have to come back with the same meaning. Those
that the program makes are parsed here, and have to be the same when the program
has read what is made of them. $SECOND_OPINION_COUNT says how many of each there
are for a schema, $SECOND_OPINION_SEED which.

protobuf-c, with which the generated codecs agree in everything, does a few
things in another way than Google. Each is a test point of its own below, which
shows what either does. Where random messages can run into one, it is in ADJUST,
which makes of a message what protobuf-c is known to make of it; elsewhere none
is tolerated.
"""

import os
import random
import struct
import subprocess
import sys
import tempfile
import warnings


def skip(reason):
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)


try:
    from google.protobuf import (descriptor_pb2, descriptor_pool,
                                 message_factory)
    from google.protobuf.message import DecodeError
except ImportError:
    # The system's packages are for the system's Python.
    SYSTEM = "/usr/bin/python3"
    if os.path.realpath(sys.executable) == os.path.realpath(SYSTEM) or \
            not os.path.exists(SYSTEM):
        skip("google.protobuf (Debian: python3-protobuf) is missing")
    os.execv(SYSTEM, [SYSTEM, "-B", *sys.argv])

from harness import equal, run_tests, test

HERE = os.path.dirname(os.path.abspath(__file__))
SCHEMAS = os.path.join(HERE, "..", "schemas")
# Make check runs in the top of the build directory.
TRANSLATE = os.path.join(os.getcwd(), "tests", "fuzz", "translate")
COUNT = int(os.environ.get("SECOND_OPINION_COUNT", "200"))
SEED = int(os.environ.get("SECOND_OPINION_SEED", "1"))

EMALFORMED, EUTF8 = -7, -25


# ---- The types, here and there ----

def read_schemas():
    """A pool with all files of tests/schemas, and their names."""
    names = sorted(name for name in os.listdir(SCHEMAS)
                   if name.endswith(".proto"))
    with tempfile.NamedTemporaryFile() as file:
        subprocess.run(
            [os.environ.get("PROTOC") or "protoc", f"-I{SCHEMAS}",
             f"-I{HERE}/../../proto",
             f"-I{os.environ.get('PROTOBUF_C_PROTODIR') or '/usr/include'}",
             "--include_imports", f"--descriptor_set_out={file.name}", *names],
            check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(file.read())
    pool = descriptor_pool.DescriptorPool()
    for one in files.file:
        pool.AddSerializedFile(one.SerializeToString())
    return pool, names


def types_of(descriptors):
    """All messages in these, but for the entries of maps."""
    for descriptor in descriptors:
        if not descriptor.GetOptions().map_entry:
            yield descriptor
            yield from types_of(descriptor.nested_types)


def list_numbers():
    """The numbers that translate has for the types, by their full names. A
    type without a name has that of the C symbol: package__type."""
    lines = subprocess.run([TRANSLATE, "types"], check=True, text=True,
                           stdout=subprocess.PIPE).stdout.splitlines()
    numbers = {}
    for number, line in enumerate(lines):
        symbol, name = line.split(" ")
        numbers[symbol.replace("__", ".") if name == "-" else name] = number
    return numbers


class Type:
    """A message type."""

    def __init__(self, descriptor):
        self.descriptor = descriptor
        self.new = FACTORY.GetPrototype(descriptor)
        name = descriptor.full_name
        if name not in NUMBERS:
            name = name.lower()  # where it has to do with the symbol
        self.number = NUMBERS[name]
        # Else the bytes can be others that mean the same.
        self.keeps_order = not has_any(descriptor, is_map)
        self.has_extensions = descriptor.is_extendable or has_any(
            descriptor, lambda field: field.message_type is not None and
            field.message_type.is_extendable)

    def parse(self, data):
        return self.new.FromString(data)


def echo(requests):
    """Has (type, bytes) decoded and encoded. Returns (error, bytes) of each."""
    data = b"".join(struct.pack("<II", one.number, len(body)) + body
                    for one, body in requests)
    output = subprocess.run([TRANSLATE, "echo"], input=data, check=True,
                            stdout=subprocess.PIPE).stdout
    answers = list(split(output))
    equal(len(answers), len(requests))
    return answers


def make(one, count, seed):
    """`count` messages that the program has made, encoded."""
    output = subprocess.run(
        [TRANSLATE, "make", str(one.number), str(count), str(seed)],
        check=True, stdout=subprocess.PIPE).stdout
    answers = list(split(output))
    equal(len(answers), count)
    return [body for _, body in answers]


def split(output):
    position = 0
    while position < len(output):
        error, length = struct.unpack_from("<iI", output, position)
        position += 8 + length
        yield error, output[position - length:position]


def is_map(field):
    return (field.message_type is not None and
            field.message_type.GetOptions().map_entry)


def is_bytes_in_c(field):
    """Whether the field has (pb_c_field).string_as_bytes, number 1 in option
    number 1019, which Python does not know."""
    return b"\xda\x3f\x02\x08\x01" in field.GetOptions().SerializeToString()


def has_any(descriptor, wanted, seen=None):
    """Whether wanted(field) holds for any field in or below this type."""
    seen = set() if seen is None else seen
    if descriptor.full_name in seen:
        return False
    seen.add(descriptor.full_name)
    return any(wanted(field) or (field.message_type is not None and
                                 has_any(field.message_type, wanted, seen))
               for field in descriptor.fields)


# ---- Random messages ----

INTEGERS = (0, 1, -1, 127, 128, 16383, 16384, (1 << 31) - 1, 1 << 31,
            -(1 << 31), (1 << 32) - 1, 1 << 32, (1 << 63) - 1, 1 << 63,
            -(1 << 63), (1 << 64) - 1)
REALS = (0.0, -0.0, 1.0, -1.5, 1e-45, 3.4e38, float("inf"), float("-inf"),
         float("nan"))
CHARACTERS = "a", "b", " ", "\t", "\0", "\x7f", "ä", "€", "☃", "\uffff", "😀"


class Maker:
    """Makes messages at random."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def message(self, one):
        message = one.new()
        self.fill(message, 0)
        return message

    def fill(self, message, depth):
        # Between nearly empty and full.
        odds = self.random.choice((0.1, 0.5, 0.9)) / (1 + depth)
        fields = list(message.DESCRIPTOR.fields)
        self.random.shuffle(fields)  # the last of a oneof counts
        for field in fields:
            if field.label == field.LABEL_REQUIRED or \
                    self.random.random() < odds:
                self.set(message, field, depth)
        if message.DESCRIPTOR.is_extendable:
            for field in POOL.FindAllExtensions(message.DESCRIPTOR):
                if self.random.random() < odds:
                    self.set_extension(message, field, depth)
        if self.random.random() < 0.1:
            self.add_unknown(message)

    def set(self, message, field, depth):
        if is_map(field):
            self.set_map(getattr(message, field.name), field, depth)
        elif field.label == field.LABEL_REPEATED:
            self.extend(getattr(message, field.name), field, depth)
        elif field.message_type is not None:
            inner = getattr(message, field.name)
            inner.SetInParent()
            self.fill(inner, depth + 1)
        else:
            setattr(message, field.name, self.value(field))

    def set_extension(self, message, field, depth):
        if field.label == field.LABEL_REPEATED:
            self.extend(message.Extensions[field], field, depth)
        elif field.message_type is not None:
            message.Extensions[field].SetInParent()
            self.fill(message.Extensions[field], depth + 1)
        else:
            message.Extensions[field] = self.value(field)

    def extend(self, values, field, depth):
        for _ in range(self.random.choice((0, 1, 2, 3, 3, 40 >> 2 * depth))):
            if field.message_type is not None:
                self.fill(values.add(), depth + 1)
            else:
                values.append(self.value(field))

    def set_map(self, entries, field, depth):
        key_field, value_field = field.message_type.fields
        for _ in range(self.random.choice((1, 2, 5))):
            key = self.value(key_field)
            if isinstance(key, str):
                # What is cut off it could make it another's.
                key = key.replace("\0", "")
            if value_field.message_type is not None:
                self.fill(entries[key], depth + 2)
            else:
                entries[key] = self.value(value_field)

    def value(self, field):
        kind = field.cpp_type
        if kind == field.CPPTYPE_STRING:
            if field.type == field.TYPE_BYTES:
                return self.random.randbytes(self.length())
            return "".join(self.random.choices(CHARACTERS, k=self.length()))
        if kind == field.CPPTYPE_BOOL:
            return self.random.random() < 0.5
        if kind == field.CPPTYPE_ENUM:
            return self.enum(field)
        if kind == field.CPPTYPE_FLOAT:
            value = self.real(REALS)
            return struct.unpack("<f", struct.pack("<f", value))[0]
        if kind == field.CPPTYPE_DOUBLE:
            return self.real(REALS + (1e300, -1e300, 5e-324))
        bits = 32 if kind in (field.CPPTYPE_INT32, field.CPPTYPE_UINT32) else 64
        signed = kind in (field.CPPTYPE_INT32, field.CPPTYPE_INT64)
        return self.integer(bits, signed)

    def length(self):
        return self.random.choice((0, 1, 2, 5, 20, 200))

    def real(self, special):
        if self.random.random() < 0.5:
            return self.random.choice(special)
        return self.random.uniform(-1e6, 1e6)

    def integer(self, bits, signed):
        if self.random.random() < 0.5:
            value = self.random.choice(INTEGERS)
        else:
            value = self.random.getrandbits(self.random.randint(1, bits))
        value &= (1 << bits) - 1
        return value - (1 << bits) if signed and value >> (bits - 1) else value

    def enum(self, field):
        """In proto3 also a value that it doesn't have."""
        if field.file.syntax == "proto3" and self.random.random() < 0.1:
            return self.integer(32, True)
        return self.random.choice(field.enum_type.values).number

    def add_unknown(self, message):
        number = self.random.choice((19, 777, 99999, 536870900))
        if number in message.DESCRIPTOR.fields_by_number or \
                message.DESCRIPTOR.is_extendable:
            return
        message.MergeFromString(self.random.choice((
            varint(number << 3) + varint(self.random.getrandbits(64)),
            varint(number << 3 | 1) + self.random.randbytes(8),
            varint(number << 3 | 2) + b"\3abc",
            varint(number << 3 | 5) + self.random.randbytes(4))))


def varint(value):
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7f | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


# ---- What protobuf-c makes of a message ----

def cut_at_zero(field, value):
    """A string of protobuf-c's ends at the first zero byte."""
    if field.type == field.TYPE_STRING and not is_bytes_in_c(field):
        return value.split("\0", 1)[0]
    return value


def drop_minus_zero(field, value):
    """In proto3, protobuf-c leaves out what is equal to zero, and -0.0 is. It
    is not where a field can be present: in a oneof, or repeated."""
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE) and \
            value == 0 and field.file.syntax == "proto3" and \
            field.label != field.LABEL_REPEATED and \
            field.containing_oneof is None:
        return 0.0
    return value


ADJUST = (cut_at_zero, drop_minus_zero)


def adjust_value(field, value):
    for one in ADJUST:
        value = one(field, value)
    return value


def adjust(message):
    """Changes `message` to what comes back of it."""
    for field, value in message.ListFields():
        if field.is_extension:
            continue  # unknown to protobuf-c: bytes
        if is_map(field):
            key_field, value_field = field.message_type.fields
            for key in list(value):
                if value_field.message_type is not None:
                    adjust(value[key])
                else:
                    value[key] = adjust_value(value_field, value[key])
        elif field.message_type is not None:
            repeated = field.label == field.LABEL_REPEATED
            for inner in value if repeated else (value,):
                adjust(inner)
        elif field.label == field.LABEL_REPEATED:
            value[:] = [adjust_value(field, one) for one in value]
        else:
            setattr(message, field.name, adjust_value(field, value))


# ---- Both ways ----

def meaning(message):
    """The same for two messages that mean the same. Not a number is not equal
    to itself, but its bytes are."""
    look_at_maps(message)
    return message.SerializeToString(deterministic=True)


def look_at_maps(message):
    """Until somebody looks, a map can have a key twice."""
    for field, value in message.ListFields():
        if is_map(field):
            if field.message_type.fields[1].message_type is not None:
                for key in value:
                    look_at_maps(value[key])
            else:
                len(value)
        elif field.message_type is not None:
            repeated = field.label == field.LABEL_REPEATED
            for inner in value if repeated else (value,):
                look_at_maps(inner)


def add_tests_of_schema(name):
    types = [Type(descriptor) for descriptor in types_of(
        POOL.FindFileByName(name).message_types_by_name.values())]
    share = -(-COUNT // len(types))

    @test(f"{name}: what Google's implementation makes comes back")
    def _(_bench):
        maker = Maker(f"{name} {SEED}")
        messages = [(one, maker.message(one))
                    for one in types for _ in range(share)]
        bodies = [(one, message.SerializeToString())
                  for one, message in messages]
        for (one, message), (error, back) in zip(messages, echo(bodies)):
            equal(error, 0)
            adjust(message)
            equal(meaning(one.parse(back)), meaning(message))
            if one.keeps_order and not one.has_extensions:
                equal(back, message.SerializeToString())

    @test(f"{name}: what the generated code makes is read and comes back")
    def _(_bench):
        bodies = [(one, body) for one in types
                  for body in make(one, share, SEED)]
        messages = [(one, one.parse(body)) for one, body in bodies]
        again = [(one, message.SerializeToString())
                 for one, message in messages]
        for (one, message), (_, body), (_, sent), (error, back) in zip(
                messages, bodies, again, echo(again)):
            equal(error, 0)
            equal(meaning(one.parse(back)), meaning(message))
            if one.keeps_order:
                equal(sent, body)
                equal(back, body)


# ---- Where protobuf-c does otherwise ----

def differs(name, reason):
    """A test point for a difference, in a function that is given bytes(type,
    body): what the generated code makes of them, and what Google does."""

    def register(function):
        @test(f"differs: {name}")
        def _(_bench):
            print(f"# {reason}")
            function()

    return register


def theirs(type_name, body):
    """What Google's implementation writes when it has read `body`; None: it
    refuses."""
    try:
        message = TYPES[type_name].parse(body)
    except DecodeError:
        return None
    return message.SerializePartialToString(deterministic=True)


def ours(type_name, body):
    """The same of the generated code; an error if it refuses."""
    error, back = echo([(TYPES[type_name], body)])[0]
    return error or back


@differs("a zero byte in a string",
         "a string in C ends there")
def _():
    body = b"\x0a\x03a\x00b"
    equal(theirs("few.OneText", body), body)
    equal(ours("few.OneText", body), b"\x0a\x01a")
    equal(ours("string_as_bytes.Strings", body), body)


@differs("-0.0 in proto3",
         "protobuf-c compares with zero, Google looks at the bits")
def _():
    body = b"\x09" + struct.pack("<d", -0.0)
    equal(theirs("few.OneReal", body), body)
    equal(ours("few.OneReal", body), b"")


@differs("a value that an enum of proto2 doesn't have",
         "Google makes it an unknown field; protobuf-c keeps it in its place")
def _():
    body = b"\x18\x4d\x40\x05"
    equal(theirs("enums.Enums", body), b"\x40\x05\x18\x4d")
    equal(ours("enums.Enums", body), body)


@differs("a key that comes twice",
         "to protobuf-c a map is a list of entries")
def _():
    one, other = b"\x0a\x04\x08\x01\x10\x05", b"\x0a\x04\x08\x01\x10\x06"
    equal(dict(TYPES["maps.Keys"].parse(one + other).by_int32), {1: 6})
    equal(ours("maps.Keys", one + other), one + other)


@differs("an entry without a value that has required fields",
         "Google makes such a value, with nothing in it")
def _():
    body = b"\x28\x01\x1a\x03\x0a\x01x"
    equal(theirs("maps2.Maps", body), b"\x1a\x05\x0a\x01x\x12\x00\x28\x01")
    equal(ours("maps2.Maps", body), b"\x1a\x03\x0a\x01x\x28\x01")


@differs("zero as a key or a value",
         "protobuf-c leaves it out of the entry, as of any message of proto3")
def _():
    equal(theirs("maps.Keys", b"\x0a\x00"), b"\x0a\x04\x08\x00\x10\x00")
    equal(ours("maps.Keys", b"\x0a\x04\x08\x00\x10\x00"), b"\x0a\x00")


@differs("a message in a oneof that comes twice",
         "Google merges the two, protobuf-c takes the last")
def _():
    body = b"\x12\x02\x08\x07" + b"\x12\x03\x12\x01x"
    equal(theirs("merging.Choice", body), b"\x12\x05\x08\x07\x12\x01x")
    equal(ours("merging.Choice", body), b"\x12\x03\x12\x01x")


@differs("two parts of a message, with a oneof that neither sets",
         "protobuf-c looks for field 0, and refuses")
def _():
    body = b"\x22\x00\x22\x00"
    equal(theirs("merging.Choice", body), b"\x22\x00")
    equal(ours("merging.Choice", body), EMALFORMED)


@differs("two parts of a message, with a string in a oneof in the first",
         "protobuf-c does not merge a string into what is not the default")
def _():
    body = b"\x22\x03\x1a\x01x" + b"\x22\x00"
    equal(theirs("merging.Choice", body), b"\x22\x03\x1a\x01x")
    equal(ours("merging.Choice", body), b"\x22\x00")


@differs("two parts of a message, with an unknown field in the first",
         "protobuf-c forgets it")
def _():
    body = b"\x1a\x02\x78\x01" + b"\x1a\x02\x08\x02"
    equal(theirs("merging.Tree", body), b"\x1a\x04\x08\x02\x78\x01")
    equal(ours("merging.Tree", body), b"\x1a\x02\x08\x02")


@differs("another wire type than the field's",
         "Google keeps it as an unknown field, protobuf-c refuses")
def _():
    body = b"\x0d\x01\x00\x00\x00"
    equal(theirs("few.OneNumber", body), body)
    equal(ours("few.OneNumber", body), EMALFORMED)


@differs("another wire type than that of a bool",
         "protobuf-c does not look at it, and takes the value")
def _():
    body = b"\x0d\x01\x00\x00\x00"
    equal(theirs("few.OneArm", body), body)
    equal(ours("few.OneArm", body), b"\x08\x01")


@differs("a group",
         "protobuf-c knows no groups, not even to pass over them")
def _():
    body = b"\x7b\x08\x01\x7c"
    equal(theirs("few.Empty", body), body)
    equal(ours("few.Empty", body), EMALFORMED)


@differs("text of proto3 that is not UTF-8",
         "Google refuses; the generated code does where an option says so")
def _():
    body = b"\x0a\x01\xff"
    equal(theirs("few.OneText", body), None)
    equal(ours("few.OneText", body), body)
    equal(theirs("utf8_file.Strings", body), None)
    equal(ours("utf8_file.Strings", body), EUTF8)


@differs("a required field with a default that is missing",
         "protobuf-c takes the default")
def _():
    message = TYPES["required_defaults.AllDefaults"].parse(b"")
    assert not message.IsInitialized()
    back = ours("required_defaults.AllDefaults", b"")
    message = TYPES["required_defaults.AllDefaults"].parse(back)
    assert message.IsInitialized()
    equal((message.number, message.text), (-7, "text"))


@differs("extensions between other fields",
         "to protobuf-c they are unknown fields, which come last")
def _():
    body = b"\x08\x01\xa0\x06\x05\xc2\x0c\x01x"
    equal(theirs("extensions.Open", body), body)
    equal(ours("extensions.Open", body), b"\x08\x01\xc2\x0c\x01x\xa0\x06\x05")


@differs("a field number of zero",
         "Google reads no further, protobuf-c refuses zero in its shortest form")
def _():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that not all was read
        equal(theirs("few.OneNumber", b"\x08\x05\x80\x00\x01"), b"\x08\x05")
        equal(theirs("few.OneNumber", b"\x08\x05\x00\x01"), b"\x08\x05")
    equal(ours("few.OneNumber", b"\x08\x05\x80\x00\x01"), b"\x08\x05\x00\x01")
    equal(ours("few.OneNumber", b"\x08\x05\x00\x01"), EMALFORMED)


if not os.path.exists(TRANSLATE):
    skip("tests/fuzz/translate has not been built")
POOL, NAMES = read_schemas()
FACTORY = message_factory.MessageFactory(POOL)
NUMBERS = list_numbers()
TYPES = {descriptor.full_name: Type(descriptor) for name in NAMES
         for descriptor in types_of(
             POOL.FindFileByName(name).message_types_by_name.values())}
for schema in NAMES:
    add_tests_of_schema(schema)
run_tests()
