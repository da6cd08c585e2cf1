"""Noise is measured right, in the same places before and after."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_node.noise import SOFT_TISSUE, exposed, levels, measure


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


@settings(max_examples=15, deadline=None)
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
