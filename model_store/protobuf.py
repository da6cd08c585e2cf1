"""A reader of protobuf messages for what comes from strangers: it refuses what it does not know.

It reads the wire format (protobuf.dev/programming-guides/encoding) against a schema of the fields
that are wanted. A field that is not in the schema, that has another type there, or that comes twice
though it may come once is an error, so no other reader can see something in the bytes that this one
did not. Nothing is copied and nothing is recursive.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["int", "ints", "float", "floats", "bytes", "messages"]
"""Of a field: one integer or many, one float32 or many, bytes once, or bytes any number of times.
"""

_VARINT, _LENGTH, _FIXED32 = 0, 2, 5
_WIRES = {
    "int": {_VARINT},
    "ints": {_VARINT, _LENGTH},
    "float": {_FIXED32},
    "floats": {_FIXED32, _LENGTH},
    "bytes": {_LENGTH},
    "messages": {_LENGTH},
}
_ONCE = {"int", "float", "bytes"}
_LONGEST_VARINT = 10
_SIGN = 1 << 63


class ProtobufError(ValueError):
    """The bytes are not a message of the schema."""


@dataclass(frozen=True, slots=True)
class Message:
    """The fields of one message.

    Parameters
    ----------
    values : mapping of str to list
        Values by name; bytes as views of the original.
    """

    values: Mapping[str, list[int | float | memoryview]]

    def integers(self, name: str) -> list[int]:
        """Every integer of a field, as signed 64-bit values."""
        return [value for value in self.values.get(name, []) if isinstance(value, int)]

    def integer(self, name: str, default: int = 0) -> int:
        """The integer of a field, or `default`."""
        return next(iter(self.integers(name)), default)

    def floats(self, name: str) -> list[float]:
        """Every float of a field."""
        return [value for value in self.values.get(name, []) if isinstance(value, float)]

    def parts(self, name: str) -> list[memoryview]:
        """Every bytes value of a field."""
        return [value for value in self.values.get(name, []) if isinstance(value, memoryview)]

    def has(self, name: str) -> bool:
        """Whether the field is there at all."""
        return bool(self.values.get(name))

    def text(self, name: str) -> str:
        """The text of a field; empty if it is absent.

        Raises
        ------
        ProtobufError
            If it is not UTF-8.
        """
        return next(iter(self.texts(name)), "")

    def texts(self, name: str) -> list[str]:
        """Every text of a field.

        Raises
        ------
        ProtobufError
            If one is not UTF-8.
        """
        try:
            return [str(part, "utf-8") for part in self.parts(name)]
        except UnicodeDecodeError as error:
            raise ProtobufError(f"{name} is not UTF-8") from error


def read_message(
    what: str, data: bytes | memoryview, schema: Mapping[int, tuple[str, Kind]]
) -> Message:
    """Read the fields of one message.

    Parameters
    ----------
    what : str
        What the message is, for the error.
    data : bytes or memoryview
        All bytes of the message.
    schema : mapping of int to (str, Kind)
        Name and kind of every field that may be there, by its number.

    Raises
    ------
    ProtobufError
        If the bytes are not a message, or hold a field that the schema does not allow.
    """
    values: dict[str, list[int | float | memoryview]] = {}
    for number, wire, value in _fields(what, memoryview(data)):
        name, kind = schema.get(number, ("", "bytes"))
        if not name:
            raise ProtobufError(f"{what} has a field number {number}, which is not allowed there")
        if wire not in _WIRES[kind]:
            raise ProtobufError(f"{what}: {name} has another type than it should")
        if kind in _ONCE and name in values:
            raise ProtobufError(f"{what} has {name} twice")
        found = values.setdefault(name, [])
        if isinstance(value, memoryview) and kind == "ints":
            found.extend(_packed_integers(what, value))
        elif isinstance(value, memoryview) and kind == "floats":
            if len(value) % 4:
                raise ProtobufError(f"{what}: {name} is cut off")
            found.extend(struct.unpack(f"<{len(value) // 4}f", value))
        else:
            found.append(value)
    return Message(values)


def _fields(what: str, data: memoryview) -> Iterator[tuple[int, int, int | float | memoryview]]:
    at = 0
    while at < len(data):
        key, at = _varint(what, data, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            raw, at = _varint(what, data, at)
            yield number, wire, _signed(raw)
        elif wire == _FIXED32:
            if at + 4 > len(data):
                raise ProtobufError(f"{what} is cut off")
            yield number, wire, struct.unpack_from("<f", data, at)[0]
            at += 4
        elif wire == _LENGTH:
            size, at = _varint(what, data, at)
            if at + size > len(data):
                raise ProtobufError(f"{what} is cut off")
            yield number, wire, data[at : at + size]
            at += size
        else:
            raise ProtobufError(f"{what} is not a message that ONNX could have written")


def _varint(what: str, data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_LONGEST_VARINT):
        if at + place >= len(data):
            raise ProtobufError(f"{what} is cut off")
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:  # noqa: PLR2004 -- the bit that says: more follow
            if value >= 1 << 64:
                break
            return value, at + place + 1
    raise ProtobufError(f"{what} has a number of more than 64 bits")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= _SIGN else value


def _packed_integers(what: str, data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(what, data, at)
        yield _signed(value)
