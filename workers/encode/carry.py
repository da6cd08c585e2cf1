"""Carrying attributes of the source over to a result, as bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element

from dicom_node.dicom.part10 import DataSetBuilder, tag_of
from dicom_node.dicom.reading import VALUE_ERRORS
from dicom_node.dicom.values import UNDEFINED
from workers.load import Source

_WIDTHS = {
    "US": 2, "SS": 2, "OW": 2, "AT": 2,
    "UL": 4, "SL": 4, "FL": 4, "OF": 4, "OL": 4,
    "FD": 8, "OD": 8, "OV": 8, "SV": 8, "UV": 8,
}  # fmt: skip
_OVERLAYS = range(0x6000, 0x6020, 2)
_LAST_COMMAND_GROUP = 0x0007
_DEEPEST = 16

_Element = RawDataElement | DataElement


@dataclass(frozen=True, slots=True)
class _How:
    """How elements are encoded: signedness of "US or SS", what becomes of empty sequences."""

    signed: bool
    keep_empty: bool = True
    depth: int = 0


def carry(source: Source, result: DataSetBuilder, *keywords: str) -> None:
    """Carry over those attributes that the source has and that can be written.

    Empty sequences, and empty attributes within items, are left behind: what is Type 2 in the
    source's IOD is optional elsewhere, and optional ones must not be empty (PS3.5 7.4.6).
    """
    for keyword in keywords:
        _carry_tag(source, result, tag_of(keyword), _How(source.layout.signed, keep_empty=False))


def carry_all(source: Source, result: DataSetBuilder) -> None:
    """Carry over every public attribute of the source's data set."""
    how = _How(source.layout.signed)
    for tag in source.elements:
        if _belongs(tag):
            _carry_tag(source, result, tag, how)


def carry_overlays(source: Source, result: DataSetBuilder) -> None:
    """Carry over overlay planes (groups 6000 to 601E)."""
    for tag in source.elements:
        if tag >> 16 in _OVERLAYS and tag & 0xFFFF:
            _carry_tag(source, result, tag, _How(source.layout.signed))


def items_of(source: Source, keyword: str) -> list[bytes]:
    """Return the encoded items of a sequence of the source; empty where it has none."""
    element = source.elements.get(tag_of(keyword))
    try:
        return [] if element is None else _items(element, _How(source.layout.signed))
    except VALUE_ERRORS:
        return []


def has_value(source: Source, keyword: str) -> bool:
    """Whether the source has the attribute with a value."""
    element = source.elements.get(tag_of(keyword))
    if element is None:
        return False
    value = element.value
    if value is None:
        return False
    return len(value) > 0 if hasattr(value, "__len__") else True


def _carry_tag(source: Source, result: DataSetBuilder, tag: int, how: _How) -> None:
    element = source.elements.get(tag)
    if element is None:
        return
    try:
        encoded = _encode(element, how)
    except VALUE_ERRORS:
        return  # what cannot be parsed cannot be carried; identification is text, and never parsed
    if encoded is not None:
        result.set_encoded(tag, encoded)


def _encode(element: _Element, how: _How) -> bytes | None:
    tag = int(element.tag)
    vr = _vr(element, how.signed)
    if vr is None or how.depth > _DEEPEST:
        return None
    one = DataSetBuilder()
    if vr == "SQ":
        items = _items(element, how)
        if not items and not how.keep_empty:
            return None
        one.set_items(tag, items)
    elif isinstance(element, RawDataElement):
        value = _little_endian(element, vr)
        if value is None or not (value or how.keep_empty or how.depth == 0):
            return None
        one.set_bytes(tag, vr, value)
    else:
        return _written(element)
    return one.encode()


def _little_endian(element: RawDataElement, vr: str) -> bytes | None:
    """Return the value as it is written in little endian; None if it is not a whole value."""
    value: bytes = element.value or b""
    width = _WIDTHS.get(vr)
    if element.length == UNDEFINED or (width and len(value) % width):
        return None
    return _swap(value, width) if width and not element.is_little_endian else value


def encode_items(items: Iterable[Dataset], *, signed: bool) -> list[bytes]:
    """Encode parsed sequence items, their unparsed elements as they stand."""
    return [_item(item, _How(signed)) for item in items]


def _items(element: _Element, how: _How) -> list[bytes]:
    parsed = convert_raw_data_element(element) if isinstance(element, RawDataElement) else element
    return [_item(item, how) for item in parsed.value or ()]


def _item(item: Dataset, how: _How) -> bytes:
    deeper = replace(how, depth=how.depth + 1)
    encoded = DataSetBuilder()
    for tag in item.keys():  # noqa: SIM118 -- iterating a Dataset parses every element
        if not _belongs(int(tag)):
            continue
        try:
            element = _encode(item.get_item(tag), deeper)
        except VALUE_ERRORS:
            continue
        if element is not None:
            encoded.set_encoded(int(tag), element)
    return encoded.encode()


def _written(element: DataElement) -> bytes:
    """Encode an element that was already parsed, in the character set that it was read with."""
    buffer = DicomBytesIO()
    buffer.is_little_endian = True
    buffer.is_implicit_VR = False
    write_data_element(buffer, element, ["iso8859"])
    return buffer.getvalue()


def _vr(element: _Element, signed: bool) -> str | None:
    """Value representation to write, None for an element that is better left behind."""
    vr = element.VR
    if vr is None or vr == "UN":
        try:
            vr = dictionary_VR(element.tag)
        except KeyError:
            return None if vr is None else "UN"
    if vr == "US or SS":
        return "SS" if signed else "US"
    return "OW" if " or " in vr else str(vr)


def _belongs(tag: int) -> bool:
    """Whether a tag is public and part of what a data set says about its object."""
    group = tag >> 16
    return bool(
        group % 2 == 0
        and group > _LAST_COMMAND_GROUP
        and tag & 0xFFFF
        and group not in (0x7FE0, 0xFFFC, 0xFFFA, 0x4FFE)  # pixels, padding, signatures
    )


def _swap(value: bytes, width: int) -> bytes:
    kind = {2: "H", 4: "I", 8: "Q"}[width]
    count = len(value) // width
    return struct.pack(f"<{count}{kind}", *struct.unpack(f">{count}{kind}", value))
