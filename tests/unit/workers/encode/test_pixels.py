"""Frames as the multi-frame captures want them, unsigned and MONOCHROME2; numbers by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_node.dicom.part10 import DataSetBuilder
from dicom_node.errors import EncodeError
from tests.support.factories import ct_slice, dx_image, enhanced_ct, multiframe, write
from workers.encode.pixels import WordFrames, cells_of, set_pixels, word_frames
from workers.load import load


def words(image: Dataset, folder: Path) -> WordFrames:
    """What becomes of an image that denoising left alone."""
    source = load(write(image, folder))
    return word_frames(source, [frame.values for frame in source.frames])


def run(stored: list[list[int]], **attributes: Any) -> Dataset:
    """Frames of one row, 10 of 16 bits."""
    image = multiframe(len(stored), size=(1, len(stored[0])), **attributes)
    image.PixelData = (np.array(stored) & 0x3FF).astype("<u2").tobytes()
    return image


@pytest.mark.parametrize(
    ("signed", "photometric", "stored", "cells"),
    [
        (0, "MONOCHROME2", [0, 1, 1022, 1023], [0, 1, 1022, 1023]),
        (0, "MONOCHROME1", [0, 1, 1022, 1023], [1023, 1022, 1, 0]),
        (1, "MONOCHROME2", [-512, -511, 0, 511], [0, 1, 512, 1023]),
        (1, "MONOCHROME1", [-512, -511, 0, 511], [1023, 1022, 511, 0]),
    ],
)
def test_every_frame_of_every_kind_keeps_its_order_of_grey(
    tmp_path: Path, signed: int, photometric: str, stored: list[int], cells: list[int]
) -> None:
    image = run(
        [stored, stored[::-1]], PixelRepresentation=signed, PhotometricInterpretation=photometric
    )
    found = words(image, tmp_path)
    assert found.cells.tolist() == [[cells], [cells[::-1]]]
    assert (found.stored, found.slope, found.intercept) == (10, 1.0, 0.0)
    assert found.padding is None


@pytest.mark.parametrize(
    ("signed", "photometric", "low", "high", "padding"),
    [
        (0, "MONOCHROME2", 0, 3, (0, 3)),
        (0, "MONOCHROME2", 1020, 1023, (1020, 1023)),
        (0, "MONOCHROME1", 0, 3, (1020, 1023)),
        (0, "MONOCHROME1", 1023, 1023, (0, 0)),
        (1, "MONOCHROME2", -512, -500, (0, 12)),
        (1, "MONOCHROME2", 511, 511, (1023, 1023)),
        (1, "MONOCHROME1", -512, -500, (1011, 1023)),
        (1, "MONOCHROME1", 500, 511, (0, 11)),
        (0, "MONOCHROME2", 1020, 1024, None),
        (1, "MONOCHROME2", -513, -512, None),
        (1, "MONOCHROME1", 511, 512, None),
    ],
)
def test_padding_moves_with_its_pixels(
    *, tmp_path: Path, signed: int, photometric: str, low: int, high: int,
    padding: tuple[int, int] | None,
) -> None:  # fmt: skip
    image = run([[0, 1], [2, 3]], PixelRepresentation=signed, PhotometricInterpretation=photometric)
    image.add_new("PixelPaddingValue", "SS" if signed else "US", low)
    image.add_new("PixelPaddingRangeLimit", "SS" if signed else "US", high)
    assert words(image, tmp_path).padding == padding


@pytest.mark.parametrize(
    ("bits", "signed", "stored", "word", "kept", "cells"),
    [
        (8, False, [0, 7, 255], "u1", 8, [0, 7, 255]),
        (8, True, [-128, 0, 127], "u1", 8, [0, 128, 255]),
        (6, False, [0, 7, 63], "u1", 8, [0, 7, 63]),
        (9, False, [0, 7, 511], "u2", 9, [0, 7, 511]),
        (16, True, [-32768, 0, 32767], "u2", 16, [0, 32768, 65535]),
    ],
)
def test_bytes_and_words(
    *, tmp_path: Path, bits: int, signed: bool, stored: list[int], word: str, kept: int,
    cells: list[int],
) -> None:  # fmt: skip
    allocated = 8 if bits <= 8 else 16
    image = dx_image(np.array([stored]), bits_allocated=allocated, bits_stored=bits, signed=signed)
    found = words(image, tmp_path)
    assert (found.cells.dtype, found.stored) == (word, kept)
    assert found.cells.tolist() == [[cells]]


@pytest.mark.parametrize(
    ("signed", "photometric", "stored", "cells", "slope", "intercept"),
    [
        (False, "MONOCHROME2", [0, 10, 4095], [0, 10, 4095], 2.0, -1000.0),
        (True, "MONOCHROME2", [-2048, 10, 2047], [0, 2058, 4095], 2.0, -5096.0),
        (False, "MONOCHROME1", [0, 10, 4095], [4095, 4085, 0], -2.0, 7190.0),
        (True, "MONOCHROME1", [-2048, 10, 2047], [4095, 2037, 0], -2.0, 3094.0),
    ],
)
def test_hounsfield_units_stay(
    *, tmp_path: Path, signed: bool, photometric: str, stored: list[int], cells: list[int],
    slope: float, intercept: float,
) -> None:  # fmt: skip
    """Stored 10 is -980 HU in all of them."""
    image = ct_slice(
        stored=np.array([stored]), bits_stored=12, signed=signed, slope=2, intercept=-1000,
        PhotometricInterpretation=photometric,
    )  # fmt: skip
    found = words(image, tmp_path)
    assert found.cells.tolist() == [[cells]]
    assert (found.slope, found.intercept) == (slope, intercept)
    assert found.cells[0, 0, 1] * found.slope + found.intercept == -980


def test_frames_of_different_rescales_share_the_finest_scale(tmp_path: Path) -> None:
    image = enhanced_ct(3, size=(1, 2), slopes=(1.0, 2.0, 0.5), intercepts=(-1024.0, -10.0, 3.0))
    image.PixelData = np.array([0, 1000, 5, 1000, 8, 9], "<u2").tobytes()
    found = words(image, tmp_path)
    # HU: [-1024, -24], [0, 1990], [7, 7.5], in steps of 0.5 from -1024
    assert found.cells.tolist() == [[[0, 2000]], [[2048, 6028]], [[2062, 2063]]]
    assert (found.stored, found.slope, found.intercept) == (16, 0.5, -1024.0)
    assert found.padding is None


def test_a_range_too_wide_for_the_finest_scale_fills_sixteen_bits(tmp_path: Path) -> None:
    image = enhanced_ct(2, size=(1, 2), slopes=(1.0, 4.0), intercepts=(0.0, 0.0))
    image.PixelData = np.array([0, 65535, 0, 65535], "<u2").tobytes()
    found = words(image, tmp_path)  # 0 to 262140 HU in 65535 steps of 4
    assert found.cells.tolist() == [[[0, 16384]], [[0, 65535]]]
    assert (found.slope, found.intercept) == (4.0, 0.0)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("photometric", "cells"),
    [("MONOCHROME2", [0, 1, 32768, 65535]), ("MONOCHROME1", [65535, 65534, 32767, 0])],
)
def test_more_than_sixteen_bits_are_scaled_down(
    tmp_path: Path, photometric: str, cells: list[int], signed: bool
) -> None:
    stored = np.array([[0, 257, 2**23, 2**24 - 1]]) - (2**23 if signed else 0)
    image = dx_image(
        stored, bits_allocated=32, bits_stored=24, photometric=photometric, signed=signed
    )
    found = words(image, tmp_path)  # 16777215 / 65535 = 256.0039...
    assert found.cells.tolist() == [[cells]]
    assert (found.stored, found.slope, found.intercept) == (16, 1.0, 0.0)


def test_frames_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    source = load(write(run([[0, 1], [2, 3]]), tmp_path))
    one = [source.frames[0].values]
    for some in ([], one, one * 3):
        with pytest.raises(EncodeError, match=f"{len(some)} denoised frames for 2"):
            cells_of(source, some)


@pytest.mark.parametrize(
    ("cells", "vr", "data", "allocated"),
    [
        (np.array([[[1, 2, 255]]], "u1"), "OB", b"\x01\x02\xff\x00", 8),
        (np.array([[[1, 0x0102, 0xFFFE]]], "u2"), "OW", b"\x01\x00\x02\x01\xfe\xff", 16),
        (np.array([[[1, 0x0102, 0xFFFE]]], ">u2"), "OW", b"\x01\x00\x02\x01\xfe\xff", 16),
        (np.array([[[0x01020304]]], "u4"), "OW", b"\x04\x03\x02\x01", 32),
    ],
)
def test_pixel_data_is_little_endian_and_of_even_length(
    cells: Any, vr: str, data: bytes, allocated: int
) -> None:
    result = DataSetBuilder()
    set_pixels(result, cells, stored=5, high_bit=6, signed=True, photometric="MONOCHROME1")
    encoded = result.encode()
    length = len(data).to_bytes(4, "little")
    assert encoded.endswith(b"\xe0\x7f\x10\x00" + vr.encode() + b"\0\0" + length + data)
    numbers = {
        0x0002: 1, 0x0010: 1, 0x0011: cells.shape[2], 0x0100: allocated, 0x0101: 5, 0x0102: 6,
        0x0103: 1,
    }  # fmt: skip
    for element, number in numbers.items():
        head = b"\x28\x00" + element.to_bytes(2, "little") + b"US\x02\x00"
        assert head + number.to_bytes(2, "little") in encoded
    assert b"CS\x0c\x00MONOCHROME1 " in encoded
