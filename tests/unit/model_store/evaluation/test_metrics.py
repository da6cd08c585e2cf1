from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from model_store.evaluation.filters import (
    FilterSettings,
    available,
    best_of_each,
    best_single,
    bilateral,
    score_settings,
)
from model_store.evaluation.metrics import (
    mean_frequency,
    noise_by_mad,
    nps,
    psnr,
    psnr_window,
    radial,
    ssim,
)


def _noise(seed: int, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_psnr_of_a_constant_difference() -> None:
    zero = np.zeros((4, 4), np.float32)
    assert psnr(zero + 0.1, zero) == pytest.approx(20)
    assert psnr(zero + 4, zero, peak=400) == pytest.approx(40)
    assert psnr(zero, zero) == math.inf


def test_windowed_psnr_ignores_what_lies_outside_the_window() -> None:
    reference = np.full((4, 4), 40.0, np.float32)
    reference[0] = -900
    other = reference.copy()
    other[0] = -500
    assert psnr_window(other, reference) == math.inf
    other[1:] += 4
    assert psnr_window(other, reference) == pytest.approx(40 + 10 * math.log10(4 / 3))


def test_ssim_agrees_with_scikit_image() -> None:
    reference = np.clip(0.5 + 0.1 * _noise(0, 64, 64), 0, 1)
    image = reference + 0.05 * _noise(1, 64, 64)
    expected = structural_similarity(
        image,
        reference,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ssim(image, reference) == pytest.approx(expected, abs=1e-5)
    assert ssim(reference, reference) == pytest.approx(1)


def test_mad_finds_the_deviation_of_white_noise() -> None:
    assert noise_by_mad(7 * _noise(2, 256, 256)) == pytest.approx(7, rel=0.02)


def test_noise_power_spectrum_integrates_to_the_variance_and_is_flat_for_white_noise() -> None:
    power = nps(5 * _noise(3, 512, 512), pixel_mm=0.7)
    assert power.sum() / (64 * 0.7) ** 2 == pytest.approx(25, rel=0.02)
    rings = radial(power)[1:]
    assert rings.std() / rings.mean() < 0.1
    assert mean_frequency(power, 0.7) == pytest.approx(0.3826 / 0.7, rel=0.02)


def test_bilateral_filter_keeps_an_edge_and_smooths_beside_it() -> None:
    image = np.repeat(np.array([[0.0] * 16 + [1.0] * 16], np.float32), 32, axis=0)
    noisy = image + 0.02 * _noise(4, 32, 32)
    filtered = bilateral(noisy, 2.0, 0.1)
    assert filtered[:, 4:12].std() < 0.01
    assert (filtered[:, 16] - filtered[:, 15]).mean() > 0.95


def test_best_of_each_is_never_worse_than_one_setting() -> None:
    clean = np.zeros((40, 40), np.float32)
    noisy = 0.1 * _noise(5, 40, 40)
    settings = score_settings(noisy, 0.1, lambda image: {"PSNR": psnr(image, clean)}, quick=True)
    best = best_of_each(settings)
    assert set(best) == set(available())
    for name, grid in settings.items():
        assert best[name]["PSNR"] == max(scores["PSNR"] for scores in grid.values())
    assert best["gaussian"]["PSNR"] > psnr(noisy, clean) + 3


def test_the_best_of_a_distance_is_the_smallest() -> None:
    settings = {"median": {"3": {"PDR": 0.2, "PSNR": 30.0}, "5": {"PDR": 0.4, "PSNR": 31.0}}}
    assert best_of_each(settings) == {"median": {"PDR": 0.2, "PSNR": 31.0}}


def test_the_single_setting_is_chosen_on_the_other_images() -> None:
    def image(three: float, five: float) -> FilterSettings:
        return {"median": {"3": {"PSNR": three, "PDR": three}, "5": {"PSNR": five, "PDR": five}}}

    others = [image(30, 20), image(30, 38)]
    # on average the others are best at 3 (30 against 29), for a distance at 5
    assert best_single(image(10, 25), others) == {"median": {"PSNR": 10, "PDR": 25}}
