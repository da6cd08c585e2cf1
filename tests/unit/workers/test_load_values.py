"""Stored numbers to physical values and back, written by hand at every end of the range."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_node.errors import FailItem, PassThrough
from tests.support.factories import ct_slice, dx_image, enhanced_ct, multiframe, write
from workers.load import Source, load

F32 = np.float32


def loaded(image: Dataset, folder: Path) -> Source:
    return load(write(image, folder))


def back(source: Source, values: Sequence[float], frame: int = 0) -> list[int]:
    """Stored values for one row of denoised ones."""
    cells = source.inverse(np.array([values], F32), frame)
    return source.stored_values(cells)[0].tolist()


def run(stored: list[list[int]], *, signed: bool = False, photometric: str = "MONOCHROME2") -> Any:
    """A run of frames of one row, 10 of 16 bits."""
    image = multiframe(len(stored), size=(1, len(stored[0])))
    image.PixelRepresentation = int(signed)
    image.PhotometricInterpretation = photometric
    cells = np.array(stored) & 0x3FF
    image.PixelData = cells.astype("<u2").tobytes()
    return image


class TestRadiographs:
    """Larger is brighter, and the darkest value is 0."""

    @pytest.mark.parametrize(
        ("signed", "photometric", "stored", "values"),
        [
            (False, "MONOCHROME2", [0, 1, 511, 512, 1023], [0, 1, 511, 512, 1023]),
            (False, "MONOCHROME1", [0, 1, 511, 512, 1023], [1023, 1022, 512, 511, 0]),
            (True, "MONOCHROME2", [-512, -1, 0, 1, 511], [0, 511, 512, 513, 1023]),
            (True, "MONOCHROME1", [-512, -1, 0, 1, 511], [1023, 512, 511, 510, 0]),
        ],
    )
    def test_every_frame_of_every_kind(
        self, tmp_path: Path, signed: bool, photometric: str, stored: list[int], values: list[float]
    ) -> None:
        image = run([stored, stored[::-1]], signed=signed, photometric=photometric)
        source = loaded(image, tmp_path)
        assert source.units == "stored"
        assert [frame.values[0].tolist() for frame in source.frames] == [values, values[::-1]]
        assert [frame.full_scale for frame in source.frames] == [1023.0, 1023.0]
        assert source.rescales == ()
        nudged = [value + 0.4 for value in values]
        assert back(source, nudged, 0) == stored
        assert back(source, nudged[::-1], 1) == stored[::-1]

    @pytest.mark.parametrize(
        ("signed", "photometric", "stored"),
        [
            (False, "MONOCHROME2", [0, 0, 1023, 6]),
            (False, "MONOCHROME1", [1023, 1023, 0, 1017]),
            (True, "MONOCHROME2", [-512, -512, 511, -506]),
            (True, "MONOCHROME1", [511, 511, -512, 505]),
        ],
    )
    def test_what_is_beyond_either_end_stops_there(
        self, tmp_path: Path, signed: bool, photometric: str, stored: list[int]
    ) -> None:
        source = loaded(run([[3, 3, 3, 3]], signed=signed, photometric=photometric), tmp_path)
        assert back(source, [-0.6, -9e9, 1023.6, 5.6]) == stored

    def test_half_a_value_goes_to_the_even_one(self, tmp_path: Path) -> None:
        source = loaded(run([[9, 9, 9, 9]]), tmp_path)
        assert back(source, [0.5, 1.5, 2.5, 1022.5]) == [0, 2, 2, 1022]

    @pytest.mark.parametrize(
        ("allocated", "stored_bits", "stored", "full_scale"),
        [
            (8, 8, [0, 1, 254, 255], 255.0),
            (16, 16, [0, 1, 65534, 65535], 65535.0),
            (32, 24, [0, 1, 16777214, 16777215], 16777215.0),
        ],
    )
    def test_every_width_of_cells(
        self, tmp_path: Path, allocated: int, stored_bits: int, stored: list[int], full_scale: float
    ) -> None:
        image = dx_image(np.array([stored]), bits_allocated=allocated, bits_stored=stored_bits)
        source = loaded(image, tmp_path)
        assert source.frames[0].values[0].tolist() == stored
        assert source.frames[0].full_scale == full_scale
        assert source.cells.dtype == f"u{allocated // 8}"
        moved = [stored[0] + 1.0, stored[1] + 1.0, stored[2] - 1.0, stored[3] - 1.0]
        assert back(source, moved) == [int(value) for value in moved]


class TestHounsfieldUnits:
    @pytest.mark.parametrize(
        ("slope", "intercept", "stored", "values"),
        [
            (1.0, 0.0, [-32768, -1, 0, 32767], [-32768, -1, 0, 32767]),
            (1.0, -1024.0, [-32768, 0, 1024, 32767], [-33792, -1024, 0, 31743]),
            (1.0, 0.5, [-32768, 0, 3, 32767], [-32767.5, 0.5, 3.5, 32767.5]),
            (-1.0, 100.0, [-32768, 0, 100, 32767], [32868, 100, 0, -32667]),
            (2.0, -1000.0, [-32768, 0, 500, 32767], [-66536, -1000, 0, 64534]),
            (0.25, -8.0, [-32768, 0, 3, 32767], [-8200, -8, -7.25, 8183.75]),
        ],
    )
    def test_signed_to_both_ends(
        self, tmp_path: Path, slope: float, intercept: float, stored: list[int],
        values: list[float],
    ) -> None:  # fmt: skip
        image = ct_slice(stored=np.array([stored]), slope=slope, intercept=intercept)
        source = loaded(image, tmp_path)
        assert source.units == "HU"
        assert source.frames[0].values[0].tolist() == values
        shifted = np.roll(values, 1)  # every pixel changes, to a value that another one has
        assert back(source, shifted.tolist()) == np.roll(stored, 1).tolist()

    @pytest.mark.parametrize(
        ("slope", "intercept", "made", "stored"),
        [
            (1.0, -1024.0, [-40000.0, 40000.0, 0.4, 0.6], [-32768, 32767, 1024, 1025]),
            (-1.0, 100.0, [-40000.0, 40000.0, 0.4, 0.6], [32767, -32768, 100, 99]),
            (0.5, 0.0, [-40000.0, 40000.0, 0.2, 0.3], [-32768, 32767, 0, 1]),
            (-0.5, 1.0, [-40000.0, 40000.0, 0.7, 0.8], [32767, -32768, 1, 0]),
        ],
    )
    def test_what_is_beyond_either_end_stops_there(
        self, tmp_path: Path, slope: float, intercept: float, made: list[float], stored: list[int]
    ) -> None:
        image = ct_slice(stored=np.array([[7, 7, 7, 7]]), slope=slope, intercept=intercept)
        assert back(loaded(image, tmp_path), made) == stored

    def test_unsigned_twelve_bits(self, tmp_path: Path) -> None:
        image = ct_slice(stored=np.array([[0, 1024, 4095]]), bits_stored=12, signed=False)
        source = loaded(image, tmp_path)
        assert source.frames[0].values[0].tolist() == [-1024, 0, 3071]
        assert back(source, [-1025.0, 0.6, 3072.0]) == [0, 1025, 4095]

    def test_thirty_two_bits(self, tmp_path: Path) -> None:
        image = ct_slice(
            stored=np.array([[-(2**31), -5, 2**31 - 1]]), bits_allocated=32, bits_stored=32,
            slope=0.5, intercept=0,
        )  # fmt: skip
        source = loaded(image, tmp_path)
        assert source.frames[0].values[0].tolist() == [-(2.0**30), -2.5, 2.0**30]
        assert back(source, [-(2.0**30), -3.0, 2.0**30]) == [-(2**31), -6, 2**31 - 1]
        assert back(source, [9.0, -2.5, -9.0]) == [18, -5, -18]

    def test_black_and_white_say_nothing_about_hounsfield_units(self, tmp_path: Path) -> None:
        image = ct_slice(np.array([[-1000, 40]]), PhotometricInterpretation="MONOCHROME1")
        assert loaded(image, tmp_path).frames[0].values[0].tolist() == [-1000, 40]


class TestRescaleOfEachFrame:
    def image(self) -> Dataset:
        image = enhanced_ct(3, size=(1, 3), slopes=(1.0, 2.0, 0.5), intercepts=(-1024, -10, 3))
        image.PixelData = np.array([0, 1000, 65535] * 3, "<u2").tobytes()
        return image

    def test_each_frame_has_its_own(self, tmp_path: Path) -> None:
        source = loaded(self.image(), tmp_path)
        assert [frame.values[0].tolist() for frame in source.frames] == [
            [-1024, -24, 64511], [-10, 1990, 131060], [3, 503, 32770.5],
        ]  # fmt: skip
        assert back(source, [-23.0, -1e9, 1e9], 0) == [1001, 0, 65535]
        assert back(source, [-8.0, -1e9, 1e9], 1) == [1, 0, 65535]
        assert back(source, [4.0, -1e9, 1e9], 2) == [2, 0, 65535]

    def test_one_without_its_own_has_that_of_all(self, tmp_path: Path) -> None:
        image = self.image()
        groups = image.PerFrameFunctionalGroupsSequence
        shared = image.SharedFunctionalGroupsSequence[0]
        shared.PixelValueTransformationSequence = groups[2].PixelValueTransformationSequence
        del groups[0].PixelValueTransformationSequence
        source = loaded(image, tmp_path)
        assert [frame.values[0, 1] for frame in source.frames] == [503, 1990, 503]

    def test_fewer_groups_than_frames_is_an_error(self, tmp_path: Path) -> None:
        image = self.image()
        del image.PerFrameFunctionalGroupsSequence[2]
        with pytest.raises(FailItem, match="2 functional groups for 3 frames"):
            loaded(image, tmp_path)

    def test_more_groups_than_frames_do_not_matter(self, tmp_path: Path) -> None:
        image = self.image()
        image.NumberOfFrames = 2
        image.PixelData = image.PixelData[:12]
        assert [rescale.slope for rescale in loaded(image, tmp_path).rescales] == [1.0, 2.0]

    def test_one_that_has_none_at_all_is_passed(self, tmp_path: Path) -> None:
        image = self.image()
        del image.PerFrameFunctionalGroupsSequence[1].PixelValueTransformationSequence
        with pytest.raises(PassThrough, match="without rescale"):
            loaded(image, tmp_path)


@pytest.mark.parametrize(
    ("slope", "intercept", "stored", "fails"),
    [
        ("1e34", "0", [0, 1], False),
        ("2e34", "0", [0, 1], True),  # times 32768 is more than float32 holds
        ("1", "3e38", [0, 1], False),
        ("1", "-3.5e38", [0, 1], True),
        ("0", "0", [0, 1], True),
        ("1e-300", "0", [0, 1], False),
    ],
)
def test_rescales_whose_values_float32_cannot_hold(
    tmp_path: Path, slope: str, intercept: str, stored: list[int], fails: bool
) -> None:
    image = ct_slice(stored=np.array([stored]))
    image.RescaleSlope, image.RescaleIntercept = slope, intercept
    if fails:
        with pytest.raises(FailItem, match="rescale"):
            loaded(image, tmp_path)
    else:
        assert loaded(image, tmp_path).rescales[0].slope == float(slope)


def test_a_sum_is_rounded_once_however_large_the_intercept(tmp_path: Path) -> None:
    """16777217 is no number of float32, and what it is the intercept of may be one."""
    image = ct_slice(stored=np.array([[-1, 0, 1, 3]]), slope=1, intercept=2**24 + 1)
    wanted = [16777216.0, 16777216.0, 16777218.0, 16777220.0]
    assert loaded(image, tmp_path).frames[0].values[0].tolist() == wanted
