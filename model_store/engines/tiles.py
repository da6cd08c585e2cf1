"""Whether an image in tiles gives what the whole image gives."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import count

import numpy as np

from model_store.engines.base import Images
from model_store.engines.golden import golden_images
from model_store.manifest import Manifest

Infer = Callable[[Images], Images]

ROUNDING = 0.05 / 4095
"""Of the range, 0.05 HU of a CT's: what the way in which an image is divided may change a pixel by
in f32. For a true margin it is rounding at most: sums may be taken in another order."""

COARSE_ROUNDING = 1e-3
"""The same for all other precisions."""

_CORE = 32


def tile_difference(infer: Infer, manifest: Manifest) -> float:
    """Largest difference of a pixel between an image in four tiles and as a whole.

    The tiles overlap by the manifest's margin on either side and begin at multiples of its stride,
    an odd number of strides from the image's corner: what a network needs more of shows.

    Parameters
    ----------
    infer : callable
        Runs the network.
    manifest : Manifest
        Margin, stride and range.

    Returns
    -------
    float
        As a part of the range of the input.
    """
    stride = manifest.tiling.stride
    margin = -(-manifest.tiling.margin // stride) * stride
    least = max(-(-_CORE // stride), 3)
    core = stride * next(number for number in count(least) if _is_prime(number))
    cut = margin + core
    image = golden_images(manifest)[-1:]
    times = -(-2 * cut // min(image.shape[2:]))
    image = np.ascontiguousarray(np.tile(image, (1, 1, times, times))[..., : 2 * cut, : 2 * cut])
    whole = infer(image)
    sides = ((slice(0, cut), 0, cut + margin), (slice(cut, 2 * cut), cut - margin, 2 * cut))
    worst = 0.0
    for rows, top, bottom in sides:
        for columns, left, right in sides:
            tile = infer(np.ascontiguousarray(image[..., top:bottom, left:right]))
            part = tile[..., rows.start - top : rows.stop - top, :]
            part = part[..., columns.start - left : columns.stop - left]
            found = float(np.abs(part.astype(np.float64) - whole[..., rows, columns]).max())
            worst = max(worst, found if math.isfinite(found) else math.inf)
    return worst / span(manifest)


def span(manifest: Manifest) -> float:
    """The range of the network's input, from the least to the greatest value."""
    return (manifest.input.maximum - manifest.input.minimum) / manifest.input.scale


def _is_prime(number: int) -> bool:
    return all(number % other for other in range(2, math.isqrt(number) + 1))
