"""Little endian data sets from explicit to implicit VR and back, value bytes untouched.

Only the headers of the elements change (PS3.5 7.1). Text in any character set, private elements
and malformed values come through byte for byte, because nothing is decoded. Retired group lengths
(gggg,0000) are left out (PS3.5 7.2): they would be wrong.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pydicom.datadict import dictionary_VR, private_dictionary_VR

from dicom_node.dicom.values import LONG_VRS, LONGEST_SHORT, PIXEL_DATA, UNDEFINED
from dicom_node.errors import UnreadableObject

_ITEM: Final = 0xFFFEE000
_ITEM_END: Final = 0xFFFEE00D
_SEQUENCE_END: Final = 0xFFFEE0DD
_PIXEL_REPRESENTATION: Final = 0x00280103
_DEEPEST: Final = 32
_FIRST_CREATOR: Final = 0x10
_LAST_CREATOR: Final = 0xFF
_BYTE: Final = 8


@dataclass(frozen=True, slots=True)
class Element:
    """An element to put in place of another.

    Attributes
    ----------
    vr
        Value representation, two letters.
    value
        Encoded value, of even length; for encapsulated pixel data everything up to but without
        the sequence delimiter.
    encapsulated
        Whether to write it with undefined length and a sequence delimiter.
    """

    vr: str
    value: bytes
    encapsulated: bool = False


def recode(
    data: bytes,
    *,
    from_implicit: bool,
    to_implicit: bool,
    replace: Mapping[int, Element] | None = None,
    drop: Iterable[int] = (),
) -> bytes:
    """Return a data set with other element headers and the same value bytes.

    Parameters
    ----------
    data : bytes
        Data set in Implicit or Explicit VR Little Endian, without file meta information;
        compressed transfer syntaxes are Explicit VR Little Endian.
    from_implicit, to_implicit : bool
        Whether the VRs are left out, in `data` and in the result.
    replace : mapping of int to Element, optional
        Elements of the outermost level to write in place of those of the same tag.
    drop : iterable of int
        Tags of the outermost level to leave out.

    Raises
    ------
    UnreadableObject
        If an element reaches beyond its parent, or items are nested deeper than 32 levels.
    """
    recoder = _Recoder(memoryview(data), from_implicit, to_implicit)
    level = _Level(replace=dict(replace or {}), drop=frozenset(drop))
    try:
        recoder.elements(0, len(data), level)
    except struct.error as error:
        raise _broken("an element header reaches beyond the data set") from error
    return b"".join(recoder.out)


@dataclass(slots=True)
class _Level:
    """What the elements of one data set or item say about the others in it."""

    replace: dict[int, Element] = field(default_factory=dict)
    drop: frozenset[int] = frozenset()
    creators: dict[int, str] = field(default_factory=dict)
    signed: bool = False
    depth: int = 0


class _Recoder:
    """Walks a data set once, writing pieces into `out`."""

    def __init__(self, data: memoryview, from_implicit: bool, to_implicit: bool) -> None:
        self.out: list[bytes | memoryview] = []
        self._data = data
        self._from_implicit = from_implicit
        self._to_implicit = to_implicit

    def elements(self, at: int, end: int, level: _Level) -> int:
        """Recode the elements up to `end`, or to an item delimiter; return where it stopped."""
        if level.depth > _DEEPEST:
            raise _broken("items are nested too deeply")
        while at < end:
            tag, vr, length, value_at = self._header(at, end)
            if tag == _ITEM_END:
                return at
            stop = value_at + length
            if length != UNDEFINED and stop > end:
                raise _broken("an element reaches beyond its parent")
            skipped = tag in level.drop or tag in level.replace or tag & 0xFFFF == 0
            known = vr or _vr_of(tag, level, length)
            if not skipped and self._is_sequence(tag, vr, known, length):
                at = self._sequence(tag, length, value_at, end, level)
                continue
            if length == UNDEFINED:
                stop = self._end_of_items(value_at, end)
            if tag in level.replace:
                self._write_replacement(tag, level.replace[tag])
            elif not skipped:
                self._note(tag, value_at, length, level)
                self._write(tag, known, length, value_at, stop)
            at = stop
        return at

    def _header(self, at: int, end: int) -> tuple[int, str, int, int]:
        """Return tag, VR ("" when not written), length and where the value begins."""
        if at + 8 > end:
            raise _broken("an element header reaches beyond its parent")
        group, element = struct.unpack_from("<HH", self._data, at)
        tag = group << 16 | element
        if self._from_implicit or group == _ITEM >> 16:
            (length,) = struct.unpack_from("<I", self._data, at + 4)
            return tag, "", length, at + 8
        vr = bytes(self._data[at + 4 : at + 6]).decode("latin-1")
        if not (vr.isascii() and vr.isalpha() and vr.isupper()):
            raise _broken(f"element {_named(tag)} has no value representation")
        if vr in LONG_VRS:
            (length,) = struct.unpack_from("<I", self._data, at + 8)
            return tag, vr, length, at + 12
        (length,) = struct.unpack_from("<H", self._data, at + 6)
        return tag, vr, length, at + 8

    def _is_sequence(self, tag: int, written: str, known: str, length: int) -> bool:
        if tag == PIXEL_DATA:
            return False
        if self._from_implicit:
            return known == "SQ" or length == UNDEFINED
        # UN of undefined length is a sequence in implicit VR (PS3.5 6.2.2) and is copied as such.
        return written == "SQ"

    def _sequence(self, tag: int, length: int, at: int, end: int, level: _Level) -> int:
        """Recode a sequence; lengths stay of the kind that they were."""
        stop = end if length == UNDEFINED else at + length
        outer, self.out = self.out, []
        while at < stop:
            inner, _, item_length, at = self._header(at, stop)
            if inner == _SEQUENCE_END:
                break
            if inner != _ITEM:
                raise _broken(f"sequence {_named(tag)} holds something that is not an item")
            at = self._item(item_length, at, stop, level)
        else:
            if length == UNDEFINED:
                raise _broken(f"sequence {_named(tag)} does not end")
        items, self.out = self.out, outer
        size = UNDEFINED if length == UNDEFINED else sum(len(piece) for piece in items)
        self._write_header(tag, "SQ", size)
        self.out += items
        if length == UNDEFINED:
            self.out.append(_delimiter(_SEQUENCE_END))
        return at

    def _item(self, length: int, at: int, stop: int, level: _Level) -> int:
        outer, self.out = self.out, []
        if length != UNDEFINED and at + length > stop:
            raise _broken("an item reaches beyond its sequence")
        end = stop if length == UNDEFINED else at + length
        at = self.elements(at, end, _Level(signed=level.signed, depth=level.depth + 1))
        if length == UNDEFINED:
            if at >= end:
                raise _broken("an item does not end")
            at += 8
        elif at != end:
            raise _broken("an item ends early")
        inside, self.out = self.out, outer
        size = UNDEFINED if length == UNDEFINED else sum(len(piece) for piece in inside)
        self.out.append(_header(_ITEM, size))
        self.out += inside
        if length == UNDEFINED:
            self.out.append(_delimiter(_ITEM_END))
        return at

    def _end_of_items(self, at: int, end: int) -> int:
        """Return where an element of undefined length ends, behind its delimiter."""
        depth = 0
        while at + 8 <= end:
            group, element, length = struct.unpack_from("<HHI", self._data, at)
            tag = group << 16 | element
            at += 8
            if tag == _SEQUENCE_END:
                if depth == 0:
                    return at
                depth -= 1
            elif tag == _ITEM_END:
                continue
            elif length == UNDEFINED:
                # Inside items of undefined length everything is implicit VR (PS3.5 6.2.2).
                depth += tag != _ITEM
            else:
                at += length
        raise _broken("an element of undefined length does not end")

    def _note(self, tag: int, at: int, length: int, level: _Level) -> None:
        """Remember what tells the VR of other elements."""
        group, element = tag >> 16, tag & 0xFFFF
        if group % 2 and _FIRST_CREATOR <= element <= _LAST_CREATOR and length != UNDEFINED:
            creator = bytes(self._data[at : at + length]).decode("latin-1").strip("\0 ")
            level.creators[group << 16 | element << 8] = creator
        elif tag == _PIXEL_REPRESENTATION:
            level.signed = int.from_bytes(self._data[at : at + min(length, 2)], "little") == 1

    def _write(self, tag: int, vr: str, length: int, at: int, stop: int) -> None:
        value = self._data[at:stop]
        self._write_header(tag, vr, length if length == UNDEFINED else len(value))
        self.out.append(value)

    def _write_replacement(self, tag: int, element: Element) -> None:
        size = UNDEFINED if element.encapsulated else len(element.value)
        self._write_header(tag, element.vr, size)
        self.out.append(element.value)
        if element.encapsulated:
            self.out.append(_delimiter(_SEQUENCE_END))

    def _write_header(self, tag: int, vr: str, length: int) -> None:
        if self._to_implicit:
            self.out.append(_header(tag, length))
            return
        if vr not in LONG_VRS and length > LONGEST_SHORT:
            vr = "UN"  # PS3.5 6.2.2
        words = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
        form = "<2xI" if vr in LONG_VRS else "<H"
        self.out.append(words + struct.pack(form, length))


def _vr_of(tag: int, level: _Level, length: int) -> str:
    """Return the VR of an element of an implicit VR data set, "UN" when nobody knows."""
    group, element = tag >> 16, tag & 0xFFFF
    try:
        if group % 2:
            if _FIRST_CREATOR <= element <= _LAST_CREATOR:
                return "LO"
            creator = level.creators[group << 16 | (element & 0xFF00)]
            vr = private_dictionary_VR(tag, creator)
        else:
            vr = dictionary_VR(tag)
    except KeyError:
        return "UN"
    return _settled(vr, tag, level, length)


def _settled(vr: str, tag: int, level: _Level, length: int) -> str:
    """Return one VR where the dictionary has several (PS3.6: "US or SS", "OB or OW"...)."""
    choices = vr.split(" or ")
    if len(choices) == 1:
        return vr
    if "OB" in choices:
        if tag == PIXEL_DATA and length == UNDEFINED:
            return "OB"
        return "OW"  # implicit VR knows no other (PS3.5 A.1)
    if "SS" in choices and level.signed:
        return "SS"
    return "OW" if "OW" in choices and length > 2 * _BYTE else "US"


def _header(tag: int, length: int) -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, length)


def _delimiter(tag: int) -> bytes:
    return _header(tag, 0)


def _named(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _broken(what: str) -> UnreadableObject:
    return UnreadableObject(f"the stored data set is malformed: {what}")
