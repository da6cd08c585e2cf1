"""Command sets, which are always Implicit VR Little Endian (PS3.7 Section 6.3.1 and Annex E)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from struct import Struct, iter_unpack, pack
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

NO_DATA_SET: Final = 0x0101
"""Command Data Set Type (0000,0800) where none follows."""

_A_DATA_SET: Final = 0x0001
_MEDIUM: Final = 0x0000
_C_STORE_RSP: Final = 0x8001
_ELEMENT: Final = Struct("<HHI")
_UID: Final = re.compile(r"[0-9.]{1,64}", re.ASCII)
_COMMENT_LENGTH: Final = 64


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


@dataclass(frozen=True, slots=True)
class Response:
    """A C-STORE or C-ECHO response (PS3.7 9.3.1.2, 9.3.5.2).

    Attributes
    ----------
    command
        (0000,0100) Command Field.
    message_id
        (0000,0120) Message ID Being Responded To, or None.
    status
        (0000,0900) Status.
    sop_instance_uid
        (0000,1000) Affected SOP Instance UID, "" when absent.
    offending
        (0000,0901) Offending Element, tags.
    has_data_set
        Whether a data set follows.
    """

    command: int
    message_id: int | None
    status: int
    sop_instance_uid: str
    offending: tuple[int, ...]
    has_data_set: bool


def parse_command(encoded: bytes | bytearray) -> Command:
    """Read the command set of a request.

    Raises
    ------
    MalformedCommand
        Truncated, elements of other groups, or no valid Command Field or Data Set Type.
    """
    elements = _elements(encoded)
    field = _unsigned(elements.get(0x0100))
    data_set_type = _unsigned(elements.get(0x0800))
    if field is None or data_set_type is None:
        raise MalformedCommand("a command set without Command Field or Data Set Type")
    return Command(
        field=field,
        message_id=_unsigned(elements.get(0x0110)),
        has_data_set=data_set_type != NO_DATA_SET,
        sop_class_uid=_uid(elements.get(0x0002)),
        sop_instance_uid=_uid(elements.get(0x1000)),
    )


def parse_response(encoded: bytes) -> Response:
    """Read the command set of a response.

    Raises
    ------
    MalformedCommand
        Truncated, elements of other groups, or no valid Command Field or Status.
    """
    elements = _elements(encoded)
    field = _unsigned(elements.get(0x0100))
    status = _unsigned(elements.get(0x0900))
    if field is None or status is None:
        raise MalformedCommand("a command set without Command Field or Status")
    tags = elements.get(0x0901, b"")
    pairs = iter_unpack("<HH", tags[: len(tags) // 4 * 4])
    return Response(
        command=field,
        message_id=_unsigned(elements.get(0x0120)),
        status=status,
        sop_instance_uid=elements.get(0x1000, b"").decode("ascii", "replace").strip("\0 "),
        offending=tuple(group << 16 | element for group, element in pairs),
        has_data_set=_unsigned(elements.get(0x0800)) not in {None, NO_DATA_SET},
    )


def store_request(message_id: int, sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """Return the command set of a C-STORE-RQ that a data set follows (PS3.7 9.3.1.1)."""
    return _command_set(
        _text(0x0002, sop_class_uid, b"\0"),
        _number(0x0100, C_STORE_RQ),
        _number(0x0110, message_id),
        _number(0x0700, _MEDIUM),
        _number(0x0800, _A_DATA_SET),
        _text(0x1000, sop_instance_uid, b"\0"),
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
    sop_class, instance = command.sop_class_uid, command.sop_instance_uid
    return _command_set(
        _text(0x0002, sop_class, b"\0") if sop_class else b"",
        _number(0x0100, _C_STORE_RSP),
        _number(0x0120, command.message_id or 0),
        _number(0x0800, NO_DATA_SET),
        _number(0x0900, status),
        _text(0x0902, comment[:_COMMENT_LENGTH], b" ") if comment else b"",
        _text(0x1000, instance, b"\0") if instance else b"",
    )


def _elements(encoded: bytes | bytearray) -> dict[int, bytes]:
    """Values of group 0000 by element."""
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
    return elements


def _command_set(*elements: bytes) -> bytes:
    body = b"".join(elements)
    return pack("<HHII", 0, 0x0000, 4, len(body)) + body


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


def _number(element: int, value: int) -> bytes:
    return pack("<HHIH", 0, element, 2, value)
