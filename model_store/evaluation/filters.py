"""Classical filters to compare with, each at the setting that is best for the image at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from model_store.evaluation.metrics import noise_by_mad

Floats = NDArray[np.float32]
Score = Callable[[Floats], dict[str, float]]

GAUSSIAN = tuple(round(0.3 + 0.1 * step, 1) for step in range(48))
MEDIAN = (3, 5, 7, 9, 11)
BILATERAL_SPACE = (1.0, 2.0, 3.0, 5.0, 8.0)
BILATERAL_RANGE = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0)
BM3D_FACTORS = (0.75, 1.0, 1.5, 2.5)


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


def best_of_each(
    noisy: Floats, deviation: float, score: Score, *, quick: bool = False
) -> dict[str, dict[str, float]]:
    """Each filter's best score over its grid, metric by metric: an upper bound for the filters.

    Parameters
    ----------
    noisy : ndarray of shape (rows, columns)
        Noisy image.
    deviation : float
        True standard deviation of its noise, for the ranges of bilateral and BM3D.
    score : callable
        Metrics of an image against the reference; larger is better for every one.
    quick : bool
        Every third setting of the grids, and no space above 3 pixels.

    Returns
    -------
    dict of str to dict of str to float
        Scores of ``gaussian``, ``median``, ``bilateral``, and where the package is installed
        ``bm3d`` (best factor on the true deviation) and ``bm3d-mad`` (deviation estimated from
        the image; one setting). Its licence allows no commercial use, so it is no dependency.
    """
    deviation = max(deviation, 1e-6)
    families: dict[str, Iterator[Floats]] = {
        "gaussian": (ndimage.gaussian_filter(noisy, s) for s in GAUSSIAN[:: 3 if quick else 1]),
        "median": (ndimage.median_filter(noisy, k) for k in MEDIAN[: 2 if quick else None]),
        "bilateral": (
            bilateral(noisy, space, factor * deviation)
            for space in BILATERAL_SPACE[: 3 if quick else None]
            for factor in BILATERAL_RANGE[:: 2 if quick else 1]
        ),
    }
    if find_spec("bm3d") is not None:
        factors = BM3D_FACTORS[:: 2 if quick else 1]
        families["bm3d"] = (_bm3d(noisy, factor * deviation) for factor in factors)
        families["bm3d-mad"] = (_bm3d(noisy, max(noise_by_mad(noisy), 1e-6)) for _ in range(1))
    return {name: _best(images, score) for name, images in families.items()}


def _best(images: Iterator[Floats], score: Score) -> dict[str, float]:
    best: dict[str, float] = {}
    for image in images:
        for metric, value in score(image).items():
            best[metric] = max(value, best.get(metric, -np.inf))
    return best


def _bm3d(image: Floats, deviation: float) -> Floats:
    import bm3d  # noqa: PLC0415 -- only where its user installed it

    return np.asarray(bm3d.bm3d(image, deviation, profile="np"), dtype=np.float32)
