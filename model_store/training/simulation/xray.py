"""Noise of radiographs: quantum (Poisson) and electronic (normal), white or slightly blurred."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float32]

_DARKEST_MEAN = 0.1


@dataclass(frozen=True, slots=True)
class RadiographNoise:
    """Noise of one acquisition, for images scaled to 0..1.

    Parameters
    ----------
    deviation : float
        Root mean square of the noise over the image; of an image darker than 0.1 on average, that
        which the same dose would give at 0.1.
    quantum_share : float
        Share of the variance that is quantum noise (grows with the signal); the rest is electronic.
    inverted : bool
        Whether the detector signal is ``1 - x`` rather than ``x`` (bright means few quanta).
    blur : float
        Standard deviation in pixels of a Gaussian correlation of the noise; 0 is white.
    """

    deviation: float
    quantum_share: float = 1.0
    inverted: bool = False
    blur: float = 0.0

    def draw(self, clean: Floats, generator: np.random.Generator) -> Floats:
        """Draw the noise of `clean` (0..1), same shape."""
        signal = np.clip(1 - clean if self.inverted else clean, 0, 1).astype(np.float64)
        noise = np.zeros(clean.shape)
        quantum = self.deviation**2 * self.quantum_share
        if quantum > 0:
            quanta = max(float(signal.mean()), _DARKEST_MEAN) / quantum
            noise += generator.poisson(quanta * signal) / quanta - signal
        electronic = self.deviation**2 * (1 - self.quantum_share)
        noise += generator.normal(0, electronic**0.5, clean.shape)
        if self.blur:
            noise = ndimage.gaussian_filter(noise, self.blur) / _passed(self.blur)
        return noise.astype(np.float32)


def awgn(clean: Floats, deviation: float, generator: np.random.Generator) -> Floats:
    """Add white normal noise of that standard deviation."""
    return (clean + generator.normal(0, deviation, clean.shape)).astype(np.float32)


def poisson(clean: Floats, quanta: float, generator: np.random.Generator) -> Floats:
    """Poisson noise: ``Poisson(quanta * clean) / quanta``, `quanta` at a value of 1."""
    counts = generator.poisson(quanta * np.clip(clean.astype(np.float64), 0, None))
    return (counts / quanta).astype(np.float32)


def _passed(blur: float) -> float:
    """Standard deviation that white unit noise keeps under a Gaussian of `blur` pixels."""
    point = np.zeros((15, 15))
    point[7, 7] = 1
    return float(np.sqrt((ndimage.gaussian_filter(point, blur) ** 2).sum()))
