"""Channelised Hotelling observer (CHO) with Laguerre-Gauss channels.

The observer that the FDA's low-contrast detectability test for CT (LCD-CT, RST24MD08.01) uses, for
a disc of known place and size: Vaishnav et al. 2014 (Med. Phys. 41, 071904), channels after Gallas
and Barrett 2003 (J. Opt. Soc. Am. A 20, 1725).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Doubles = NDArray[np.floating]

CHANNELS = 5
SPLITS = 10
_RESAMPLES = 200


@dataclass(frozen=True, slots=True)
class Detectability:
    """How well an observer tells presence from absence.

    Parameters
    ----------
    auc : float
        Area under the receiver operating characteristic, 0.5 to 1 but for chance.
    snr : float
        Difference of the mean scores over the root of their mean variance.
    """

    auc: float
    snr: float


@dataclass(frozen=True, slots=True)
class DetectabilityChange:
    """Detectability before and after, and the difference of the areas.

    Parameters
    ----------
    before, after : Detectability
        Means over random splits.
    areas : ndarray of shape (resamples, 2)
        Areas before and after of the bootstrap.
    """

    before: Detectability
    after: Detectability
    areas: Doubles

    @property
    def difference(self) -> float:
        """Area after less area before."""
        return self.after.auc - self.before.auc

    @property
    def differences(self) -> Doubles:
        """Area after less area before for each resample of the bootstrap."""
        return np.asarray(self.areas[:, 1] - self.areas[:, 0])


def laguerre_gauss(size: int, width: float, count: int = CHANNELS) -> Doubles:
    """Laguerre-Gauss channels.

    Parameters
    ----------
    size : int
        Side of the region in pixels.
    width : float
        Width of the Gaussian ``exp(-pi r^2 / width^2)`` in pixels.
    count : int
        Number of channels.

    Returns
    -------
    ndarray of shape (count, size, size)
    """
    along = np.arange(size) - (size - 1) / 2
    square = 2 * np.pi * (along[:, None] ** 2 + along[None, :] ** 2) / width**2
    bell = np.exp(-square / 2) * np.sqrt(2) / width
    return np.stack([special.eval_laguerre(order, square) * bell for order in range(count)])


def channel_outputs(regions: NDArray[np.floating], channels: Doubles) -> Doubles:
    """Inner products of regions with channels, ``[regions, channels]``."""
    flat = np.asarray(regions, np.float64).reshape(len(regions), -1)
    return np.asarray(flat @ channels.reshape(len(channels), -1).T)


def area_under_curve(absent: Doubles, present: Doubles) -> float:
    """Mann-Whitney estimate of the area under the ROC curve from scores."""
    ordered = np.sort(absent)
    below = np.searchsorted(ordered, present, "left") + np.searchsorted(ordered, present, "right")
    return float(below.mean() / 2 / len(absent))


def hotelling(
    train_absent: Doubles, train_present: Doubles, test_absent: Doubles, test_present: Doubles
) -> Detectability:
    """Train the Hotelling template on channel outputs and test it on others.

    Parameters
    ----------
    train_absent, train_present, test_absent, test_present : ndarray of shape (n, channels)
        Channel outputs.
    """
    covariance = (_covariance(train_absent) + _covariance(train_present)) / 2
    template = np.linalg.pinv(covariance) @ (train_present.mean(0) - train_absent.mean(0))
    absent, present = test_absent @ template, test_present @ template
    spread = np.sqrt((absent.var(ddof=1) + present.var(ddof=1)) / 2)
    snr = float((present.mean() - absent.mean()) / max(spread, 1e-12))
    return Detectability(area_under_curve(absent, present), snr)


def detectability(
    absent: Doubles, present: Doubles, splits: int = SPLITS, seed: int = 0
) -> Detectability:
    """Mean over random splits in halves for training and testing.

    Parameters
    ----------
    absent, present : ndarray of shape (n, channels)
        Channel outputs of independent regions.
    splits : int
        How often to split.
    seed : int
        Of the splits.
    """
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(splits):
        halves = _halves(len(absent), generator), _halves(len(present), generator)
        found.append(_tested(absent, present, *halves))
    return Detectability(
        float(np.mean([item.auc for item in found])), float(np.mean([item.snr for item in found]))
    )


def compare(
    before: tuple[Doubles, Doubles],
    after: tuple[Doubles, Doubles],
    resamples: int = _RESAMPLES,
    seed: int = 0,
) -> DetectabilityChange:
    """Compare two versions of the same images, such as before and after denoising.

    Each resample of the bootstrap draws a split and then, with replacement, regions within each
    half; both versions share every draw, and so do calls with the same seed and counts. The spread
    of single splits is therefore within the intervals.

    Parameters
    ----------
    before, after : tuple of ndarray of shape (n, channels)
        Channel outputs, absent and present; row by row the same regions.
    resamples : int
        Of the bootstrap.
    seed : int
        Of all draws.
    """
    generator = np.random.default_rng(seed)
    areas = np.empty((resamples, 2))
    counts = len(before[0]), len(before[1])
    for index in range(resamples):
        drawn = []
        for count in counts:
            train, test = _halves(count, generator)
            drawn.append((generator.choice(train, len(train)), generator.choice(test, len(test))))
        areas[index] = [_tested(*version, *drawn).auc for version in (before, after)]
    return DetectabilityChange(
        detectability(*before, seed=seed), detectability(*after, seed=seed), areas
    )


def interval(samples: Doubles) -> tuple[float, float]:
    """Limits that hold 95 % of the samples of a bootstrap."""
    low, high = np.percentile(samples, (2.5, 97.5))
    return float(low), float(high)


def region(
    image: NDArray[np.floating], place: tuple[float, float], size: int
) -> NDArray[np.floating]:
    """Cut ``size x size`` pixels whose middle is as near to `place` as pixels allow."""
    row, column = (round(middle - (size - 1) / 2) for middle in place)
    return image[..., row : row + size, column : column + size]


def _covariance(outputs: Doubles) -> Doubles:
    centred = outputs - outputs.mean(0)
    return np.asarray(centred.T @ centred / (len(outputs) - 1))


def _halves(count: int, generator: np.random.Generator) -> tuple[NDArray[np.intp], ...]:
    order = generator.permutation(count)
    return order[: count // 2], order[count // 2 :]


def _tested(
    absent: Doubles,
    present: Doubles,
    absent_halves: tuple[NDArray[np.intp], ...],
    present_halves: tuple[NDArray[np.intp], ...],
) -> Detectability:
    return hotelling(
        absent[absent_halves[0]],
        present[present_halves[0]],
        absent[absent_halves[1]],
        present[present_halves[1]],
    )
