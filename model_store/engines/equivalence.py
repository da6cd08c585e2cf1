"""How far one engine is from another, in units that a reader of images knows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model_store.engines.base import Engine
from model_store.engines.golden import golden_images
from model_store.errors import EngineError
from model_store.manifest import Manifest

_TWELVE_BITS = 4095.0
DEFAULT_LIMIT = 1.0
"""Largest difference of any pixel: 1 HU, or one grey level of twelve bits."""


@dataclass(frozen=True, slots=True)
class Equivalence:
    """What a comparison of two engines found.

    Parameters
    ----------
    largest, rms : float
        Largest absolute and root mean square difference over all pixels, in `units`.
    limit : float
        Largest difference that is allowed.
    units : str
        ``HU`` or ``grey levels of 12 bits``.
    """

    largest: float
    rms: float
    limit: float
    units: str

    @property
    def passed(self) -> bool:
        """Whether no pixel differs by more than the limit."""
        return self.largest <= self.limit

    def __str__(self) -> str:
        return (
            f"largest difference {self.largest:.3g} {self.units} "
            f"(rms {self.rms:.2g}, limit {self.limit:g})"
        )


def compare(
    reference: Engine, candidate: Engine, manifest: Manifest, *, limit: float = DEFAULT_LIMIT
) -> Equivalence:
    """Run both engines over the golden images and compare what they give.

    Parameters
    ----------
    reference, candidate : Engine
        Two engines of the model version that `manifest` describes.
    manifest : Manifest
        States the units.
    limit : float
        Largest allowed difference of a pixel, in HU or grey levels of twelve bits.

    Raises
    ------
    EngineError
        If the engines are of different versions, or one of them fails.
    """
    if reference.ref != candidate.ref or manifest.ref != reference.ref:
        raise EngineError(f"{reference.ref} and {candidate.ref} cannot be compared")
    images = golden_images(manifest)
    in_hu = manifest.input.units == "HU"
    unit = manifest.input.scale if in_hu else _TWELVE_BITS
    squares, largest = 0.0, 0.0
    for image in images[:, np.newaxis]:
        difference = candidate.infer(image).astype(np.float64) - reference.infer(image)
        if not np.isfinite(difference).all():
            return Equivalence(np.inf, np.inf, limit, "HU" if in_hu else "grey levels of 12 bits")
        largest = max(largest, float(np.abs(difference).max()) * unit)
        squares += float(np.mean(difference**2)) * unit**2
    return Equivalence(
        largest,
        float(np.sqrt(squares / len(images))),
        limit,
        "HU" if in_hu else "grey levels of 12 bits",
    )
