"""Where the tiles of a large image lie, so that no seam can be seen or measured.

An image is first thought of as padded at the bottom and right to a multiple of the model's stride.
Tiles of one size begin at multiples of the stride and overlap by twice the margin; tiles at a
border end exactly there, so that the network's own zero padding acts only at the true border. Of
each tile only the core, which nothing beyond the tile can influence, is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_store.manifest import TilingSpec


@dataclass(frozen=True, slots=True)
class Span:
    """Extent of a tile along one axis, in pixels of the padded image.

    Parameters
    ----------
    start, stop : int
        What the network sees.
    first, last : int
        The core ``[first, last)`` that is kept; it lies inside the unpadded image.
    """

    start: int
    stop: int
    first: int
    last: int

    @property
    def core(self) -> slice:
        """The core, counted from the image's first pixel."""
        return slice(self.first, self.last)

    @property
    def core_in_tile(self) -> slice:
        """The core, counted from the tile's first pixel."""
        return slice(self.first - self.start, self.last - self.start)


def round_up(size: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is not below `size`."""
    return -(-size // multiple) * multiple


def smallest_tile(spec: TilingSpec) -> int:
    """The shortest tile that still has a core: two margins and one stride."""
    return 2 * round_up(spec.margin, spec.stride) + spec.stride


def default_tile(spec: TilingSpec) -> int:
    """A tile length that wastes little on the overlap and keeps memory in bounds.

    Ten margins make the overlap cost at most 1.6 times the pixels. Below 512 the overlap costs more
    than the memory is worth, above 1536 the memory costs more than the overlap (measured in
    ``docs/decisions/0003-cpu-engine.md``).
    """
    return max(round_up(min(max(10 * spec.margin, 512), 1536), spec.stride), smallest_tile(spec))


def spans(size: int, longest: int, spec: TilingSpec) -> tuple[Span, ...]:
    """Lay tiles along one axis.

    Parameters
    ----------
    size : int
        Pixels of the image along this axis, at least 1.
    longest : int
        Largest allowed tile length. Tiles are made as short as their number allows.
    spec : TilingSpec
        Margin and stride of the model.

    Returns
    -------
    tuple of Span
        Tiles of one length, whose cores cover ``[0, size)`` exactly once, in order.

    Raises
    ------
    ValueError
        If `longest` leaves no core between the margins although the image needs several tiles.
    """
    padded = round_up(size, spec.stride)
    if padded <= longest:
        return (Span(0, padded, 0, size),)
    if longest < smallest_tile(spec):
        raise ValueError(f"tile of {longest} pixels is below {smallest_tile(spec)} for this model")
    margin = round_up(spec.margin, spec.stride)
    step = longest // spec.stride * spec.stride - 2 * margin
    count = -(-(padded - 2 * margin) // step)
    length = round_up(-(-(padded + (count - 1) * 2 * margin) // count), spec.stride)
    laid: list[Span] = []
    covered = 0
    while covered < size:
        start = min(max(covered - margin, 0), padded - length)
        stop = start + length
        last = size if stop == padded else min(size, stop - margin)
        laid.append(Span(start, stop, covered, last))
        covered = last
    return tuple(laid)


def reflected(size: int, stride: int) -> NDArray[np.intp]:
    """Which pixel stands at each place of the padded axis.

    The image is continued by reflection without repeating its last pixel, as in the reference
    implementation of the U-Net; where it is too short for that, by its last pixel.

    Parameters
    ----------
    size : int
        Pixels of the image along this axis, at least 1.
    stride : int
        The padded length is the next multiple of it.

    Returns
    -------
    ndarray of intp
        Index into the image for each pixel of the padded axis.
    """
    extra = round_up(size, stride) - size
    mirrored, repeated = size - 2 - np.arange(extra), np.full(extra, size - 1)
    tail = mirrored if extra < size else repeated
    return np.concatenate([np.arange(size), tail]).astype(np.intp)
