# SPDX-License-Identifier: BSD-2-Clause
"""Reads cases.txt, whose top says what is in it.

A case becomes a Case with Steps. What a step sends or wants is a tree: a list
of (name, value), where a value is a number, bytes, such a tree, or one of the
patterns Any, Not, OneOf. A tree that is open, which "..." at its end makes it,
has further fields that do not matter.
"""

import re
from typing import NamedTuple

CODES = {"START": 0, "RESPONSE": 0, "CANCEL": 1, "END": 2, "HELLO": 16,
         "PING": 17, "PONG": 18, "GOAWAY": 19, "WINDOW": 20, "MESSAGE": 21}

OPTIONS = {"messages", "plain", "alone"}

TOKEN = re.compile(r"""\s*(?:
    (?P<string>"(?:[^"\\]|\\.)*") |
    (?P<hex>hex\([0-9a-fA-F\ ]*\)) |
    (?P<number>0x[0-9a-fA-F]+ | 2\^\d+(?:[-+]\d+)? | \d+) |
    (?P<word>[A-Za-z_][A-Za-z_0-9]*) |
    (?P<name>\$[a-z0-9]+) |
    (?P<sign>\.\.\. | \.\. | [{}:*|!\#]))""", re.VERBOSE)


class BadCase(Exception):
    """Something in the file that is none of what its top tells of."""


class Any:
    """Matches whatever there is."""

    def matches(self, _value):
        return True


class Not(NamedTuple):
    """Matches any other number."""

    number: int

    def matches(self, value):
        return value != self.number


class OneOf(NamedTuple):
    """Matches what lies in one of these ranges."""

    ranges: tuple

    def matches(self, value):
        return any(first <= value <= last for first, last in self.ranges)


class Name(NamedTuple):
    """An id that the other side has chosen."""

    name: str


class Counter:
    """An id that counts from 1 in a step that is done several times."""


class Tree(list):
    """Fields and their values."""

    is_open = False


class Message(NamedTuple):
    """A frame, to be sent or expected."""

    code: int
    id: object
    fields: Tree


class Nothing(NamedTuple):
    """No frame for so long."""

    seconds: float


class Step(NamedTuple):
    """A line of a case."""

    line: int
    text: str
    verb: str  # the first word
    options: dict  # what stands in brackets behind it
    value: object  # Message, Nothing, bytes, seconds or text
    between: tuple  # seconds since something was last done, or None


class Case(NamedTuple):
    """A case."""

    name: str
    line: int
    role: str  # "server" or "client": who is tested
    options: set
    about: str
    steps: list


class Parser:
    """Reads what stands on a line behind the verb."""

    def __init__(self, text):
        self._tokens = []
        position = 0
        text = text.rstrip()
        while position < len(text):
            match = TOKEN.match(text, position)
            if not match:
                raise BadCase(f"what is {text[position:]!r}?")
            self._tokens.append((match.lastgroup, match.group(match.lastgroup)))
            position = match.end()

    def message(self):
        code = self._code()
        message = Message(code, self._id(), self._tree(None))
        return message

    def bytes(self):
        parts = []
        while self._tokens:
            parts.append(self._scalar())
        return b"".join(parts)

    def _peek(self):
        return self._tokens[0] if self._tokens else (None, None)

    def _next(self):
        return self._tokens.pop(0) if self._tokens else (None, "the end")

    def _accept(self, text):
        if self._peek()[1] == text and self._peek()[0] != "string":
            self._next()
            return True
        return False

    def _code(self):
        kind, text = self._next()
        if kind == "number":
            return _number(text)
        if text not in CODES:
            raise BadCase(f"no code is named {text!r}")
        return CODES[text]

    def _id(self):
        kind, text = self._peek()
        if kind == "name":
            self._next()
            return Name(text)
        if self._accept("#"):
            return Counter()
        return self._value()

    def _tree(self, end):
        tree = Tree()
        while not (self._accept(end) if end else not self._tokens):
            if self._accept("..."):
                tree.is_open = True
                continue
            kind, name = self._next()
            if kind != "word":
                raise BadCase(f"{name!r} is no field")
            self._accept(":")
            tree.append((name, self._value()))
        return tree

    def _value(self):
        if self._accept("{"):
            return self._tree("}")
        if self._accept("*"):
            return Any()
        if self._accept("!"):
            return Not(_number(self._next()[1]))
        if self._peek()[0] == "number":
            return self._ranges()
        return self._scalar()

    def _ranges(self):
        ranges = [self._range()]
        while self._accept("|"):
            ranges.append(self._range())
        if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
            return ranges[0][0]
        return OneOf(tuple(ranges))

    def _range(self):
        first = last = _number(self._next()[1])
        if self._accept(".."):
            last = _number(self._next()[1])
        return first, last

    def _scalar(self):
        """A string or hex(...): bytes; or the name of a method."""
        kind, text = self._next()
        if kind == "string":
            value = text[1:-1].encode("latin1").decode("unicode_escape")
            value = value.encode("latin1")
        elif kind == "hex":
            value = bytes.fromhex(text[len("hex("):-1])
        elif kind == "word":
            return text
        else:
            raise BadCase(f"{text!r} is no value")
        if self._accept("*"):
            value *= _number(self._next()[1])
        return value


def _number(text):
    try:
        if text.startswith("2^"):
            power, sign, rest = re.fullmatch(
                r"2\^(\d+)(?:([-+])(\d+))?", text).groups()
            return (1 << int(power)) + (int(rest) if sign == "+" else
                                        -int(rest or 0))
        return int(text, 0)
    except ValueError:
        raise BadCase(f"{text!r} is no number") from None


def _milliseconds(text):
    match = re.fullmatch(r"(\d+) ?ms", text.strip())
    if not match:
        raise BadCase(f"{text!r} is no time")
    return int(match.group(1)) / 1000


def _options(text):
    options = {}
    for part in (text or "").split(","):
        if part.strip():
            word, *rest = part.split()
            options[word] = int(rest[0]) if rest else True
    return options


def _step(line, text):
    match = re.fullmatch(r"(\S+?)(?:\[(.*?)\])?(?:\s+(.*?))?"
                         r"(?:\s+in (\d+)\.\.(\d+) ?ms)?", text)
    verb, options, rest, first, last = match.groups()
    between = first and (int(first) / 1000, int(last) / 1000)
    rest = rest or ""
    if verb in (">", "<", "<&", "may"):
        value = _frame_or_event(verb, rest)
    elif verb == "wait":
        value = _milliseconds(rest)
    elif verb in ("say", "hear", "eof", "term"):
        value = rest
    else:
        raise BadCase(f"{verb!r} is no verb")
    return Step(line, text, verb, _options(options), value, between)


def _frame_or_event(verb, rest):
    word, _, behind = rest.partition(" ")
    if verb == ">" and word == "raw":
        return Parser(behind).bytes()
    if (verb, rest) in ((">", "end"), (">", "reset"), ("<", "end"),
                        ("<", "closed")):
        return rest
    if verb == "<" and word == "nothing":
        return Nothing(_milliseconds(behind))
    return Parser(rest).message()


def _header(line, text):
    match = re.fullmatch(r"case ([a-z0-9-]+): (server|client)((?: [a-z]+)*)",
                         text)
    if not match:
        raise BadCase(f"{text!r} is no head of a case")
    name, role, options = match.groups()
    options = set(options.split())
    if not options <= OPTIONS:
        raise BadCase(f"unknown: {options - OPTIONS}")
    return Case(name, line, role, options, "", [])


def _lines(file):
    """Lines with their numbers, without comments; one that begins with a blank
    goes on with the one before."""
    whole = None
    for number, text in enumerate(file, 1):
        if not text.strip() or text.startswith("#"):
            continue
        if text[0] == " " and whole:
            whole = whole[0], whole[1] + " " + text.strip()
            continue
        if whole:
            yield whole
        whole = number, text.strip()
    if whole:
        yield whole


def read(path):
    """The cases of a file."""
    cases = []
    with open(path, encoding="utf-8") as file:
        for line, text in _lines(file):
            try:
                if text.startswith("case "):
                    cases.append(_header(line, text))
                elif text.startswith("- "):
                    cases[-1] = cases[-1]._replace(about=text[2:])
                else:
                    cases[-1].steps.append(_step(line, text))
            except BadCase as error:
                raise BadCase(f"{path}:{line}: {error}") from None
    names = [case.name for case in cases]
    for name in names:
        if names.count(name) > 1:
            raise BadCase(f"{path}: two cases are named {name}")
    return cases
