"""Profiles: the sizes and batches that a plan is built for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from model_store.errors import EngineError
from model_store.manifest import Manifest

Size = tuple[int, int, int]
"""Images, rows and columns of one call."""

SLICE: Final = 512
TILE: Final = 2048
BATCH: Final = 16


@dataclass(frozen=True, slots=True)
class Profile:
    """A range of sizes that a plan takes, and the one that its kernels are picked for.

    Parameters
    ----------
    name : str
        ``slices`` or ``tiles``.
    least, usual, most : tuple of int
        Images, rows and columns.
    """

    name: str
    least: Size
    usual: Size
    most: Size

    def takes(self, rows: int, columns: int) -> bool:
        """Whether images of this size are within the range, at least one at a time."""
        return all(
            low <= size <= high
            for low, size, high in zip(self.least[1:], (rows, columns), self.most[1:], strict=True)
        )


def profiles_of(manifest: Manifest, batch: int = BATCH) -> tuple[Profile, Profile]:
    """The two profiles of a model version: batches of CT slices, and one tile of a radiograph.

    Parameters
    ----------
    manifest : Manifest
        States the stride that every size is a multiple of, and the margin of tiles.
    batch : int
        Most slices of 512 x 512 in one call.

    Raises
    ------
    ValueError
        If `batch` is below 1.
    """
    if batch < 1:
        raise ValueError(f"a batch has at least one image, not {batch}")
    stride = manifest.tiling.stride
    side = -(-SLICE // stride) * stride
    smallest = 2 * -(-manifest.tiling.margin // stride) * stride + stride
    tile = max(-(-TILE // stride) * stride, smallest)
    least = (1, stride, stride)
    return (
        Profile("slices", least, (batch, side, side), (batch, side, side)),
        Profile("tiles", least, (1, tile, tile), (1, tile, tile)),
    )


def profile_for(profiles: Sequence[Profile], rows: int, columns: int) -> int:
    """Number of the first profile that takes images of this size.

    Raises
    ------
    EngineError
        If none does; the message says how large a tile may be.
    """
    for number, profile in enumerate(profiles):
        if profile.takes(rows, columns):
            return number
    raise EngineError(
        f"no profile takes images of {columns} x {rows}; set [workers] tile to at most "
        f"{max(profile.most[1] for profile in profiles)}"
    )
