"""Command sets (PS3.7 Section 6.3.1 and Annex E) and P-DATA-TF PDUs (PS3.8 Section 9.3.5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct, pack
from typing import Final

C_STORE_RQ: Final = 0x0001
KNOWN_COMMANDS: Final = frozenset(
    request | response
    for request in (
        *(0x0001, 0x0020, 0x0010, 0x0021, 0x0030),  # C-STORE, -FIND, -GET, -MOVE, -ECHO
        *(0x0100, 0x0110, 0x0120, 0x0130, 0x0140, 0x0150),  # N-EVENT-REPORT ... N-DELETE
    )
    for response in (0, 0x8000)
) | {0x0FFF}  # C-CANCEL

MAX_COMMAND_LENGTH: Final = 64 * 1024
"""Bytes; a real command set has a few hundred."""

_NO_DATA_SET: Final = 0x0101
_C_STORE_RSP: Final = 0x8001
_ELEMENT: Final = Struct("<HHI")
_UID: Final = re.compile(r"[0-9.]{1,64}", re.ASCII)
_COMMENT_LENGTH: Final = 64
_MIN_FRAGMENT: Final = 64


class MalformedCommand(ValueError):
    """The bytes are no command set, or one that cannot be answered."""


@dataclass(frozen=True, slots=True)
class Command:
    """What the node reads of a command set.

    Attributes
    ----------
    field
        Command Field (0000,0100).
    message_id
        (0000,0110), or ``None`` where it is missing or mistyped.
    has_data_set
        Command Data Set Type (0000,0800) is not 0x0101.
    sop_class_uid, sop_instance_uid
        (0000,0002) and (0000,1000) without padding; empty where missing. A value with other
        characters than digits and dots, or with more than 64, counts as missing.
    """

    field: int
    message_id: int | None
    has_data_set: bool
    sop_class_uid: str
    sop_instance_uid: str


def parse_command(encoded: bytes | bytearray) -> Command:
    """Read a command set, which is always Implicit VR Little Endian.

    Raises
    ------
    MalformedCommand
        Truncated, elements of other groups, or no valid Command Field or Data Set Type.
    """
    elements: dict[int, bytes] = {}
    position = 0
    while position < len(encoded):
        if position + 8 > len(encoded):
            raise MalformedCommand("a command set ends inside an element")
        group, element, length = _ELEMENT.unpack_from(encoded, position)
        position += 8
        if group != 0 or length > len(encoded) - position:
            raise MalformedCommand("a command set has an element of another group or length")
        elements[element] = bytes(encoded[position : position + length])
        position += length
    field = _unsigned(elements.get(0x0100))
    data_set_type = _unsigned(elements.get(0x0800))
    if field is None or data_set_type is None:
        raise MalformedCommand("a command set without Command Field or Data Set Type")
    return Command(
        field=field,
        message_id=_unsigned(elements.get(0x0110)),
        has_data_set=data_set_type != _NO_DATA_SET,
        sop_class_uid=_uid(elements.get(0x0002)),
        sop_instance_uid=_uid(elements.get(0x1000)),
    )


def store_response(command: Command, status: int, comment: str = "") -> bytes:
    """Return the C-STORE-RSP to `command` as an encoded command set (PS3.7 Table 9.3-2).

    Parameters
    ----------
    command
        A C-STORE-RQ with a message ID.
    status
        (0000,0900).
    comment
        (0000,0902), cut to 64 characters; none if empty.
    """
    parts = []
    if command.sop_class_uid:
        parts.append(_text(0x0002, command.sop_class_uid, b"\0"))
    parts.append(pack("<HHIH", 0, 0x0100, 2, _C_STORE_RSP))
    parts.append(pack("<HHIH", 0, 0x0120, 2, command.message_id or 0))
    parts.append(pack("<HHIH", 0, 0x0800, 2, _NO_DATA_SET))
    parts.append(pack("<HHIH", 0, 0x0900, 2, status))
    if comment:
        parts.append(_text(0x0902, comment[:_COMMENT_LENGTH], b" "))
    if command.sop_instance_uid:
        parts.append(_text(0x1000, command.sop_instance_uid, b"\0"))
    body = b"".join(parts)
    return pack("<HHII", 0, 0x0000, 4, len(body)) + body


def command_pdus(context_id: int, command: bytes, max_length: int) -> Iterator[bytes]:
    """Cut an encoded command set into P-DATA-TF PDUs that the peer takes.

    Parameters
    ----------
    context_id
        Presentation context ID.
    command
        An encoded command set.
    max_length
        The peer's Maximum Length (PS3.8 Annex D.1); 0 is unlimited. A value too small for any
        message is read as 70.
    """
    room = len(command) if max_length == 0 else max(max_length - 6, _MIN_FRAGMENT)
    for start in range(0, len(command), room):
        fragment = command[start : start + room]
        last = start + room >= len(command)
        header = pack(
            ">BBIIBB",
            0x04,
            0,
            len(fragment) + 6,
            len(fragment) + 2,
            context_id,
            0x03 if last else 0x01,
        )
        yield header + fragment


def _unsigned(value: bytes | None) -> int | None:
    return int.from_bytes(value, "little") if value is not None and len(value) == 2 else None  # noqa: PLR2004


def clean_uid(value: str) -> str:
    """Return a UID without its padding, or nothing if it is none (digits and dots, up to 64)."""
    stripped = value.rstrip("\0 ")
    return stripped if _UID.fullmatch(stripped) else ""


def _uid(value: bytes | None) -> str:
    return clean_uid((value or b"").decode("ascii", "replace"))


def _text(element: int, text: str, pad: bytes) -> bytes:
    value = text.encode("ascii", "replace")
    value += pad * (len(value) % 2)
    return _ELEMENT.pack(0, element, len(value)) + value
