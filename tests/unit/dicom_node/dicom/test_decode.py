"""Pixel data of every syntax gives the cells that were compressed; all numbers are by hand."""

from __future__ import annotations

import struct
from typing import Any

import jpeg_ls
import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import JPEG2000LosslessEncoder, RLELosslessEncoder

from dicom_node.dicom.decode import decode
from dicom_node.dicom.layout import Layout
from dicom_node.dicom.syntaxes import DECODED
from dicom_node.errors import PixelDataError
from tests.support.factories import codestreams
from tests.support.factories.jpeg import lossless_jpeg

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
BIG, ENCAPSULATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.98"
JPEG, JPEG_LS = "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80"
JPEG_2000, RLE = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5"
COMPRESSED = (JPEG, JPEG_LS, JPEG_2000, RLE)


def layout(**changes: Any) -> Layout:
    parts: dict[str, Any] = {
        "rows": 32, "columns": 32, "frames": 1, "allocated": 16, "stored": 12, "high_bit": 11,
        "signed": False, "inverted": False,
    }  # fmt: skip
    return Layout(**(parts | changes))


def compressed(cells: np.ndarray[Any, Any], bits: int, syntax: str) -> bytes:
    """One frame of unsigned `cells`, `bits` of each in the codestream."""
    if syntax == JPEG:
        return lossless_jpeg(cells, bits)
    if syntax == JPEG_LS:
        assert int(cells.max()).bit_length() == bits  # it takes as many as there are
        return bytes(jpeg_ls.encode(cells).tobytes())
    encoder = RLELosslessEncoder if syntax == RLE else JPEG2000LosslessEncoder
    return encoder.encode(
        cells.tobytes(), rows=cells.shape[0], columns=cells.shape[1], number_of_frames=1,
        samples_per_pixel=1, bits_allocated=cells.dtype.itemsize * 8, bits_stored=bits,
        pixel_representation=0, photometric_interpretation="MONOCHROME2",
        encoding_plugin="pydicom" if syntax == RLE else "pylibjpeg",
    )  # fmt: skip


def square(*numbers: int, dtype: str = "u2") -> np.ndarray[Any, Any]:
    """32 x 32 cells that repeat `numbers`."""
    return np.resize(np.array(numbers, dtype), (32, 32))


@pytest.mark.parametrize("syntax", COMPRESSED)
class TestHighBit:
    """Where High Bit is not Bits Stored - 1, writers compress whole cells or the pixel alone."""

    def test_whole_cells_stay_as_they_are(self, syntax: str) -> None:
        # 12 bits up to bit 15, and 4 bits below that do not belong to the pixel
        cells = square(0xFFF3, 0x8000, 0x0010, 0x7FF5)
        data = encapsulate([compressed(cells, 16, syntax)])
        got = decode(data, layout(high_bit=15), syntax, uid="1.2.3")
        np.testing.assert_array_equal(got, [cells])

    def test_whole_cells_keep_the_bits_above_the_pixel(self, syntax: str) -> None:
        cells = square(0x8FFF, 0x1000, 0x0001, 0xF7FF)
        data = encapsulate([compressed(cells, 16, syntax)])
        got = decode(data, layout(), syntax, uid="1.2.3")
        np.testing.assert_array_equal(got, [cells])

    def test_six_of_eight_bits(self, syntax: str) -> None:
        cells = square(0xFF, 0x80, 0x04, 0x7D, dtype="u1")
        data = encapsulate([compressed(cells, 8, syntax)])
        eight = layout(allocated=8, stored=6, high_bit=7)
        np.testing.assert_array_equal(decode(data, eight, syntax, uid="1.2.3"), [cells])


@pytest.mark.parametrize("syntax", [JPEG, JPEG_LS, JPEG_2000])
def test_pixels_alone_are_moved_up_to_high_bit(syntax: str) -> None:
    """Not of RLE, which keeps the bytes of whole cells (PS3.5 annex G)."""
    cells = square(0xFFF, 0x800, 0x001, 0x7FF)
    data = encapsulate([compressed(cells, 12, syntax)])
    got = decode(data, layout(high_bit=13), syntax, uid="1.2.3")
    np.testing.assert_array_equal(got, [square(0x3FFC, 0x2000, 0x0004, 0x1FFC)])


@pytest.mark.parametrize("syntax", COMPRESSED)
class TestFrames:
    def test_each_frame_is_its_own(self, syntax: str) -> None:
        frames = [square(n, 4095, 7 * n) for n in (1, 20, 300)]
        data = encapsulate([compressed(each, 12, syntax) for each in frames])
        got = decode(data, layout(frames=3), syntax, uid="1.2.3")
        np.testing.assert_array_equal(got, frames)

    def test_a_missing_frame_is_an_error_and_never_what_lay_in_memory(self, syntax: str) -> None:
        data = encapsulate([compressed(square(5, 4095), 12, syntax)] * 2)
        with pytest.raises(PixelDataError, match="2 of 3 compressed frames"):
            decode(data, layout(frames=3), syntax, uid="1.2.3")

    def test_frames_behind_the_last_are_left_alone(self, syntax: str) -> None:
        data = encapsulate([compressed(square(n, 4095), 12, syntax) for n in (5, 6, 7)])
        got = decode(data, layout(frames=2), syntax, uid="1.2.3")
        np.testing.assert_array_equal(got, [square(5, 4095), square(6, 4095)])


class TestUncompressed:
    @pytest.mark.parametrize(
        ("syntax", "allocated", "words", "data", "cells"),
        [
            (EXPLICIT, 8, False, b"\x01\x02\xff\x00", [1, 2, 255]),
            (EXPLICIT, 8, True, b"\x01\x02\xff\x00", [1, 2, 255]),
            (IMPLICIT, 8, True, b"\x01\x02\xff", [1, 2, 255]),
            (BIG, 8, False, b"\x01\x02\xff\x00", [1, 2, 255]),
            (BIG, 8, True, b"\x02\x01\x00\xff", [1, 2, 255]),
            (EXPLICIT, 16, True, b"\x01\x02\xff\x00\xfe\xff", [0x0201, 255, 0xFFFE]),
            (BIG, 16, True, b"\x02\x01\x00\xff\xff\xfe", [0x0201, 255, 0xFFFE]),
            (BIG, 16, False, b"\x02\x01\x00\xff\xff\xfe", [0x0201, 255, 0xFFFE]),
            (EXPLICIT, 32, True, struct.pack("<3I", 1, 2**24, 2**32 - 2), [1, 2**24, 2**32 - 2]),
            (BIG, 32, True, struct.pack(">3I", 1, 2**24, 2**32 - 2), [1, 2**24, 2**32 - 2]),
        ],
    )
    def test_cells_of_every_width_and_order(
        self, syntax: str, allocated: int, words: bool, data: bytes, cells: list[int]
    ) -> None:
        three = layout(
            rows=1, columns=3, allocated=allocated, stored=allocated, high_bit=allocated - 1
        )
        got = decode(data, three, syntax, uid="1.2.3", words=words)
        assert got.dtype == f"u{allocated // 8}"
        assert got.tolist() == [[cells]]

    def test_an_odd_number_of_bytes_in_words_of_big_endian(self) -> None:
        """Written in pairs, or cut after the last one."""
        one = layout(rows=1, columns=1, allocated=8, stored=8, high_bit=7)
        assert decode(b"\x00\x09", one, BIG, uid="1.2.3").tolist() == [[[9]]]
        assert decode(b"\x00\x09", one, BIG, uid="1.2.3", words=False).tolist() == [[[0]]]

    @pytest.mark.parametrize(
        ("size", "right"), [(2, False), (3, True), (4, True), (5, False)], ids=str
    )
    def test_the_length_is_that_of_the_image_or_made_even(self, size: int, right: bool) -> None:
        three = layout(rows=1, columns=3, allocated=8, stored=8, high_bit=7)
        if right:
            assert decode(bytes(size), three, EXPLICIT, uid="1.2.3").tolist() == [[[0, 0, 0]]]
        else:
            with pytest.raises(PixelDataError, match=f"{size} bytes instead of 3"):
                decode(bytes(size), three, EXPLICIT, uid="1.2.3")

    @pytest.mark.parametrize(("size", "right"), [(5, False), (6, True), (7, False), (8, False)])
    def test_an_even_length_is_not_made_longer(self, size: int, right: bool) -> None:
        three = layout(rows=1, columns=3)
        if right:
            assert decode(bytes(size), three, EXPLICIT, uid="1.2.3").tolist() == [[[0, 0, 0]]]
        else:
            with pytest.raises(PixelDataError, match=f"{size} bytes instead of 6"):
                decode(bytes(size), three, EXPLICIT, uid="1.2.3")


class TestCodestreams:
    """What a frame says of itself is held against the header."""

    @pytest.mark.parametrize("syntax", [JPEG, JPEG_LS, JPEG_2000])
    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"rows": 31}, "31 x 32 pixels, the codestream 32 x 32"),
            ({"columns": 33}, "32 x 33 pixels, the codestream 32 x 32"),
            ({"allocated": 8, "stored": 8, "high_bit": 7}, "12 bits in the codestream, 8"),
        ],
    )
    def test_of_another_size_or_depth(
        self, syntax: str, changes: dict[str, int], reason: str
    ) -> None:
        data = encapsulate([compressed(square(5, 4095), 12, syntax)])
        with pytest.raises(PixelDataError, match=reason):
            decode(data, layout(**changes), syntax, uid="1.2.3")

    def test_of_as_many_bits_as_are_allocated(self) -> None:
        cells = square(0xFFFF, 0, 0x8000)
        data = encapsulate([compressed(cells, 16, JPEG_LS)])
        full = layout(stored=16, high_bit=15)
        np.testing.assert_array_equal(decode(data, full, JPEG_LS, uid="1.2.3"), [cells])

    def test_damage_names_the_frame(self) -> None:
        whole = compressed(square(5, 6), 12, RLE)
        data = encapsulate([whole, whole[:10]])
        with pytest.raises(PixelDataError, match=r"1\.2\.3 frame 2: RLE Lossless cannot be"):
            decode(data, layout(frames=2), RLE, uid="1.2.3")


FOREIGN = {
    "1.2.840.10008.1.2.4.53": (codestreams.PROGRESSIVE, codestreams.SLOPE),
    "1.2.840.10008.1.2.4.55": (codestreams.PROGRESSIVE, codestreams.SLOPE),
    "1.2.840.10008.1.2.4.201": (codestreams.HTJ2K_REVERSIBLE, codestreams.STEPS),
    "1.2.840.10008.1.2.4.202": (codestreams.HTJ2K_REVERSIBLE, codestreams.STEPS),
    "1.2.840.10008.1.2.4.203": (codestreams.HTJ2K_IRREVERSIBLE, codestreams.STEPS),
}


@pytest.mark.parametrize("syntax", FOREIGN)
def test_what_other_encoders_wrote(syntax: str) -> None:
    frame, expected = FOREIGN[syntax]
    eight = layout(allocated=8, stored=8, high_bit=7)
    (got,) = decode(encapsulate([frame]), eight, syntax, uid="1.2.3")
    assert np.abs(got.astype(int) - expected).max() <= (0 if DECODED[syntax].lossless else 3)


@pytest.mark.parametrize("fragments", [1, 2])
@pytest.mark.parametrize("frames", [1, 3])
def test_cells_in_fragments_are_cells(fragments: int, frames: int) -> None:
    """Of an odd number of bytes, so that each frame is padded on its own (PS3.5 A.4.11)."""
    image = layout(rows=3, columns=5, frames=frames, allocated=8, stored=8, high_bit=7)
    cells = np.arange(15 * frames, dtype=np.uint8).reshape(frames, 3, 5)
    data = encapsulate([frame.tobytes() for frame in cells], fragments_per_frame=fragments)
    got = decode(data, image, ENCAPSULATED, uid="1.2.3")
    np.testing.assert_array_equal(got, cells)


def test_cells_in_fragments_may_be_words_and_may_be_too_few() -> None:
    image = layout(rows=2, columns=2)
    data = encapsulate([b"\x01\x00\xff\x0f\x00\x80\x02\x01"])
    assert decode(data, image, ENCAPSULATED, uid="1.2.3").tolist() == [[[1, 4095], [32768, 258]]]
    with pytest.raises(PixelDataError, match="6 bytes instead of 8"):
        decode(encapsulate([bytes(6)]), image, ENCAPSULATED, uid="1.2.3")
    with pytest.raises(PixelDataError, match="not encapsulated"):
        decode(bytes(8), image, ENCAPSULATED, uid="1.2.3")


def test_every_syntax_that_is_called_decodable_is_decoded_here_or_with_real_images() -> None:
    here = {IMPLICIT, EXPLICIT, BIG, ENCAPSULATED, *COMPRESSED, *FOREIGN}
    real = {
        "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51",
        "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.91",
    }  # fmt: skip
    assert here | real == set(DECODED)
