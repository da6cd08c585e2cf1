"""A small writer of DICOM data sets in Explicit VR Little Endian (PS3.5 7, PS3.10 7).

Values are kept as encoded bytes, so that attributes of the source can be carried over without
decoding and encoding them again (character sets that nobody knows come through unharmed), and
the same attributes always give the same file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR, tag_for_keyword

from dicom_node.dicom.file_meta import file_header
from dicom_node.dicom.syntaxes import EXPLICIT_LITTLE_ENDIAN
from dicom_node.dicom.values import LONG_VRS, LONGEST_SHORT

_INTEGERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i"}
_LONGEST_DS = 16


class DataSetBuilder:
    """Encoded data elements by tag; the order of setting does not matter."""

    def __init__(self) -> None:
        self._elements: dict[int, bytes] = {}

    def __contains__(self, keyword: str) -> bool:
        return tag_of(keyword) in self._elements

    def set_bytes(self, tag: int, vr: str, value: bytes) -> None:
        """Set an element from its encoded value; odd lengths are padded (PS3.5 6.2)."""
        if len(value) % 2:
            value += b"\0" if vr in ("UI", "OB", "UN") else b" "
        if vr not in LONG_VRS and len(value) > LONGEST_SHORT:
            vr = "UN"  # PS3.5 6.2.2
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode("ascii")
        length = struct.pack("<HI" if vr in LONG_VRS else "<H", *_lengths(vr, len(value)))
        self._elements[tag] = head + length + value

    def set_text(self, keyword: str, *values: str, limit: int | None = None) -> None:
        """Set text of the product's own: what is not ASCII becomes ``?``, backslash ``/``.

        The character set of the result is the source's, whatever it is; all of them contain ASCII.
        """
        vr = dictionary_VR(tag_of(keyword))
        single = vr in ("ST", "LT", "UT")
        clean = [_printable(value, single)[:limit] for value in values]
        self.set_bytes(tag_of(keyword), vr, "\\".join(clean).encode("ascii", "replace"))

    def set_integers(self, keyword: str, *values: int, vr: str | None = None) -> None:
        """Set binary integers, or an integer string."""
        kind = vr or dictionary_VR(tag_of(keyword))
        if kind == "IS":
            self.set_text(keyword, *(str(value) for value in values))
            return
        value = struct.pack(f"<{len(values)}{_INTEGERS[kind]}", *values)
        self.set_bytes(tag_of(keyword), kind, value)

    def set_decimals(self, keyword: str, *values: float) -> None:
        """Set decimal strings, each the shortest that reads back closest in 16 characters."""
        self.set_text(keyword, *(decimal_string(value) for value in values))

    def set_sequence(self, keyword: str, items: Iterable[DataSetBuilder | bytes]) -> None:
        """Set a sequence of items with defined lengths."""
        self.set_items(tag_of(keyword), items)

    def set_items(self, tag: int, items: Iterable[DataSetBuilder | bytes]) -> None:
        """Set a sequence by tag."""
        encoded = [item if isinstance(item, bytes) else item.encode() for item in items]
        value = b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(e)) + e for e in encoded)
        self.set_bytes(tag, "SQ", value)

    def set_encoded(self, tag: int, element: bytes) -> None:
        """Set a whole encoded element, header and value."""
        self._elements[tag] = element

    def discard(self, *keywords: str) -> None:
        """Remove elements where they are there."""
        for keyword in keywords:
            self._elements.pop(tag_of(keyword), None)

    def encode(self) -> bytes:
        """Return all elements in order of tag."""
        return b"".join(self._elements[tag] for tag in sorted(self._elements))


@dataclass(frozen=True, slots=True)
class Part10File:
    """A file (PS3.10 7) and what its File Meta Information says."""

    data: bytes
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


def part10_file(dataset: DataSetBuilder, sop_class_uid: str, sop_instance_uid: str) -> Part10File:
    """Wrap a data set into a Part 10 file in Explicit VR Little Endian."""
    header = file_header(
        sop_class_uid=sop_class_uid,
        sop_instance_uid=sop_instance_uid,
        transfer_syntax_uid=EXPLICIT_LITTLE_ENDIAN,
    )
    return Part10File(
        header + dataset.encode(), sop_class_uid, sop_instance_uid, EXPLICIT_LITTLE_ENDIAN
    )


def tag_of(keyword: str) -> int:
    """Tag of a keyword of the data dictionary."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"{keyword} is not a keyword of the data dictionary")
    return tag


def decimal_string(value: float) -> str:
    """Write a number as a DS of at most 16 characters."""
    if float(value).is_integer() and abs(value) < 10**14:
        return str(int(value))
    for digits in range(17, 0, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= _LONGEST_DS and "e+" not in text:
            return text
    return f"{value:.8e}"


def _lengths(vr: str, length: int) -> tuple[int, ...]:
    return (0, length) if vr in LONG_VRS else (length,)


def _printable(text: str, single: bool) -> str:
    clean = "".join(c if c.isprintable() else " " for c in text)
    return clean if single else clean.replace("\\", "/")
