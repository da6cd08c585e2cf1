from __future__ import annotations

import numpy as np
import pytest

from model_store.training.simulation.phantom import random_phantom


@pytest.mark.parametrize("seed", range(4))
def test_a_phantom_is_a_ct_slice_with_air_around_a_body(seed: int) -> None:
    image = random_phantom(96, 1.5, np.random.default_rng(seed))
    assert image.shape == (96, 96)
    assert image.dtype == np.float32
    assert image.min() >= -1024
    assert image.max() <= 3071
    assert image[0, 0] == pytest.approx(-1000, abs=1)
    assert np.isfinite(image).all()


def test_a_phantom_has_no_noise_but_edges() -> None:
    image = random_phantom(192, 0.8, np.random.default_rng(5))
    steps = np.abs(np.diff(image, axis=1))
    assert np.median(steps) < 1.0
    assert steps.max() > 100


def test_the_same_seed_draws_the_same_phantom() -> None:
    first, second = (random_phantom(64, 1.0, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, second)
