"""Classical filters to compare with, over a grid of settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from model_store.evaluation.metrics import lower_is_better, noise_by_mad

Floats = NDArray[np.float32]
Score = Callable[[Floats], dict[str, float]]
FilterSettings = dict[str, dict[str, dict[str, float]]]
"""Scores by filter, setting and metric."""

FAMILIES = ("gaussian", "median", "bilateral", "bm3d-mad", "bm3d")
"""Names of the filters."""

GAUSSIAN = tuple(round(0.3 + 0.1 * step, 1) for step in (*range(18), *range(18, 48, 4)))
MEDIAN = (3, 5, 7, 9, 11)
BILATERAL_SPACE = (1.0, 2.0, 3.0, 5.0, 8.0)
BILATERAL_RANGE = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0)
BM3D_FACTORS = (0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5)
ESTIMATED = "estimated"
"""BM3D's setting that takes the deviation from the image, and a filter of its own."""


def bilateral(image: Floats, space: float, spread: float) -> Floats:
    """Bilateral filter (Tomasi, Manduchi 1998), window of two standard deviations.

    Parameters
    ----------
    image : ndarray of shape (rows, columns)
        Image.
    space, spread : float
        Standard deviations in pixels, and in the unit of the values.
    """
    reach = int(np.ceil(2 * space))
    padded = np.pad(image, reach, mode="reflect").astype(np.float32)
    rows, columns = image.shape
    total, weights = np.zeros_like(image), np.zeros_like(image)
    for down in range(2 * reach + 1):
        for right in range(2 * reach + 1):
            distance = (down - reach) ** 2 + (right - reach) ** 2
            if distance > reach**2:
                continue
            other = padded[down : down + rows, right : right + columns]
            exponent = (other - image) ** 2 / np.float32(2 * spread**2)
            weight = np.exp(-exponent - np.float32(distance / (2 * space**2)))
            total += weight * other
            weights += weight
    return total / weights


def available() -> tuple[str, ...]:
    """Filters that can run here: ``bm3d`` and ``bm3d-mad`` only where the package is installed.

    Its licence allows no commercial use, so it is no dependency.
    """
    return FAMILIES if find_spec("bm3d") is not None else FAMILIES[:3]


def score_settings(
    noisy: Floats, deviation: float, score: Score, *, quick: bool = False
) -> FilterSettings:
    """Run every filter at every setting of its grid.

    Parameters
    ----------
    noisy : ndarray of shape (rows, columns)
        Noisy image.
    deviation : float
        True standard deviation of its noise, for the ranges of bilateral and BM3D.
    score : callable
        Metrics of an image against the reference.
    quick : bool
        Every third setting of the grids, and no space above 2 pixels.

    Returns
    -------
    dict
        Scores by filter and setting: ``gaussian`` (pixels), ``median`` (side in pixels),
        ``bilateral`` (pixels, multiple of the deviation), ``bm3d`` (multiple of the deviation, or
        its estimate from the image) and ``bm3d-mad`` (that estimate alone).
    """
    return {
        family: {
            setting: score(apply_filter(family, setting, noisy, deviation)) for setting in settings
        }
        for family, settings in _grids(quick=quick).items()
    }


def apply_filter(family: str, setting: str, noisy: Floats, deviation: float) -> Floats:
    """One filter at one setting, named as `score_settings` names them."""
    deviation = max(deviation, 1e-6)
    filtered: Floats
    if family == "gaussian":
        filtered = ndimage.gaussian_filter(noisy, float(setting))
    elif family == "median":
        filtered = ndimage.median_filter(noisy, int(setting))
    elif family == "bilateral":
        space, factor = map(float, setting.split(", "))
        filtered = bilateral(noisy, space, factor * deviation)
    elif setting == ESTIMATED:
        filtered = _bm3d(noisy, max(noise_by_mad(noisy), 1e-6))
    else:
        filtered = _bm3d(noisy, float(setting) * deviation)
    return filtered


def _grids(*, quick: bool) -> dict[str, list[str]]:
    """Settings by filter."""
    step = 3 if quick else 1
    grids = {
        "gaussian": [f"{deviation:g}" for deviation in GAUSSIAN[::step]],
        "median": [f"{side}" for side in MEDIAN[::step]],
        "bilateral": [
            f"{space:g}, {factor:g}"
            for space in BILATERAL_SPACE[: 2 if quick else None]
            for factor in BILATERAL_RANGE[::step]
        ],
    }
    if "bm3d" in available():
        grids["bm3d"] = [*(f"{factor:g}" for factor in BM3D_FACTORS[::step]), ESTIMATED]
        grids["bm3d-mad"] = [ESTIMATED]
    return grids


def complete(settings: FilterSettings, *, quick: bool) -> bool:
    """Whether scores are of every filter that can run here, at every setting of its grid."""
    return all(
        set(wanted) <= set(settings.get(family, ()))
        for family, wanted in _grids(quick=quick).items()
    )


def best_of_each(settings: FilterSettings) -> dict[str, dict[str, float]]:
    """Each filter's best score over its grid, metric by metric: an upper bound for the filters."""
    return {
        name: {metric: _best(metric, grid.values()) for metric in _metrics(grid)}
        for name, grid in settings.items()
    }


def best_single(
    settings: FilterSettings, others: Sequence[FilterSettings]
) -> dict[str, dict[str, float]]:
    """Each filter's score at the one setting that is best on average over other images.

    Parameters
    ----------
    settings : FilterSettings
        Scores on the image at hand.
    others : sequence of FilterSettings
        Scores on the validation images; at least one.

    Returns
    -------
    dict
        By filter and metric, the setting chosen metric by metric.
    """
    result: dict[str, dict[str, float]] = {}
    for name, grid in settings.items():
        result[name] = {}
        for metric in _metrics(grid):
            sign = -1 if lower_is_better(metric) else 1
            means = {
                key: sign * float(np.mean([other[name][key][metric] for other in others]))
                for key in grid
                if all(key in other.get(name, {}) for other in others)
            }
            if means:
                result[name][metric] = grid[max(means, key=means.__getitem__)][metric]
    return result


def _metrics(grid: Mapping[str, Mapping[str, float]]) -> list[str]:
    return list(next(iter(grid.values()), {}))


def _best(metric: str, scores: Iterable[Mapping[str, float]]) -> float:
    values = [score[metric] for score in scores]
    return min(values) if lower_is_better(metric) else max(values)


def _bm3d(image: Floats, deviation: float) -> Floats:
    import bm3d  # noqa: PLC0415 -- only where its user installed it

    return np.asarray(bm3d.bm3d(image, deviation, profile="np"), dtype=np.float32)
