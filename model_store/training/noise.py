"""Noise of a recipe's data: what a section asks for, and how a patch gets it.

Levels stated as a peak signal-to-noise ratio follow from its definition with a peak of 1: white
noise of standard deviation ``10 ** (-psnr / 20)`` (24.44 dB is 0.0600, 18.66 dB is 0.1167), and
``Poisson(q x) / q`` with ``q = mean(x) * 10 ** (psnr / 10)`` counts (29.91 dB is 979.5 means).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from model_store.strict import Strict
from model_store.training.simulation.xray import awgn, poisson

Floats = NDArray[np.float32]
Draw = Callable[[Floats], Floats]
"""Takes clean values (0..1), returns noisy ones; another realisation with every call."""

_DARKEST_MEAN = 0.02


class ProjectionNoise(Strict):
    """CT: low dose simulated in projections, its level drawn from the data section's range."""

    kind: Literal["projection"]


class MixedNoise(Strict):
    """Radiographs: quantum and electronic noise in random proportion, white or blurred.

    Level and share of the blurred come from the data section.
    """

    kind: Literal["mixed"]


class AwgnNoise(Strict):
    """White normal noise: of one level (`psnr`, dB), or uniform between two deviations of 0..1."""

    kind: Literal["awgn"]
    psnr: float | None = Field(default=None, gt=0)
    minimum_sd: float | None = Field(default=None, ge=0)
    maximum_sd: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_way(self) -> AwgnNoise:
        bounds = self.minimum_sd is not None, self.maximum_sd is not None
        if any(bounds) != all(bounds) or all(bounds) == (self.psnr is not None):
            raise ValueError("give psnr, or minimum_sd and maximum_sd")
        if (self.minimum_sd or 0) > (self.maximum_sd or 1):
            raise ValueError("minimum_sd must not exceed maximum_sd")
        return self

    @property
    def range_sd(self) -> tuple[float, float]:
        """Least and greatest standard deviation, as fractions of 0..1."""
        if self.psnr is not None:
            return deviation_of(self.psnr), deviation_of(self.psnr)
        return self.minimum_sd or 0.0, self.maximum_sd or 0.0


class PoissonNoise(Strict):
    """Poisson noise of one level over an image (`psnr`, dB), a share of its variance electronic."""

    kind: Literal["poisson"]
    psnr: float = Field(gt=0)
    electronic_share: float = Field(default=0.0, ge=0, lt=1)

    @property
    def range_sd(self) -> tuple[float, float]:
        """Root mean square of the noise, as a fraction of 0..1, twice."""
        return deviation_of(self.psnr), deviation_of(self.psnr)


class PoissonGaussianNoise(Strict):
    """Poisson noise of ``counts`` at a value of 1 plus normal noise, both drawn uniformly.

    The defaults are SharpXR's (arXiv 2508.08518, its code).
    """

    kind: Literal["poisson-gaussian"]
    counts: tuple[float, float] = (50.0, 300.0)
    sd: tuple[float, float] = (5 / 255, 25 / 255)

    @property
    def range_sd(self) -> tuple[float, float]:
        """Least and greatest root mean square at a value of 0.5, as fractions of 0..1."""
        low, high = sorted(self.counts)
        least, greatest = sorted(self.sd)
        return (0.5 / high + least**2) ** 0.5, (0.5 / low + greatest**2) ** 0.5


CtNoise = Annotated[ProjectionNoise | AwgnNoise, Field(discriminator="kind")]
XrayNoise = Annotated[
    MixedNoise | AwgnNoise | PoissonNoise | PoissonGaussianNoise, Field(discriminator="kind")
]
WhiteNoise = AwgnNoise | PoissonNoise | PoissonGaussianNoise


def as_stored(section: CtNoise | XrayNoise) -> bool:
    """Whether noisy values are what a scanner stores, that is, within its range.

    The noise of the publications is not: their noisy values may lie outside 0..1, and are neither
    clipped nor kept from the network.
    """
    return isinstance(section, ProjectionNoise | MixedNoise)


def deviation_of(psnr: float) -> float:
    """Root mean square of noise that gives this PSNR (dB) with a peak of 1."""
    return float(10 ** (-psnr / 20))


def ordered_pairs(realisations: int) -> list[tuple[int, int]]:
    """Noise2Noise's (input, target) pairs of one image: N realisations make ``N (N - 1)``."""
    every = range(realisations)
    return [(first, second) for first in every for second in every if first != second]


def white_noise(section: WhiteNoise, mean: float, generator: np.random.Generator) -> Draw:
    """Fix the level of one patch.

    Parameters
    ----------
    section : AwgnNoise, PoissonNoise or PoissonGaussianNoise
        What to draw.
    mean : float
        Mean of the whole image (0..1), which a Poisson level refers to; at least 0.02 is assumed.
    generator : numpy.random.Generator
        Source of the level and of every realisation.

    Returns
    -------
    callable
        From clean to noisy values, never clipped; independent noise with every call.
    """
    if isinstance(section, AwgnNoise):
        deviation = float(generator.uniform(*section.range_sd))
        return lambda clean: awgn(clean, deviation, generator)
    if isinstance(section, PoissonNoise):
        variance = deviation_of(section.psnr) ** 2
        quanta = max(mean, _DARKEST_MEAN) / (variance * (1 - section.electronic_share))
        deviation = (variance * section.electronic_share) ** 0.5
    else:
        quanta = float(generator.uniform(*section.counts))
        deviation = float(generator.uniform(*section.sd))
    return lambda clean: awgn(poisson(clean, quanta, generator), deviation, generator)
