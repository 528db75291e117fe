# SPDX-License-Identifier: BSD-2-Clause
"""What cases.py reads of a frame, made into a message, or held against one."""

from cases import Any, Not, OneOf, Tree
from schema import (METHODS, EchoRequest, EchoResponse, Frame, Request,
                    Response)
from side import FRAMES


def brief(message):
    text = " ".join(str(message).split()) or "(empty)"
    return text if len(text) <= 300 else f"{text[:200]} ... {text[-80:]}"


class Dialect:
    """How trees and messages go together, for one face and one direction."""

    def __init__(self, face, from_server):
        self.frames = face is FRAMES
        if self.frames:
            self.type = Frame
            self.id_field = "id"
            self.payload = Response if from_server else Request
        else:
            self.type = EchoResponse if from_server else EchoRequest
            self.id_field = "request_id"

    def make(self, message, number):
        made = self.type()
        self._fill(made, message.fields)
        setattr(made, self.id_field, number)
        made.code = message.code
        return made

    def _fill(self, made, tree):
        for name, value in tree:
            field = made.DESCRIPTOR.fields_by_name[name]
            if name == "payload" and isinstance(value, Tree):
                payload = self.payload()
                self._fill(payload, value)
                made.payload = payload.SerializeToString()
            elif name == "method" and isinstance(value, str):
                made.method = METHODS[value.lower()].number
            elif field.label == field.LABEL_REPEATED:
                self._fill(getattr(made, name).add(), value)
            elif isinstance(value, Tree):
                getattr(made, name).SetInParent()
                self._fill(getattr(made, name), value)
            elif field.type == field.TYPE_STRING:
                setattr(made, name, value.decode())
            else:
                setattr(made, name, value)

    def matches(self, found, message):
        """But for the id."""
        return found.code == message.code and self._tree_matches(
            found, message.fields, {self.id_field, "code"})

    def _tree_matches(self, found, tree, besides=()):
        by_name = {}
        for name, value in tree:
            by_name.setdefault(name, []).append(value)
        for field in found.DESCRIPTOR.fields:
            if field.name in besides:
                continue
            wanted = by_name.pop(field.name, None)
            if wanted is None and tree.is_open:
                continue
            if not self._field_matches(found, field, wanted or []):
                return False
        if by_name:
            raise ValueError(f"no such field: {by_name}")
        return True

    def _field_matches(self, found, field, wanted):
        value = getattr(found, field.name)
        if field.label == field.LABEL_REPEATED:
            return len(value) == len(wanted) and all(
                self._tree_matches(*pair) for pair in zip(value, wanted))
        if not wanted:
            return not found.HasField(field.name) \
                if field.message_type else not value
        pattern = wanted[0]
        if field.message_type:
            return found.HasField(field.name) and (
                isinstance(pattern, Any) or self._tree_matches(value, pattern))
        if field.name == "payload" and isinstance(pattern, Tree):
            return self._tree_matches(self.payload.FromString(value), pattern)
        if field.name == "method" and isinstance(pattern, str):
            return value == METHODS[pattern.lower()].number
        if isinstance(pattern, (Any, OneOf, Not)):
            return pattern.matches(value)
        return value == (pattern.decode() if isinstance(value, str)
                         else pattern)
