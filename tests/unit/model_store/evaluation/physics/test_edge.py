from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from model_store.evaluation.physics.edge import edge_spread, transfer
from model_store.evaluation.physics.phantom import Phantom, Rod, System

PIXEL = 0.5


def blurred_disc(sigma: float, radius: float, contrast: float = 100.0) -> NDArray[np.float64]:
    """A disc under a Gaussian, both in pixels: exact samples, off the pixel grid's symmetry."""
    size, over = 96, 8
    along = np.fft.fftfreq(size * over, d=1 / over)
    frequency = np.hypot(along[:, None], along[None, :])
    from scipy import special  # noqa: PLC0415

    argument = 2 * np.pi * radius * np.maximum(frequency, 1e-9)
    spectrum = contrast * 2 * np.pi * radius**2 * special.j1(argument) / argument
    spectrum = spectrum * np.exp(-2 * (np.pi * sigma * frequency) ** 2)
    image = np.fft.fftshift(np.fft.ifft2(spectrum).real) * over**2
    return np.asarray(image[::over, ::over])


@pytest.mark.parametrize("sigma", [0.8, 1.3, 2.0])
def test_an_edge_under_a_gaussian_has_the_transform_of_the_gaussian(sigma: float) -> None:
    found = transfer(blurred_disc(sigma, 20), (48, 48), 20, PIXEL)
    expected = np.exp(-2 * (np.pi * sigma * found.frequency * PIXEL) ** 2)
    assert found.value == pytest.approx(expected, abs=0.02)
    half = np.sqrt(np.log(2) / 2) / (np.pi * sigma) / PIXEL
    tenth = np.sqrt(np.log(10) / 2) / (np.pi * sigma) / PIXEL
    assert found.at_level(0.5) == pytest.approx(half, rel=0.02)
    assert found.at_level(0.1) == pytest.approx(tenth, rel=0.02)


def test_neither_sign_nor_size_of_the_contrast_matters() -> None:
    one = transfer(blurred_disc(1, 20, 7), (48, 48), 20, PIXEL).at_level(0.5)
    other = transfer(blurred_disc(1, 20, -900) - 50, (48, 48), 20, PIXEL).at_level(0.5)
    assert one == pytest.approx(other, rel=1e-6)


def test_a_level_that_is_never_reached_has_no_frequency() -> None:
    found = transfer(blurred_disc(0.1, 20), (48, 48), 20, PIXEL)
    assert found.at_level(1e-9) is None


def test_edge_spread_is_the_profile_from_inside_to_outside() -> None:
    radius, values = edge_spread(blurred_disc(1, 20), (48, 48), 8, 32)
    assert values[:20] == pytest.approx(100, abs=0.5)
    assert values[-20:] == pytest.approx(0, abs=0.5)
    assert np.interp(20, radius, values) == pytest.approx(50, abs=2)


def test_the_resolution_of_a_drawn_phantom_is_that_of_its_system() -> None:
    rods = (Rod(-30.3, 11.9, 20, 120), Rod(25, -20, 20, -1000))
    phantom, system = Phantom(rods), System(cutoff_per_mm=1.2)
    image = phantom.draw(system)
    for rod in rods:
        found = transfer(image, phantom.place(rod), 10 / phantom.pixel_mm, phantom.pixel_mm)
        keep = found.frequency < 1.1
        expected = system.transfer(found.frequency[keep])
        assert found.value[keep] == pytest.approx(expected, abs=0.02)
