"""The first bytes of compressed frames, put together from the standards by hand."""

from __future__ import annotations

import struct

import pytest

from dicom_node.dicom.codestream import Codestream, read_codestream

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
APP0 = b"\xff\xe0\x00\x06JFIF"
JP2 = b"\x00\x00\x00\x0cjP  \r\n\x87\n"


def frame_header(marker: int) -> bytes:
    """Precision 12, 3 rows of 5 columns, one component (ITU-T T.81, B.2.2)."""
    return struct.pack(">BBHBHHB", 0xFF, marker, 11, 12, 3, 5, 1) + b"\x01\x11\x00"


def size_header(left: int = 0, top: int = 0, depth: int = 11) -> bytes:
    """5 x 3 pixels, one component, depth less one (ITU-T T.800, A.5.1)."""
    size = struct.pack(">IIIIIIII", 5 + left, 3 + top, left, top, 5, 3, 0, 0)
    return b"\xff\x4f\xff\x51" + struct.pack(">HH", 41, 0) + size + struct.pack(">HB", 1, depth)


def found(kind: str, *, complete: bool = True, precision: int = 12) -> Codestream:
    return Codestream(kind, 3, 5, precision, 1, complete)  # type: ignore[arg-type]


@pytest.mark.parametrize("marker", [0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC9, 0xCB, 0xCF])
def test_every_kind_of_jpeg(marker: int) -> None:
    assert read_codestream(SOI + frame_header(marker) + EOI) == found("jpeg")


def test_jpeg_ls_has_a_marker_of_its_own() -> None:
    assert read_codestream(SOI + frame_header(0xF7) + EOI) == found("jpeg-ls")


@pytest.mark.parametrize("marker", [0xC4, 0xC8, 0xCC])
def test_tables_are_no_frame_headers(marker: int) -> None:
    table = struct.pack(">BBH", 0xFF, marker, 11) + bytes(9)
    assert read_codestream(SOI + table + frame_header(0xC3) + EOI) == found("jpeg")
    assert read_codestream(SOI + table + EOI) is None


@pytest.mark.parametrize(
    "before", [b"", APP0, APP0 * 3, b"\xff" * 4, b"\xff\x01", b"\xff\xd0\xff\xd7"]
)
def test_whatever_stands_before_the_header(before: bytes) -> None:
    assert read_codestream(SOI + before + frame_header(0xC1) + EOI) == found("jpeg")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        SOI,
        b"raw pixels, say",
        SOI + b"\xff\xda\x00\x02" + frame_header(0xC1),  # a scan before the header
        SOI + b"\x00\x00" + frame_header(0xC1),
        SOI + frame_header(0xC1)[:6],
        SOI + APP0[:5],
        b"\xff\x4f\xff\x51\x00",
        JP2 + bytes(100),
    ],
)
def test_what_has_no_header(data: bytes) -> None:
    assert read_codestream(data) is None


def test_jpeg_2000() -> None:
    assert read_codestream(size_header() + EOI) == found("jpeg-2000")
    assert read_codestream(size_header(left=7, top=2) + EOI) == found("jpeg-2000")
    assert read_codestream(size_header(depth=0x80 | 15) + EOI) == found("jpeg-2000", precision=16)


def test_jpeg_2000_in_a_file_of_boxes() -> None:
    boxes = JP2 + b"\x00\x00\x00\x14ftypjp2 " + bytes(8)
    assert read_codestream(boxes + size_header() + EOI) == found("jpeg-2000")


@pytest.mark.parametrize(
    ("end", "complete"),
    [(EOI, True), (EOI + b"\0", True), (EOI + bytes(62), True), (EOI + bytes(63), False),
     (b"", False), (b"\xd9", False)],
)  # fmt: skip
def test_whether_the_end_is_there(end: bytes, complete: bool) -> None:
    assert read_codestream(SOI + frame_header(0xC3) + end) == found("jpeg", complete=complete)
