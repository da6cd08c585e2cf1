"""The few upper layer PDUs and the command sets that a storage SCU needs (PS3.8 9.3, PS3.7 9.3).

Pure functions between bytes and values; nothing here waits or keeps state.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"
HEADER_LENGTH: Final = 6
PDV_HEADER_LENGTH: Final = 6
LAST_FRAGMENT: Final = 0x02
COMMAND_FRAGMENT: Final = 0x01
NO_DATA_SET: Final = 0x0101

_ASSOCIATE_FIXED: Final = 68
_ITEM_HEADER: Final = 4
_CONTROL_LENGTH: Final = 2
_STORE_REQUEST: Final = 0x0001
_MEDIUM_PRIORITY: Final = 0x0000


class MalformedPdu(ValueError):
    """The peer sent bytes that are not what the standard says; the message says where."""


class PduType(IntEnum):
    """First byte of a PDU (PS3.8 9.3.1)."""

    ASSOCIATE_RQ = 0x01
    ASSOCIATE_AC = 0x02
    ASSOCIATE_RJ = 0x03
    P_DATA = 0x04
    RELEASE_RQ = 0x05
    RELEASE_RP = 0x06
    ABORT = 0x07


class Item(IntEnum):
    """First byte of an item of an association PDU (PS3.8 9.3.2, 9.3.3; PS3.7 D.3.3)."""

    APPLICATION_CONTEXT = 0x10
    PRESENTATION_CONTEXT_RQ = 0x20
    PRESENTATION_CONTEXT_AC = 0x21
    ABSTRACT_SYNTAX = 0x30
    TRANSFER_SYNTAX = 0x40
    USER_INFORMATION = 0x50
    MAXIMUM_LENGTH = 0x51
    IMPLEMENTATION_CLASS = 0x52
    IMPLEMENTATION_VERSION = 0x55


@dataclass(frozen=True, slots=True)
class Accepted:
    """An A-ASSOCIATE-AC.

    Attributes
    ----------
    results
        Presentation context id -> (result 0-4, transfer syntax UID or "").
    max_pdu
        Longest P-DATA-TF PDU the peer takes, bytes after the header; 0 for no limit.
    """

    results: Mapping[int, tuple[int, str]]
    max_pdu: int


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


def associate_request(
    *,
    called: str,
    calling: str,
    contexts: Mapping[int, tuple[str, Sequence[str]]],
    max_pdu: int,
    implementation_class_uid: str,
    implementation_version: str,
) -> bytes:
    """Return an A-ASSOCIATE-RQ PDU (PS3.8 9.3.2).

    Parameters
    ----------
    called, calling : str
        AE titles, at most 16 ASCII characters.
    contexts : mapping
        Presentation context id (odd, 1-255) -> (abstract syntax, transfer syntaxes).
    max_pdu : int
        Longest P-DATA-TF PDU that we take, bytes; 0 for no limit.
    implementation_class_uid, implementation_version : str
        PS3.7 D.3.3.2.
    """
    items = [_item(Item.APPLICATION_CONTEXT, APPLICATION_CONTEXT.encode())]
    for context_id, (abstract, transfers) in contexts.items():
        inner = _item(Item.ABSTRACT_SYNTAX, abstract.encode("ascii"))
        inner += b"".join(_item(Item.TRANSFER_SYNTAX, one.encode("ascii")) for one in transfers)
        items.append(_item(Item.PRESENTATION_CONTEXT_RQ, struct.pack(">B3x", context_id) + inner))
    user = _item(Item.MAXIMUM_LENGTH, struct.pack(">I", max_pdu))
    user += _item(Item.IMPLEMENTATION_CLASS, implementation_class_uid.encode("ascii"))
    user += _item(Item.IMPLEMENTATION_VERSION, implementation_version.encode("ascii"))
    items.append(_item(Item.USER_INFORMATION, user))
    fixed = struct.pack(
        ">H2x16s16s32x", 1, called.encode("ascii").ljust(16), calling.encode("ascii").ljust(16)
    )
    return pdu(PduType.ASSOCIATE_RQ, fixed + b"".join(items))


def parse_accept(body: bytes) -> Accepted:
    """Read the body of an A-ASSOCIATE-AC (PS3.8 9.3.3).

    Raises
    ------
    MalformedPdu
        If an item reaches beyond its parent.
    """
    results: dict[int, tuple[int, str]] = {}
    max_pdu = 0
    for kind, value in _items(body, _ASSOCIATE_FIXED):
        if kind == Item.PRESENTATION_CONTEXT_AC:
            if len(value) < _ITEM_HEADER:
                raise MalformedPdu("presentation context item is too short")
            # The transfer syntax has no meaning unless accepted (PS3.8 9.3.3.2).
            result = value[2]
            syntaxes = dict(_items(value, _ITEM_HEADER)) if result == 0 else {}
            results[value[0]] = (result, _uid(syntaxes.get(Item.TRANSFER_SYNTAX, b"")))
        elif kind == Item.USER_INFORMATION:
            inner = dict(_items(value, 0)).get(Item.MAXIMUM_LENGTH, b"\0\0\0\0")
            if len(inner) != struct.calcsize(">I"):
                raise MalformedPdu("maximum length item is not 4 bytes")
            max_pdu = int.from_bytes(inner, "big")
    return Accepted(results, max_pdu)


def pdu(kind: PduType, body: bytes) -> bytes:
    """Return a whole PDU."""
    return struct.pack(">BxI", kind, len(body)) + body


RELEASE_REQUEST: Final = pdu(PduType.RELEASE_RQ, bytes(4))
RELEASE_RESPONSE: Final = pdu(PduType.RELEASE_RP, bytes(4))


def abort(source: int, reason: int) -> bytes:
    """Return an A-ABORT PDU: source 0 service user, 2 service provider (PS3.8 9.3.8)."""
    return pdu(PduType.ABORT, bytes((0, 0, source, reason)))


def write_pdv_header(into: memoryview, context_id: int, control: int, length: int) -> None:
    """Write the headers of a P-DATA-TF PDU with one fragment of `length` bytes (PS3.8 9.3.5).

    `into` takes `HEADER_LENGTH` + `PDV_HEADER_LENGTH` bytes.
    """
    struct.pack_into(
        ">BxIIBB", into, 0,
        PduType.P_DATA, length + PDV_HEADER_LENGTH, length + 2, context_id, control,
    )  # fmt: skip


def command_pdu(context_id: int, command: bytes) -> bytes:
    """Return a P-DATA-TF PDU that carries a whole command set."""
    head = bytearray(HEADER_LENGTH + PDV_HEADER_LENGTH)
    write_pdv_header(memoryview(head), context_id, COMMAND_FRAGMENT | LAST_FRAGMENT, len(command))
    return bytes(head) + command


def fragments(body: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield (presentation context id, message control header, bytes) of a P-DATA-TF body.

    Raises
    ------
    MalformedPdu
        If a fragment reaches beyond the PDU.
    """
    at = 0
    while at < len(body):
        if at + PDV_HEADER_LENGTH > len(body):
            raise MalformedPdu("fragment header reaches beyond the PDU")
        length, context_id, control = struct.unpack_from(">IBB", body, at)
        end = at + struct.calcsize(">I") + length
        if length < _CONTROL_LENGTH or end > len(body):
            raise MalformedPdu("fragment reaches beyond the PDU")
        yield context_id, control, body[at + PDV_HEADER_LENGTH : end]
        at = end


def store_request(message_id: int, sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """Return the command set of a C-STORE-RQ (PS3.7 9.3.1.1)."""
    return _command(
        (0x0002, _padded(sop_class_uid)),
        (0x0100, struct.pack("<H", _STORE_REQUEST)),
        (0x0110, struct.pack("<H", message_id)),
        (0x0700, struct.pack("<H", _MEDIUM_PRIORITY)),
        (0x0800, struct.pack("<H", 0x0001)),
        (0x1000, _padded(sop_instance_uid)),
    )


def parse_response(command: bytes) -> Response:
    """Read a command set, which is always Implicit VR Little Endian (PS3.7 6.3.1).

    Raises
    ------
    MalformedPdu
        If an element reaches beyond the set, or Command Field or Status is missing.
    """
    elements: dict[int, bytes] = {}
    at = 0
    while at < len(command):
        if at + 8 > len(command):
            raise MalformedPdu("command element header reaches beyond the command set")
        group, element, length = struct.unpack_from("<HHI", command, at)
        at += 8
        if group != 0 or at + length > len(command):
            raise MalformedPdu("command element reaches beyond the command set")
        elements[element] = command[at : at + length]
        at += length
    kind = _number(elements.get(0x0100))
    status = _number(elements.get(0x0900))
    if kind is None or status is None:
        raise MalformedPdu("command set without Command Field or Status")
    tags = elements.get(0x0901, b"")
    pairs = struct.iter_unpack("<HH", tags[: len(tags) // 4 * 4])
    return Response(
        command=kind,
        message_id=_number(elements.get(0x0120)),
        status=status,
        sop_instance_uid=_uid(elements.get(0x1000, b"")),
        offending=tuple(group << 16 | element for group, element in pairs),
        has_data_set=_number(elements.get(0x0800)) not in {None, NO_DATA_SET},
    )


def _item(kind: Item, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def _items(body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    if at > len(body):
        raise MalformedPdu("PDU ends before its items")
    while at < len(body):
        if at + _ITEM_HEADER > len(body):
            raise MalformedPdu("item header reaches beyond its parent")
        kind, length = struct.unpack_from(">BxH", body, at)
        at += _ITEM_HEADER
        if at + length > len(body):
            raise MalformedPdu("item reaches beyond its parent")
        yield kind, body[at : at + length]
        at += length


def _command(*elements: tuple[int, bytes]) -> bytes:
    body = b"".join(struct.pack("<HHI", 0, tag, len(value)) + value for tag, value in elements)
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def _padded(uid: str) -> bytes:
    value = uid.encode("ascii")
    return value + b"\0" * (len(value) % 2)


def _uid(value: bytes) -> str:
    return value.decode("ascii", "replace").strip("\0 ")


def _number(value: bytes | None) -> int | None:
    return None if value is None or len(value) != 2 else int.from_bytes(value, "little")  # noqa: PLR2004
