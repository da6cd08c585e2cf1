"""Batches of noisy and clean patches, a pure function of seed and step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

Floats = NDArray[np.float32]
Square = tuple[slice, slice]

_WEIGHT_KNEE_HU = 10.0
_WEIGHT_KNEE = 0.015

VALIDATION = 0x56414C
"""Part of the seed of every validation batch."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Patches ``[N, 1, P, P]`` in network input units, and a weight for each (``[N, 1, 1, 1]``).

    `target` is the clean patch, or a second noisy one (Noise2Noise).
    """

    noisy: Floats
    target: Floats
    weight: Floats

    @classmethod
    def stack(cls, drawn: list[tuple[Floats, Floats, float]]) -> Batch:
        """Stack (noisy, target, weight) of single patches ``[P, P]``."""
        noisy, target, weight = zip(*drawn, strict=True)
        weights = np.array(weight, np.float32)[:, None, None, None]
        return cls(np.stack(noisy)[:, None], np.stack(target)[:, None], weights)


class PatchSource(Protocol):
    """Where a training run takes its batches."""

    def batch(self, step: int) -> Batch:
        """Batch number `step`: the same step always gives the same batch."""

    def validation(self, index: int) -> Batch:
        """Batch `index` of a series apart from those of `batch`, its targets clean if any are."""


class DrawnPatches(ABC):
    """A source whose noise is drawn anew for every patch.

    Parameters
    ----------
    batch, seed : int
        Patches in a batch, and the seed of all draws.
    noisy_target : bool
        Whether targets are a second noisy patch; else they are clean.
    """

    def __init__(self, *, batch: int, seed: int, noisy_target: bool) -> None:
        self._size = batch
        self._seed = seed
        self._noisy_target = noisy_target

    def batch(self, step: int) -> Batch:
        """Batch number `step`."""
        return self._drawn([self._seed, step], self._noisy_target)

    def validation(self, index: int) -> Batch:
        """Batch `index` of other squares and other noise, its targets clean."""
        return self._drawn([self._seed, VALIDATION, index], False)

    def _drawn(self, seed: list[int], noisy_target: bool) -> Batch:
        generator = np.random.default_rng(seed)
        return Batch.stack([self._one(generator, noisy_target) for _ in range(self._size)])

    @abstractmethod
    def _one(
        self, generator: np.random.Generator, noisy_target: bool
    ) -> tuple[Floats, Floats, float]:
        """Noisy patch, target and weight."""


def random_square(image: Floats, patch: int, generator: np.random.Generator) -> Square:
    """Draw a ``patch x patch`` square of `image`."""
    top, left = (int(generator.integers(length - patch + 1)) for length in image.shape)
    return slice(top, top + patch), slice(left, left + patch)


def resized(image: Floats, side: int) -> Floats:
    """A square image brought to ``side x side``, averaged where it becomes smaller."""
    if len(image) == side:
        return image
    tensor = torch.from_numpy(np.ascontiguousarray(image))[None, None]
    size = (side, side)
    changed = functional.interpolate(tensor, size, mode="bilinear", antialias=True)
    result: Floats = changed[0, 0].numpy()
    return result


def shares_of(images: Iterable[Floats]) -> NDArray[np.float64]:
    """How often each image is drawn from: by the root of its area; small ones hold few patches."""
    side = np.array([image.size for image in images], float) ** 0.5
    shares: NDArray[np.float64] = side / side.sum()
    return shares


def random_turn(generator: np.random.Generator) -> Callable[[Floats], Floats]:
    """Draw one of the eight rotations and reflections of a square."""
    quarter, flip = int(generator.integers(4)), bool(generator.integers(2))

    def turn(image: Floats) -> Floats:
        turned = np.rot90(image, quarter)
        return turned[:, ::-1] if flip else turned

    return turn


def noise_weight(deviation: float, *, hounsfield: bool) -> float:
    """Weight that makes quiet and noisy patches count alike.

    Parameters
    ----------
    deviation : float
        Standard deviation of the noise, in HU or as a fraction of the full range.
    hounsfield : bool
        Which of the two.
    """
    knee = _WEIGHT_KNEE_HU if hounsfield else _WEIGHT_KNEE
    return knee**2 / (knee**2 + deviation**2)


def random_deviation(
    lowest: float, highest: float, quiet_share: float, generator: np.random.Generator
) -> float:
    """Draw a noise level: log-uniform, or for a share of the draws uniform below `lowest`."""
    if generator.random() < quiet_share:
        return float(generator.uniform(0, lowest))
    return float(np.exp(generator.uniform(np.log(lowest), np.log(highest))))
