from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from model_store.evaluation.physics.edge import TransferFunction
from model_store.evaluation.physics.npwe import npwe_index
from model_store.evaluation.physics.observer import (
    area_under_curve,
    channel_outputs,
    compare,
    detectability,
    interval,
    laguerre_gauss,
    region,
)
from model_store.evaluation.physics.spectrum import NoiseSpectrum

SIZE, DIAMETER, SIGMA = 31, 10.0, 20.0


def disc(contrast: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    along = np.arange(SIZE) - SIZE // 2
    return np.where(np.hypot(along[:, None], along[None, :]) <= DIAMETER / 2, contrast, 0.0)


def test_white_noise_and_a_known_disc_have_the_analytic_area() -> None:
    bank = laguerre_gauss(SIZE, 2 / 3 * DIAMETER)
    flat = bank.reshape(len(bank), -1)
    signal = flat @ disc(4).ravel()
    snr = float(np.sqrt(signal @ np.linalg.inv(SIGMA**2 * flat @ flat.T) @ signal))
    generator = np.random.default_rng(5)
    noise = generator.normal(0, SIGMA, (2, 2000, SIZE, SIZE))
    absent = channel_outputs(noise[0], bank)
    present = channel_outputs(noise[1] + disc(4), bank)
    found = detectability(absent, present)
    assert 0.7 < stats.norm.cdf(snr / np.sqrt(2)) < 0.97
    assert found.snr == pytest.approx(snr, rel=0.05)
    assert found.auc == pytest.approx(float(stats.norm.cdf(snr / np.sqrt(2))), abs=0.01)
    # the channels keep nearly all that an ideal observer of a disc would use
    ideal = np.sqrt((disc(4) ** 2).sum()) / SIGMA
    assert 0.9 * ideal < snr <= ideal


def test_laguerre_gauss_channels_are_orthogonal() -> None:
    bank = laguerre_gauss(61, 8.0).reshape(5, -1)
    gram = bank @ bank.T
    assert gram == pytest.approx(np.eye(5) * gram[0, 0], abs=0.01 * gram[0, 0])


def test_area_counts_ties_half() -> None:
    assert area_under_curve(np.array([0.0, 1.0]), np.array([1.0, 2.0])) == pytest.approx(0.875)
    assert area_under_curve(np.zeros(3), np.zeros(4)) == pytest.approx(0.5)


def test_without_a_signal_the_area_is_chance() -> None:
    generator = np.random.default_rng(6)
    outputs = generator.normal(size=(2, 400, 5))
    assert detectability(outputs[0], outputs[1]).auc == pytest.approx(0.5, abs=0.05)


def test_a_comparison_finds_equal_what_is_equal_and_a_loss_where_one_is() -> None:
    generator = np.random.default_rng(7)
    absent, present = generator.normal(size=(2, 150, 5))
    present = present + 0.9
    same = compare((absent, present), (3 * absent, 3 * present), resamples=60)
    assert same.differences == pytest.approx(0, abs=1e-9)
    assert interval(same.areas[:, 0])[0] < same.before.auc < interval(same.areas[:, 0])[1]
    more = generator.normal(size=(2, 150, 5))
    worse = compare((absent, present), (absent + more[0], present + more[1]), resamples=60)
    assert interval(worse.differences)[1] < 0
    assert worse.difference < -0.03


def test_a_region_lies_around_its_place() -> None:
    image = np.zeros((2, 50, 60))
    image[:, 20, 30] = 1
    assert region(image, (20, 30), 11)[0, 5, 5] == 1
    assert region(image, (20.4, 29.7), 31)[1, 15, 15] == 1


def test_npwe_index_grows_with_contrast_and_falls_with_noise() -> None:
    flat = TransferFunction(np.array([0.0, 5.0]), np.ones(2))
    quiet = NoiseSpectrum(np.full((64, 64), 50.0), 0.7)
    loud = NoiseSpectrum(np.full((64, 64), 200.0), 0.7)
    once = npwe_index(5, 7, flat, quiet)
    assert npwe_index(5, 14, flat, quiet) == pytest.approx(2 * once)
    assert npwe_index(5, 7, flat, loud) == pytest.approx(once / 2)
