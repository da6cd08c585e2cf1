"""Pixel Padding Value and Range Limit at the ends of what a pixel can hold (PS3.3 C.7.5.1.1.2).

Stored values and expected ones are written by hand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.support.factories import ct_slice, dx_image, multiframe, write
from workers.load import Source, load

F32 = np.float32


def signed_ct(stored: list[int], **attributes: Any) -> Dataset:
    """16 bits signed, HU = stored."""
    return ct_slice(stored=np.array([stored]), intercept=0, **attributes)


def padded(image: Dataset, vr: str, value: int, limit: int | None = None) -> Dataset:
    image.add_new("PixelPaddingValue", vr, value)
    if limit is not None:
        image.add_new("PixelPaddingRangeLimit", vr, limit)
    return image


def loaded(image: Dataset, folder: Path) -> Source:
    return load(write(image, folder))


def valid(source: Source) -> list[bool]:
    return source.frames[0].valid[0].tolist()


def back(source: Source, values: list[float]) -> list[int]:
    """Stored values for one row of denoised ones."""
    cells = source.inverse(np.array([values], F32), 0)
    return source.stored_values(cells)[0].tolist()


class TestWhatIsPadding:
    @pytest.mark.parametrize(
        ("vr", "value", "limit", "expected"),
        [
            ("SS", -32768, None, [False, True, True, True, True]),
            ("US", 32768, None, [False, True, True, True, True]),
            ("SS", -32768, -32767, [False, False, True, True, True]),
            ("SS", -32767, -32768, [False, False, True, True, True]),
            ("SS", 32767, None, [True, True, True, True, False]),
            ("SS", 32766, 32767, [True, True, True, False, False]),
            ("SS", 0, None, [True, True, False, True, True]),
            ("US", 65535, None, [True, True, True, True, True]),
            ("SS", -32768, 32767, [False] * 5),
        ],
    )
    def test_of_signed_pixels(
        self, tmp_path: Path, vr: str, value: int, limit: int | None, expected: list[bool]
    ) -> None:
        image = padded(signed_ct([-32768, -32767, 0, 32766, 32767]), vr, value, limit)
        assert valid(loaded(image, tmp_path)) == expected

    @pytest.mark.parametrize(
        ("vr", "value", "limit", "expected"),
        [
            ("US", 0, None, [False, True, True, True, True]),
            ("US", 0, 1, [False, False, True, True, True]),
            ("US", 65535, None, [True, True, True, True, False]),
            ("SS", -1, None, [True, True, True, True, False]),
            ("SS", -2, -1, [True, True, True, False, False]),
            ("US", 65535, 65534, [True, True, True, False, False]),
        ],
    )
    def test_of_unsigned_pixels(
        self, tmp_path: Path, vr: str, value: int, limit: int | None, expected: list[bool]
    ) -> None:
        image = dx_image(np.array([[0, 1, 2, 65534, 65535]]), bits_stored=16)
        assert valid(loaded(padded(image, vr, value, limit), tmp_path)) == expected

    def test_of_twelve_signed_bits(self, tmp_path: Path) -> None:
        stored = np.array([[-2048, -2047, 2046, 2047]])
        image = ct_slice(stored=stored, bits_stored=12, intercept=0)
        assert valid(loaded(padded(image, "SS", -2048), tmp_path)) == [False, True, True, True]
        image = ct_slice(stored=stored, bits_stored=12, intercept=0)
        assert valid(loaded(padded(image, "SS", 2047), tmp_path)) == [True, True, True, False]

    def test_of_eight_bits(self, tmp_path: Path) -> None:
        image = dx_image(np.array([[0, 254, 255]]), bits_allocated=8, bits_stored=8)
        assert valid(loaded(padded(image, "US", 255), tmp_path)) == [True, True, False]

    def test_of_every_frame(self, tmp_path: Path) -> None:
        image = multiframe(2, size=(1, 3))
        image.PixelData = np.array([0, 1, 2, 1023, 0, 0], "<u2").tobytes()
        source = loaded(padded(image, "US", 0), tmp_path)
        assert [frame.valid[0].tolist() for frame in source.frames] == [
            [False, True, True], [True, False, False],
        ]  # fmt: skip

    def test_is_a_stored_value_also_where_black_is_white(self, tmp_path: Path) -> None:
        image = dx_image(np.array([[0, 1, 4095]]), photometric="MONOCHROME1")
        source = loaded(padded(image, "US", 4095), tmp_path)
        assert valid(source) == [True, True, False]
        assert source.frames[0].values.tolist() == [[4095, 4094, 0]]

    def test_no_padding_value_is_no_padding_whatever_its_limit(self, tmp_path: Path) -> None:
        image = dx_image(np.array([[0, 1, 4095]]), PixelPaddingRangeLimit=4095)
        assert valid(loaded(image, tmp_path)) == [True, True, True]


class TestWhatBecomesOfIt:
    """A denoised value that would read as padding goes to the nearest value that does not."""

    @pytest.mark.parametrize(
        ("value", "limit", "made", "expected"),
        [
            (-32768, None, [-32768.0, -40000.0, -32767.4, 5.0], [-32767, -32767, -32767, 5]),
            (-32768, -32760, [-32764.0, -99999.0, -32759.4, 5.0], [-32759, -32759, -32759, 5]),
            (32767, None, [32767.0, 40000.0, 32766.4, 5.0], [32766, 32766, 32766, 5]),
            (32760, 32767, [32764.0, 99999.0, 32759.4, 5.0], [32759, 32759, 32759, 5]),
            (10, 20, [10.0, 15.0, 16.0, 20.0], [9, 21, 21, 21]),
            (10, 20, [9.4, 9.6, 20.4, 20.6], [9, 9, 21, 21]),
        ],
    )
    def test_signed(
        self, tmp_path: Path, value: int, limit: int | None, made: list[float], expected: list[int]
    ) -> None:
        image = padded(signed_ct([100, 101, 102, 103]), "SS", value, limit)
        assert back(loaded(image, tmp_path), made) == expected

    @pytest.mark.parametrize(
        ("value", "limit", "made", "expected"),
        [
            (0, None, [0.0, -7.0, 0.4], [1, 1, 1]),
            (0, 3, [2.0, -7.0, 3.4], [4, 4, 4]),
            (4095, None, [4095.0, 5000.0, 4094.4], [4094, 4094, 4094]),
            (4000, 4095, [4050.0, 5000.0, 3999.6], [3999, 3999, 3999]),
            (7, None, [7.0, 6.6, 7.4], [8, 8, 8]),
        ],
    )
    def test_unsigned(
        self, tmp_path: Path, value: int, limit: int | None, made: list[float], expected: list[int]
    ) -> None:
        image = padded(dx_image(np.array([[100, 101, 102]])), "US", value, limit)
        assert back(loaded(image, tmp_path), made) == expected

    def test_padding_itself_comes_back_bit_for_bit(self, tmp_path: Path) -> None:
        image = padded(signed_ct([-32768, -32760, 32767, 0]), "SS", -32768, -32760)
        assert back(loaded(image, tmp_path), [1.0, 2.0, 3.0, 4.0]) == [-32768, -32760, 3, 4]

    def test_nothing_changes_where_all_is_padding(self, tmp_path: Path) -> None:
        image = padded(signed_ct([-32768, 0, 32767]), "SS", -32768, 32767)
        assert back(loaded(image, tmp_path), [1.0, 2.0, 3.0]) == [-32768, 0, 32767]

    def test_what_is_not_a_number_in_padding_does_not_matter(self, tmp_path: Path) -> None:
        image = padded(signed_ct([-2000, 7]), "SS", -2000)
        assert back(loaded(image, tmp_path), [float("nan"), 9.0]) == [-2000, 9]
