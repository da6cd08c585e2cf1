from __future__ import annotations

import numpy as np
import pytest

from model_store.training.simulation.ct import Kernel
from model_store.training.simulation.dead_leaves import random_phantom, scanned_phantom

_SOFT, _SHARP = Kernel(cutoff=0.4, softness=1.0), Kernel(cutoff=1.0, softness=1.0)


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


@pytest.mark.parametrize("kernel", [_SOFT, _SHARP])
def test_a_scanned_phantom_has_the_band_of_its_kernel(kernel: Kernel) -> None:
    image = scanned_phantom(128, 0.8, kernel, 0.75, np.random.default_rng(5))
    assert image.shape == (128, 128)
    assert image.dtype == np.float32
    window = np.hanning(128)
    power = np.abs(np.fft.rfft2((image - image.mean()) * window[:, None] * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.rfftfreq(128)[None])
    beyond = frequency > kernel.cutoff + 0.05
    assert power[beyond].sum() <= 1e-6 * power.sum()


def test_a_sharper_kernel_gives_the_same_object_sharper_edges() -> None:
    soft, sharp = (
        scanned_phantom(128, 0.8, kernel, 0.75, np.random.default_rng(5))
        for kernel in (_SOFT, _SHARP)
    )
    assert np.corrcoef(soft.ravel(), sharp.ravel())[0, 1] > 0.99
    assert np.abs(np.diff(sharp)).max() > 1.2 * np.abs(np.diff(soft)).max()
