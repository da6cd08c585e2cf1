"""How far one engine is from another, in units that a reader of images knows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from model_store.engines.base import Engine, Images
from model_store.engines.golden import golden_images, golden_outputs
from model_store.engines.torch_reference import TorchEngine
from model_store.errors import EngineError, EngineUnavailableError
from model_store.manifest import Manifest
from model_store.store import ModelVersion

TWELVE_BITS = 4095.0
DEFAULT_LIMIT = 1.0
"""Largest difference of any pixel: 1 HU, or one grey level of twelve bits."""


@dataclass(frozen=True, slots=True)
class Equivalence:
    """What a comparison of two engines found.

    Parameters
    ----------
    largest, mean, rms : float
        Largest absolute, mean absolute and root mean square difference over all pixels, in `units`.
        Infinite if an engine gave values that are not finite.
    limit : float
        Largest difference that is allowed.
    units : str
        ``HU`` or ``grey levels of 12 bits``.
    images : int
        Images that were compared.
    """

    largest: float
    mean: float
    rms: float
    limit: float
    units: str
    images: int

    @property
    def passed(self) -> bool:
        """Whether no pixel differs by more than the limit."""
        return self.largest <= self.limit

    def __str__(self) -> str:
        return (
            f"largest difference {self.largest:.3g} {self.units} "
            f"(mean {self.mean:.2g}, rms {self.rms:.2g}, limit {self.limit:g})"
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
    images = golden_images(manifest)[:, np.newaxis]
    pairs = ((candidate.infer(image), reference.infer(image)) for image in images)
    return _measured(pairs, manifest, limit)


def certify(version: ModelVersion, engine: Engine, limit: float = DEFAULT_LIMIT) -> Equivalence:
    """Compare an engine with the outputs of the torch reference that the version came with.

    A version without golden outputs is run by torch now, where torch is installed.

    Parameters
    ----------
    version : ModelVersion
        Its golden file is verified as it is read.
    engine : Engine
        Of that version.
    limit : float
        Largest allowed difference of a pixel, in HU or grey levels of twelve bits.

    Raises
    ------
    EngineUnavailableError
        If the version has no golden outputs and torch cannot make them here; the message says what
        to do.
    ModelIntegrityError
        If the golden file, or what torch needs, is not what was released.
    EngineError
        If `engine` is of another version, or fails.
    """
    if engine.ref != version.ref:
        raise EngineError(f"an engine of {engine.ref} says nothing about {version.ref}")
    golden = golden_outputs(version)
    if golden is not None:
        stored = zip(golden.images[:, np.newaxis], golden.outputs[:, np.newaxis], strict=True)
        pairs = ((engine.infer(image), outputs) for image, outputs in stored)
        return _measured(pairs, version.manifest, limit)
    try:
        reference = TorchEngine(version)
    except EngineUnavailableError as error:
        raise EngineUnavailableError(
            f"{version.ref} has no golden outputs to compare with, and torch cannot make them here "
            f"({error}): get a version that its releaser ran `model-store golden` on, or install "
            "'dicom-node[train]'"
        ) from error
    with reference:
        return compare(reference, engine, version.manifest, limit=limit)


def _measured(
    pairs: Iterable[tuple[Images, Images]], manifest: Manifest, limit: float
) -> Equivalence:
    """Sum up pairs of one image each, all of one size; one at a time is held in memory."""
    in_hu = manifest.input.units == "HU"
    units = "HU" if in_hu else "grey levels of 12 bits"
    unit = manifest.input.scale if in_hu else TWELVE_BITS
    largest, absolute, squares, images = 0.0, 0.0, 0.0, 0
    for candidate, reference in pairs:
        difference = np.abs(candidate.astype(np.float64) - reference) * unit
        images += 1
        if not np.isfinite(difference).all():
            largest = absolute = squares = np.inf
            break
        largest = max(largest, float(difference.max()))
        absolute += float(difference.mean())
        squares += float(np.mean(difference**2))
    return Equivalence(
        largest=largest,
        mean=absolute / images,
        rms=float(np.sqrt(squares / images)),
        limit=limit,
        units=units,
        images=images,
    )
