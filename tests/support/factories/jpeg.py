"""A lossless JPEG encoder as small as ITU-T T.81 allows, so that tests need none of ours."""

from __future__ import annotations

import struct

from numpy import integer
from numpy.typing import NDArray

_CODE = 5  # bits of every Huffman code: 17 categories of differences fit into 32


def lossless_jpeg(cells: NDArray[integer], precision: int) -> bytes:
    """Encode ``[H, W]`` cells below ``2**precision`` as process 14, selection value 1 (annex H).

    Every category of differences has a Huffman code of 5 bits: its own number.
    """
    rows, columns = cells.shape
    table = bytes([0, *([0] * (_CODE - 1)), 17, *([0] * (16 - _CODE)), *range(17)])
    return b"".join(
        (
            b"\xff\xd8",
            _segment(0xC3, struct.pack(">BHHB3B", precision, rows, columns, 1, 1, 0x11, 0)),
            _segment(0xC4, table),
            _segment(0xDA, bytes([1, 1, 0, 1, 0, 0])),
            _packed("".join(_differences(cells.tolist(), precision))),
            b"\xff\xd9",
        )
    )


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _differences(rows: list[list[int]], precision: int) -> list[str]:
    codes = []
    above = 1 << (precision - 1)
    for row in rows:
        for predicted, value in zip([above, *row], row, strict=False):
            codes.append(_code((value - predicted + 0x8000) % 0x10000 - 0x8000))
        above = row[0]
    return codes


def _code(difference: int) -> str:
    """Category, then as many bits of the difference (T.81, F.1.2.1 and H.1.2.2)."""
    category = abs(difference).bit_length()
    text = f"{category:05b}"
    if category in (0, 16):
        return text
    return text + f"{difference if difference > 0 else difference + 2**category - 1:0{category}b}"


def _packed(bits: str) -> bytes:
    padded = bits + "1" * (-len(bits) % 8)
    data = int(padded, 2).to_bytes(len(padded) // 8, "big")
    return data.replace(b"\xff", b"\xff\x00")  # T.81, F.1.2.3
