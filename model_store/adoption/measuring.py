"""What a foreign network shows of itself when it is run: stride, reach, and what it gives."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import Literal

import numpy as np

from model_store.adoption.network import ForeignNetwork
from model_store.engines.base import Images
from model_store.engines.golden import golden_images
from model_store.engines.tiles import ROUNDING, tile_difference
from model_store.errors import BehaviourError
from model_store.manifest import Manifest, TilingSpec

LARGEST_STRIDE = 128
LARGEST_MARGIN = 512
"""Pixels: tiles are 1536 pixels long at most, and two margins of them are thrown away."""

_SIDE = 48
_CUTS = 6
_SEED = 4711
_CLEARLY = 4.0


def measure_stride(network: ForeignNetwork) -> int:
    """The smallest number whose multiples the network takes as rows and columns, and keeps.

    Raises
    ------
    BehaviourError
        If there is none up to `LARGEST_STRIDE`.
    """
    for stride in range(1, LARGEST_STRIDE + 1):
        one, other = islice(_primes(max(-(-_SIDE // stride), 2)), 2)
        if network.takes(1, 1, stride * one, stride * other) and network.takes(
            2, 1, stride * other, stride * one
        ):
            return stride
    raise BehaviourError(
        f"it takes images of no size: rows and columns that are multiples of 1 to {LARGEST_STRIDE} "
        "were tried, and none kept their size"
    )


def measure_reach(network: ForeignNetwork, stride: int, low: float, high: float) -> int:
    """How many pixels away a pixel still changes another one.

    One side of an image of noise is replaced by other noise, along rows and along columns, at
    several places of the stride; the farthest pixel of the other side that changes, by however
    little, says how far it reached.

    Parameters
    ----------
    network : ForeignNetwork
    stride : int
        Of its sizes.
    low, high : float
        Range of its input.

    Raises
    ------
    BehaviourError
        If it is more than `LARGEST_MARGIN`.
    """
    length = 256
    while True:
        length = -(-length // (2 * stride)) * 2 * stride
        reach = max(_reached(network, stride, length, (low, high), along=along) for along in (2, 3))
        if reach < length // 2 - stride:
            break
        if length // 2 > LARGEST_MARGIN:
            raise BehaviourError(
                f"a pixel changes others {reach} pixels away, as far as was looked; "
                f"{LARGEST_MARGIN} at most: it depends on the whole image, or nearly, so that "
                "tiles would not fit together"
            )
        length *= 2
    if reach > LARGEST_MARGIN:
        raise BehaviourError(
            f"a pixel changes others {reach} pixels away, {LARGEST_MARGIN} at most"
        )
    return reach


def measure_tiling(
    network: ForeignNetwork, manifest: Manifest, stride: int, reach: int
) -> TilingSpec:
    """The smallest stride and margin with which tiles fit together.

    A network may take sizes that it pads itself: where its tiles may begin is then another stride
    than that of its sizes.

    Raises
    ------
    BehaviourError
        If tiles fit with none; the message says by how much the best differs from the whole.
    """
    best = math.inf
    for times in (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32, 64):
        if times * stride > LARGEST_STRIDE and times > 1:
            break
        found = TilingSpec(margin=reach, stride=times * stride)
        tried = manifest.model_copy(update={"tiling": found})
        difference = tile_difference(network.run, tried)
        if difference <= ROUNDING:
            return found
        best = min(best, difference)
    raise BehaviourError(
        f"an image in tiles differs from the whole by {100 * best:.3g} % of the range, "
        f"{100 * ROUNDING:.2g} % at most, at a margin of {reach} pixels and every stride that was "
        "tried: it depends on where in the image a pixel lies, or on the whole image"
    )


def output_of(network: ForeignNetwork, manifest: Manifest) -> Literal["image", "residual"] | None:
    """Whether it gives the denoised image or what is to be added; None if that does not show."""
    images = golden_images(manifest)
    made = network.run(images).astype(np.float64)
    as_image = float(np.abs(made - images).mean())
    as_residual = float(np.abs(made).mean())
    if _CLEARLY * as_image < as_residual:
        return "image"
    if _CLEARLY * as_residual < as_image:
        return "residual"
    return None


def _reached(
    network: ForeignNetwork, stride: int, length: int, values: tuple[float, float], *, along: int
) -> int:
    low, high = values
    across = -(-_SIDE // stride) * stride
    shape = (1, 1, length, across) if along == 2 else (1, 1, across, length)  # noqa: PLR2004
    rng = np.random.default_rng(_SEED)

    def noise(share: float) -> Images:
        drawn = low + (high - low) * (0.5 + share * (rng.random(shape) - 0.5))
        return drawn.astype(np.float32)

    worst = 0
    for share in (1.0, 0.1):
        image, other = noise(share), noise(share)
        first = _lines(network.run(image), along)
        for cut in _cuts(length, stride):
            for after in (True, False):
                changed = image.copy()
                part: list[slice] = [slice(None)] * len(shape)
                part[along] = slice(cut, None) if after else slice(0, cut)
                changed[tuple(part)] = other[tuple(part)]
                same = _lines(network.run(changed), along) == first
                differing = np.flatnonzero(~same.all(axis=1))
                if not differing.size:
                    continue
                far = cut - differing[0] if after else differing[-1] - cut + 1
                worst = max(worst, int(far))
    return worst


def _cuts(length: int, stride: int) -> list[int]:
    """Places to cut at, around the middle and spread over a stride, or over a window of 8."""
    period = max(stride, 8)
    steps = sorted({round(place * period / _CUTS) for place in range(_CUTS)})
    return [length // 2 + step for step in steps]


def _lines(made: Images, along: int) -> Images:
    """One line for each place along the axis."""
    return np.moveaxis(made, along, 0).reshape(made.shape[along], -1)


def _primes(least: int) -> Iterator[int]:
    """Primes: a multiple of a stride by one of them is a multiple of no larger stride."""
    number = least
    while True:
        if all(number % other for other in range(2, math.isqrt(number) + 1)):
            yield number
        number += 1
