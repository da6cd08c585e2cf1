from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from model_store.evaluation.metrics import mean_frequency, nps, psnr
from model_store.training.simulation.ct import (
    WATER_PER_MM,
    Exposure,
    Kernel,
    ParallelBeam,
    attenuation,
    noise_image,
)
from model_store.training.simulation.xray import RadiographNoise, awgn, poisson

Floats = NDArray[np.float32]


def _disc(size: int = 128, radius: int = 45, inside: float = 50.0) -> Floats:
    y, x = np.mgrid[:size, :size] - size // 2
    return np.where(x * x + y * y < radius**2, inside, -1000.0).astype(np.float32)


def test_white_noise_of_0_06_is_24_44_decibel() -> None:
    clean = np.full((512, 512), 0.5, np.float32)
    noisy = awgn(clean, 0.06, np.random.default_rng(0))
    assert psnr(noisy, clean) == pytest.approx(24.44, abs=0.05)


def test_poisson_noise_of_979_5_means_is_29_91_decibel() -> None:
    generator = np.random.default_rng(0)
    clean = generator.uniform(0.1, 0.9, (512, 512)).astype(np.float32)
    noisy = poisson(clean, 979.5 * float(clean.mean()), generator)
    assert psnr(noisy, clean) == pytest.approx(29.91, abs=0.05)


@pytest.mark.parametrize("quantum_share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("blur", [0.0, 0.7])
@pytest.mark.parametrize("inverted", [False, True])
def test_radiograph_noise_has_the_deviation_asked_for(
    quantum_share: float, blur: float, inverted: bool
) -> None:
    clean = np.full((256, 256), 0.3, np.float32)
    noise = RadiographNoise(0.02, quantum_share, inverted, blur)
    assert noise.draw(clean, np.random.default_rng(1)).std() == pytest.approx(0.02, rel=0.03)


def test_quantum_noise_follows_the_signal_and_its_complement() -> None:
    clean = np.repeat(np.array([[0.1], [0.9]], np.float32), 4096, axis=1)
    direct = RadiographNoise(0.05).draw(clean, np.random.default_rng(2)).std(axis=1)
    inverted = RadiographNoise(0.05, inverted=True).draw(clean, np.random.default_rng(2)).std(1)
    assert direct[1] / direct[0] == pytest.approx(3, rel=0.1)
    assert inverted[0] / inverted[1] == pytest.approx(3, rel=0.1)


def test_line_integral_through_the_middle_of_a_disc_is_its_chord() -> None:
    beam = ParallelBeam(128, views=90)
    projections = beam.project(attenuation(_disc(), 2.0))
    chord = 90 * 2.0 * WATER_PER_MM * 1.05
    assert projections[:, beam.elements // 2] == pytest.approx(chord, rel=0.03)


def test_filtered_back_projection_of_a_disc_returns_its_hounsfield_units() -> None:
    beam = ParallelBeam(128, views=256)
    sinogram = beam.project(attenuation(_disc(), 1.0))
    image = beam.reconstruct(sinogram, Kernel(cutoff=0.7, softness=0)) * 1000 / WATER_PER_MM - 1000
    assert image[54:74, 54:74].mean() == pytest.approx(50, abs=2)
    assert image[4:16, 54:74].mean() == pytest.approx(-1000, abs=4)


def test_a_quarter_of_the_dose_doubles_the_noise() -> None:
    beam = ParallelBeam(128, views=256)
    kernel = Kernel(0.5, 1.0)
    deviations = [
        noise_image(
            _disc(), 1.0, Exposure(n, electronic=0), kernel, np.random.default_rng(3), beam
        )[44:84, 44:84].std()
        for n in (4e5, 1e5)
    ]
    assert deviations[1] / deviations[0] == pytest.approx(2, rel=0.15)


def test_noise_is_coloured_and_a_soft_kernel_makes_it_coarser() -> None:
    beam = ParallelBeam(128, views=256)
    frequencies = []
    for kernel in (Kernel(0.3, 1.0), Kernel(0.7, 0.5)):
        noise = noise_image(
            _disc(radius=60), 1.0, Exposure(1e5), kernel, np.random.default_rng(4), beam
        )
        frequencies.append(mean_frequency(nps(noise[32:96, 32:96], 1.0, 32), 1.0))
    white = np.random.default_rng(5).normal(size=(64, 64)).astype(np.float32)
    flat = mean_frequency(nps(white, 1.0, 32), 1.0)
    assert frequencies[0] < 0.6 * flat
    assert frequencies[0] < frequencies[1]


def test_noise_streaks_along_the_long_axis_of_an_ellipse() -> None:
    y, x = np.mgrid[:128, :128] - 64
    body = np.where((x / 2.2) ** 2 + y**2 < 25**2, 40.0, -1000.0).astype(np.float32)
    noise = noise_image(
        body, 3.0, Exposure(2e4), Kernel(0.5, 1.0), np.random.default_rng(6), ParallelBeam(128)
    )[50:78, 40:88]
    along = np.abs(np.diff(noise, axis=1)).mean()
    across = np.abs(np.diff(noise, axis=0)).mean()
    assert across > 1.2 * along
