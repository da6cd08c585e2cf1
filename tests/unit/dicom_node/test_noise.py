"""Noise is measured right, in the same places before and after."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_node.noise import SOFT_TISSUE, Levels, Noise, Region, exposed, levels, measure


def image(sd: float, seed: int = 0, *, slope: float = 0.0, level: float = 40.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    plane = level + slope * np.arange(270)[None, :]
    return (plane + random.normal(0, sd, (270, 270))).astype(np.float32)


@pytest.mark.parametrize("sd", [2.0, 10.0, 15.0])
def test_white_noise_on_a_slope_is_measured(sd: float) -> None:
    before = image(sd, slope=0.1)
    found = measure([(before, before)], SOFT_TISSUE)
    assert found.before == pytest.approx(sd, rel=0.05)
    assert found.after == found.before
    assert found.reduction == 0


def test_halved_noise_is_half_and_a_shift_is_seen() -> None:
    flat = np.full((270, 270), 40, np.float32)
    before = image(10)
    found = measure([(before, flat + (before - flat) / 2 + 3)], SOFT_TISSUE)
    assert found.reduction == pytest.approx(0.5, abs=0.02)
    assert found.shift == pytest.approx(3, abs=0.2)


def test_edges_do_not_count() -> None:
    before = image(5)
    before[:, 130:] += 40
    found = measure([(before, before)], SOFT_TISSUE)
    assert found.before == pytest.approx(5, rel=0.05)


def test_only_the_range_counts() -> None:
    quiet, loud = image(3), image(30, level=-800)
    both = np.concatenate([quiet, loud])
    assert measure([(both, both)], SOFT_TISSUE).before == pytest.approx(3, rel=0.1)


def test_collimated_and_saturated_parts_of_a_radiograph_do_not_count() -> None:
    before = np.zeros((300, 300), np.float32)
    before[150:] = image(20, level=2000)[:150, :1] + 0
    before[150:, :270] = image(20, level=2000)[:150]
    before[:, 270:] = 4095
    found = measure([(before, before)], exposed(4095))
    assert found.before == pytest.approx(20, rel=0.1)


def test_nothing_to_measure_is_said() -> None:
    air = np.full((90, 90), -1000, np.float32)
    for pairs in ([(air, air)], []):
        found = measure(pairs, SOFT_TISSUE)
        assert found.windows == 0
        assert math.isnan(found.before)


@settings(max_examples=15)
@given(st.floats(0.05, 1.0))
def test_scaling_the_noise_scales_the_measure(factor: float) -> None:
    before = image(12)
    after = (40 + (before - 40) * np.float32(factor)).astype(np.float32)
    found = measure([(before, after)], SOFT_TISSUE)
    assert found.after == pytest.approx(factor * found.before, rel=1e-3)


def test_several_images_are_measured_in_the_same_windows() -> None:
    flat = np.full((270, 270), 40, np.float32)
    before = image(12)
    noise = before - flat
    scenes = [(before, flat + noise / 2, flat + noise / 4 + 2)]
    found = levels(scenes, SOFT_TISSUE, count=3, reference=1)
    assert found.sd[1] == pytest.approx(found.sd[0] / 2, rel=1e-3)
    assert found.sd[2] == pytest.approx(found.sd[0] / 4, rel=1e-3)
    assert found.shift[1] == 0
    assert found.shift[2] == pytest.approx(2, abs=0.2)
    assert found.windows == levels([scenes[0][:2]], SOFT_TISSUE, count=2).windows


SMALL = Region(3, -20.0, 100.0, "here")
Q = np.array([1.0, -2.0, 1.0])
NOISE = np.outer(Q, Q)
"""Nothing of it is constant, plane or quadratic; its squares sum to 36, so that with the 6 degrees
of freedom that 9 pixels and a plane leave its standard deviation is the root of 6."""
SQRT6 = math.sqrt(6)


def window(
    noise: float = 0.0, *, x: float = 0.0, y: float = 0.0, xx: float = 0.0, xy: float = 0.0,
    yy: float = 0.0, level: float = 40.0,
) -> np.ndarray:  # fmt: skip
    """3 x 3 pixels: a level, a plane, a curve, and noise."""
    rows, columns = np.mgrid[-1:2, -1:2].astype(float)
    curve = xx * columns**2 + xy * columns * rows + yy * rows**2
    return level + x * columns + y * rows + curve + noise * NOISE


class TestExactly:
    """Windows of 3 x 3 that were put together by hand."""

    @pytest.mark.parametrize("noise", [0.5, 1.0, 10.0])
    def test_noise_of_one_window(self, noise: float) -> None:
        found = measure([(window(noise), window(noise / 4))], SMALL)
        assert found.before == pytest.approx(noise * SQRT6, rel=1e-12)
        assert found.after == pytest.approx(noise * SQRT6 / 4, rel=1e-12)
        assert found.reduction == pytest.approx(0.75, rel=1e-12)
        assert found.shift == pytest.approx(0.0, abs=1e-12)
        assert found.windows == 1

    def test_a_plane_is_no_noise(self) -> None:
        tilted = window(2.0, x=3.0, y=-7.0)
        found = measure([(tilted, window(x=1.0, y=2.0))], SMALL)
        assert found.before == pytest.approx(2 * SQRT6, rel=1e-12)
        assert found.after == pytest.approx(0.0, abs=1e-6)

    @pytest.mark.parametrize(
        ("curve", "squares"),
        [
            # x**2 is 1, 0, 1 in every row: 1/3, -2/3, 1/3 about its mean, squares 2/3 in a row
            ({"xx": 1.0}, 2.0),
            ({"yy": 1.0}, 2.0),
            ({"xy": 1.0}, 4.0),  # plus and minus 1 in the corners
            ({"xx": 3.0, "xy": 2.0}, 9 * 2.0 + 4 * 4.0),
        ],
    )
    def test_a_curve_counts_as_noise_where_nothing_flatter_is_there(
        self, curve: dict[str, float], squares: float
    ) -> None:
        found = measure([(window(**curve), window(**curve))], SMALL)
        assert found.before == pytest.approx(math.sqrt(squares / 6), rel=1e-12)

    def test_a_chequered_window_of_the_usual_size(self) -> None:
        """41 pixels of +10 and 40 of -10 about 40, with 78 degrees of freedom."""
        chequered = 40 + 10.0 * (-1) ** np.add.outer(np.arange(9), np.arange(9))
        found = measure([(chequered, chequered)], SOFT_TISSUE)
        assert found.before == pytest.approx(math.sqrt(100 * (81 - 1 / 81) / 78), rel=1e-12)

    def test_only_the_flattest_quarter_counts(self) -> None:
        """Of five windows those two with the least slope, of four only one."""
        row = [window(noise, x=noise) for noise in (5.0, 1.0, 4.0, 2.0, 3.0)]
        five = np.hstack(row)
        found = measure([(five, five)], SMALL)
        assert found.windows == 2
        assert found.before == pytest.approx((1 + 2) / 2 * SQRT6, rel=1e-12)
        four = np.vstack(row[1:])
        found = measure([(four, four)], SMALL)
        assert found.windows == 1
        assert found.before == pytest.approx(SQRT6, rel=1e-12)

    def test_a_quarter_of_many_windows(self) -> None:
        """Of 41 the 11 flattest: the 11th is where a quarter of the way ends."""
        image = np.hstack([window(1.0, x=float(n)) for n in range(1, 42)])
        assert measure([(image, image)], SMALL).windows == 11

    @pytest.mark.parametrize("structure", ["x", "y", "xx", "xy", "yy"])
    def test_every_kind_of_structure_counts(self, structure: str) -> None:
        curved = window(9.0, **{structure: -5.0})
        image = np.hstack([curved, window(1.0, x=0.1, y=0.1), curved, curved])
        found = measure([(image, image)], SMALL)
        assert (found.windows, found.before) == (1, pytest.approx(SQRT6, rel=1e-12))

    def test_structure_is_that_of_the_average_of_all_images(self) -> None:
        """A slope that denoising turned round is none; one that it made is."""
        before = np.hstack([window(1.0, x=8.0), window(2.0), window(2.0), window(2.0)])
        after = np.hstack([window(3.0, x=-8.0), *[window(4.0, y=6.0)] * 3])
        found = measure([(before, after)], SMALL)
        assert found.windows == 1
        assert found.before == pytest.approx(SQRT6, rel=1e-12)
        assert found.after == pytest.approx(3 * SQRT6, rel=1e-12)

    def test_windows_of_all_images_of_a_series_are_weighed_together(self) -> None:
        pairs = [(window(n, x=n), window(n / 2, x=n)) for n in (4.0, 2.0, 1.0, 3.0, 5.0)]
        found = measure(pairs, SMALL)
        assert found.windows == 2
        assert found.before == pytest.approx(1.5 * SQRT6, rel=1e-12)
        assert found.after == pytest.approx(0.75 * SQRT6, rel=1e-12)

    @pytest.mark.parametrize(
        ("level", "counts"),
        [(-20.0, True), (-20.1, False), (100.0, True), (100.1, False), (40.0, True)],
    )
    def test_both_ends_of_the_range_belong_to_it(self, level: float, counts: bool) -> None:
        image = np.round(window(8.0, level=0)) + level
        found = measure([(image, image)], SMALL)
        assert found.windows == int(counts)

    def test_the_mean_before_counts_and_not_the_one_after(self) -> None:
        inside, outside = window(1.0), window(1.0, level=500.0)
        found = measure([(inside, outside)], SMALL)
        assert (found.windows, found.shift) == (1, pytest.approx(460.0, rel=1e-12))
        assert measure([(outside, inside)], SMALL).windows == 0

    def test_a_window_without_any_difference_does_not_count(self) -> None:
        """Air that a scanner cut off, say: it would be the flattest of all."""
        flat = np.full((3, 3), 40.0)
        image = np.hstack([flat, window(2.0, x=1.0), flat, flat])
        found = measure([(image, image)], SMALL)
        assert (found.windows, found.before) == (1, pytest.approx(2 * SQRT6, rel=1e-12))
        smoothed = measure([(window(2.0), flat)], SMALL)
        assert (smoothed.windows, smoothed.after) == (1, 0.0)
        assert smoothed.reduction == 1.0

    def test_the_shift_is_the_median_of_the_windows(self) -> None:
        """Of nine windows the three with the least slope count."""
        before = np.hstack([window(1.0, x=float(n)) for n in range(1, 10)])
        shifts = [1.0, 300.0, 3.0, *[-50.0] * 6]
        after = before + np.repeat(shifts, 3)
        found = measure([(before, after)], SMALL)
        assert (found.windows, found.shift) == (3, pytest.approx(3.0, rel=1e-12))

    @pytest.mark.parametrize("reference", [0, 1, 2])
    def test_shifts_are_counted_from_the_reference(self, reference: int) -> None:
        scene = [window(1.0, level=level) for level in (40.0, 45.0, 30.0)]
        found = levels([scene], SMALL, count=3, reference=reference)
        base = (40.0, 45.0, 30.0)[reference]
        assert found.shift == pytest.approx((40 - base, 45 - base, 30 - base), abs=1e-12)
        assert found.sd == pytest.approx((SQRT6,) * 3, rel=1e-12)

    def test_what_is_left_over_at_the_edges_is_not_looked_at(self) -> None:
        image = np.full((5, 8), 40.0)
        image[:3, :3], image[:3, 3:6] = window(1.0, x=2.0), window(3.0)
        image[3:, :], image[:, 6:] = 77.0, -5000.0
        found = measure([(image, image)], SMALL)
        assert (found.windows, found.before) == (1, pytest.approx(3 * SQRT6, rel=1e-12))

    @pytest.mark.parametrize("shape", [(2, 3), (3, 2), (1, 1), (2, 30)])
    def test_an_image_smaller_than_a_window_has_none(self, shape: tuple[int, int]) -> None:
        image = np.arange(float(shape[0] * shape[1])).reshape(shape)
        found = measure([(image, image)], SMALL)
        assert found.windows == 0
        assert all(map(math.isnan, (found.before, found.after, found.shift, found.reduction)))

    def test_integers_are_measured_as_they_are(self) -> None:
        image = window(2.0).astype(np.int16)
        pair: Any = (image, image // 2)
        assert measure([pair], SMALL).before == pytest.approx(2 * SQRT6, rel=1e-12)


def test_nothing_has_as_many_numbers_as_images() -> None:
    found = levels([], SMALL, count=3)
    assert isinstance(found, Levels)
    assert (len(found.sd), len(found.shift), found.windows) == (3, 3, 0)
    assert all(map(math.isnan, (*found.sd, *found.shift)))


@pytest.mark.parametrize(
    ("before", "after", "reduction"),
    [(10.0, 2.5, 0.75), (10.0, 10.0, 0.0), (10.0, 15.0, -0.5), (0.5, 0.0, 1.0)],
)
def test_the_reduction_is_the_part_that_is_gone(
    before: float, after: float, reduction: float
) -> None:
    assert Noise(before, after, 0.0, 1).reduction == reduction


def test_there_is_no_reduction_of_nothing() -> None:
    assert math.isnan(Noise(0.0, 0.0, 0.0, 1).reduction)


def test_regions_say_where_they_are() -> None:
    assert (SOFT_TISSUE.window, SOFT_TISSUE.minimum, SOFT_TISSUE.maximum) == (9, -20, 100)
    region = exposed(4095)
    assert (region.window, region.minimum, region.maximum) == (15, 81.9, pytest.approx(4013.1))
    assert "mean of -20 to 100 HU (soft tissue)" in SOFT_TISSUE.method
    assert SOFT_TISSUE.method.endswith("Window: 9 x 9 pixels.")
    assert "neither collimated nor saturated" in region.method
