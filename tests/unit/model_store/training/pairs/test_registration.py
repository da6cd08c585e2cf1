from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from model_store.training.pairs.registration import shift_between, unrelated
from tests.support.factories.pairs import noisy, scene


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.4, -0.3), (2.0, -1.0), (-7.5, 4.25)])
def test_a_shift_is_found_to_a_part_of_a_pixel_under_noise(shift: tuple[float, float]) -> None:
    clean = scene(3, 128)
    moved = ndimage.shift(clean, shift, order=3, mode="nearest").astype(np.float32)
    found = shift_between(noisy(clean, 40, 1), noisy(moved, 40, 2))
    assert found == pytest.approx(shift, abs=0.15)


def test_even_grey_tells_no_shift_and_is_not_held_against_a_pair() -> None:
    one, other = (noisy(np.zeros((96, 96), np.float32), 20, seed) for seed in (1, 2))
    assert shift_between(one, other) is None
    assert not unrelated(one, other)
    flat = np.zeros((96, 96), np.float32)
    assert shift_between(flat, flat) is None


def test_two_scenes_are_told_from_one() -> None:
    one = noisy(scene(1, 128), 20, 1)
    assert not unrelated(one, noisy(scene(1, 128), 20, 2))
    generator = np.random.default_rng(0)
    grain = [ndimage.gaussian_filter(generator.normal(0, 100, (128, 128)), 4) for _ in range(2)]
    first, second = (
        noisy(10 * image.astype(np.float32), 5, seed) for seed, image in enumerate(grain)
    )
    assert shift_between(first, second) is None
    assert unrelated(first, second)
