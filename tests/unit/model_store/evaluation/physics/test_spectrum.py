from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from model_store.evaluation.metrics import nps
from model_store.evaluation.physics.spectrum import noise_spectrum

PIXEL = 0.7


def white(seed: int, deviation: float, count: int = 8, size: int = 192) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(0, deviation, (count, size, size))
    return noise.astype(np.float32)


def test_white_noise_is_flat_and_integrates_to_its_variance() -> None:
    spectrum = noise_spectrum(white(0, 12), PIXEL)
    frequency, power = spectrum.profile()
    flat = power[2:]  # the surface that is removed takes the lowest ring
    assert spectrum.deviation == pytest.approx(12, rel=0.01)
    assert flat.mean() == pytest.approx(12**2 * PIXEL**2, rel=0.02)
    assert flat.std() / flat.mean() < 0.06
    assert frequency[-1] == pytest.approx(0.5 / PIXEL, rel=0.03)


def test_cupping_is_no_noise_once_a_second_degree_surface_is_removed() -> None:
    along = np.linspace(-1, 1, 64)
    cup = (30 * (along[:, None] ** 2 + along[None, :] ** 2) + 5 * along).astype(np.float32)
    assert nps(cup, PIXEL, order=2).sum() == pytest.approx(0, abs=1e-3)
    assert nps(cup, PIXEL).sum() > 100
    assert noise_spectrum([white(1, 3, 1, 64)[0] + cup], PIXEL).deviation == pytest.approx(3, 0.05)


def test_smoothing_moves_mean_and_peak_as_the_filter_says() -> None:
    noise = np.diff(white(2, 10, 12, 193), axis=1)[:, :, :192]  # rises with frequency
    before = noise_spectrum(noise, PIXEL)
    sigma = 1.0
    after = noise_spectrum([ndimage.gaussian_filter(item, sigma) for item in noise], PIXEL)
    along = np.fft.fftfreq(64)
    gain = np.exp(-4 * (np.pi * sigma) ** 2 * (along[:, None] ** 2 + along[None, :] ** 2))
    radius = np.hypot(along[:, None], along[None, :]) / PIXEL
    expected = (radius * before.power * gain).sum() / (before.power * gain).sum()
    # the edges of a region leak some power upwards
    assert after.mean_frequency == pytest.approx(expected, rel=0.05)
    assert after.peak_frequency < before.peak_frequency


def test_parts_that_hold_no_whole_number_of_regions_are_cut() -> None:
    whole = white(3, 5, 2, 128)
    longer = np.pad(whole, ((0, 0), (0, 30), (0, 20)), mode="edge")
    assert noise_spectrum(longer, PIXEL).deviation == noise_spectrum(whole, PIXEL).deviation
