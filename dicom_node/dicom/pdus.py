"""The upper layer PDUs that the node writes and reads itself (PS3.8 9.3).

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

_ASSOCIATE_FIXED: Final = 68
_ITEM_HEADER: Final = 4
_CONTROL_LENGTH: Final = 2
_LEAST_FRAGMENT: Final = 64


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
class AssociateAccept:
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


def parse_accept(body: bytes) -> AssociateAccept:
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
    return AssociateAccept(results, max_pdu)


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
    room = max(max_length - PDV_HEADER_LENGTH, _LEAST_FRAGMENT) if max_length else len(command)
    for start in range(0, len(command), room):
        fragment = command[start : start + room]
        head = bytearray(HEADER_LENGTH + PDV_HEADER_LENGTH)
        last = LAST_FRAGMENT if start + room >= len(command) else 0
        write_pdv_header(memoryview(head), context_id, COMMAND_FRAGMENT | last, len(fragment))
        yield bytes(head) + fragment


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


def _uid(value: bytes) -> str:
    return value.decode("ascii", "replace").strip("\0 ")
