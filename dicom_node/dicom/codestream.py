"""What a compressed frame says about itself in its first bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

Kind = Literal["jpeg", "jpeg-ls", "jpeg-2000"]

_SOI = b"\xff\xd8"
_EOI = b"\xff\xd9"
_J2K = b"\xff\x4f\xff\x51"
_JP2 = b"\x00\x00\x00\x0cjP  "
_SOF_JPEG_LS = 0xF7
_SOF = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_STANDALONE = frozenset({0x01, *range(0xD0, 0xDA)})
_SOS = 0xDA
_FILL = 0xFF
_TRAILER = 64


@dataclass(frozen=True, slots=True)
class Codestream:
    """The frame header of a JPEG, JPEG-LS or JPEG 2000 codestream.

    Attributes
    ----------
    kind : {"jpeg", "jpeg-ls", "jpeg-2000"}
        Which family.
    rows, columns, precision, components : int
        As the codestream states them; precision in bits.
    complete : bool
        Whether the end marker is there.
    """

    kind: Kind
    rows: int
    columns: int
    precision: int
    components: int
    complete: bool


def read_codestream(data: bytes) -> Codestream | None:
    """Read the header of a compressed frame; None if it is none of the three families."""
    complete = _EOI in data[-_TRAILER:]  # the marker cannot occur within entropy-coded data
    try:
        if data.startswith(_SOI):
            return _jpeg(data, complete)
        start = data.find(_J2K, 0, 4096) if data.startswith(_JP2) else 0
        if start >= 0 and data.startswith(_J2K, start):
            return _jpeg_2000(data, start, complete)
    except (struct.error, IndexError):
        return None
    return None


def _jpeg(data: bytes, complete: bool) -> Codestream | None:
    # ITU-T T.81, annex B: markers with lengths up to the frame header (SOFn; SOF55 in JPEG-LS).
    at = len(_SOI)
    while data[at] == _FILL:
        marker = data[at + 1]
        if marker == _FILL:
            at += 1
            continue
        if marker in _STANDALONE:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker in _SOF or marker == _SOF_JPEG_LS:
            precision, rows, columns, components = struct.unpack_from(">BHHB", data, at + 4)
            kind: Kind = "jpeg-ls" if marker == _SOF_JPEG_LS else "jpeg"
            return Codestream(kind, rows, columns, precision, components, complete)
        if marker == _SOS:
            return None
        at += 2 + length
    return None


def _jpeg_2000(data: bytes, start: int, complete: bool) -> Codestream:
    # ITU-T T.800, A.5.1: the SIZ segment follows the start of the codestream.
    width, height, left, top = struct.unpack_from(">IIII", data, start + 8)
    components, depth = struct.unpack_from(">HB", data, start + 40)
    return Codestream(
        "jpeg-2000", height - top, width - left, (depth & 0x7F) + 1, components, complete
    )
