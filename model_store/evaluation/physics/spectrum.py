"""Noise power spectrum of uniform regions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_store.evaluation.metrics import mean_frequency, nps, radial

_BINS = 24


@dataclass(frozen=True, slots=True)
class NoiseSpectrum:
    """A two-dimensional noise power spectrum.

    Parameters
    ----------
    power : ndarray of shape (size, size), float64
        Power in HU^2 mm^2, zero frequency first.
    pixel_mm : float
        Pixel spacing in millimetres.
    """

    power: NDArray[np.float64]
    pixel_mm: float

    @property
    def deviation(self) -> float:
        """Standard deviation of the noise in HU: the root of the integral of the spectrum."""
        return float(np.sqrt(self.power.sum()) / (len(self.power) * self.pixel_mm))

    @property
    def mean_frequency(self) -> float:
        """Mean frequency, weighted by power, per millimetre; zero without any power."""
        return 0.0 if not self.power.any() else mean_frequency(self.power, self.pixel_mm)

    @property
    def peak_frequency(self) -> float:
        """Frequency of the largest radial power, per millimetre, by a parabola around it."""
        frequency, power = self.profile()
        smooth = np.convolve(power, [0.25, 0.5, 0.25], mode="same")
        top = int(np.argmax(smooth[1:-1])) + 1
        left, middle, right = smooth[top - 1 : top + 2]
        bend = left - 2 * middle + right
        shift = 0.0 if bend == 0 else float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5))
        return float(frequency[top] + shift * (frequency[1] - frequency[0]))

    def profile(self, bins: int = _BINS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Radial profile up to the Nyquist frequency: per millimetre, HU^2 mm^2."""
        frequency = (np.arange(bins) + 0.5) / bins * 0.5 / self.pixel_mm
        return frequency, radial(self.power, bins)


def noise_spectrum(
    images: Iterable[NDArray[np.floating]], pixel_mm: float, size: int = 64
) -> NoiseSpectrum:
    """Spectrum of all regions of ``size x size`` pixels that fit into uniform images.

    A polynomial surface of second degree is removed from each region, so the images may be
    acquisitions of a uniform object rather than noise alone. Noise below about one cycle per
    region goes with it.

    Parameters
    ----------
    images : iterable of ndarray of shape (rows, columns)
        Uniform parts of images in HU, at least `size` in both directions.
    pixel_mm : float
        Pixel spacing in millimetres.
    size : int
        Side of the regions in pixels.
    """
    whole = [image[: len(image) // size * size] for image in images]
    return NoiseSpectrum(nps(np.concatenate(whole), pixel_mm, size, order=2), pixel_mm)
