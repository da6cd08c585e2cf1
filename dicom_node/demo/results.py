"""Results beside their sources: pixels in the same units, and what a result says of its making."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.pixels.processing import apply_rescale

from dicom_node.demo.errors import ResultsMissing
from dicom_node.pictures import Image
from dicom_node.routing.eligibility import MODEL_NAME

_MADE_BY = re.compile(r"by model (?P<model>\S+), .*\bengine (?P<engine>.+?), route ")


@dataclass(frozen=True, slots=True)
class ResultFiles:
    """The files of a source and of its result."""

    source: Path
    result: Path


@dataclass(frozen=True, slots=True)
class Origin:
    """What a result says about how it was made.

    Parameters
    ----------
    model, engine : str
        From the Contributing Equipment Sequence (PS3.3 C.12.1).
    derivation : str
        Derivation Description.
    series_description : str
        Of the result.
    """

    model: str
    engine: str
    derivation: str
    series_description: str


def match(files: Sequence[Path], result_of: Mapping[str, Path]) -> tuple[ResultFiles, ...]:
    """Put each source beside its result.

    Parameters
    ----------
    files : sequence of Path
        Sources.
    result_of : Mapping[str, Path]
        SOP Instance UID of a source (by the result's Source Image Sequence) to result.

    Raises
    ------
    ResultsMissing
        If a source has none.
    """
    uids = {file: str(dcmread(file, stop_before_pixels=True).SOPInstanceUID) for file in files}
    missing = [uid for uid in uids.values() if uid not in result_of]
    if missing:
        raise ResultsMissing(f"no result for {', '.join(missing)}")
    return tuple(ResultFiles(file, result_of[uid]) for file, uid in uids.items())


def images(pairs: Sequence[ResultFiles]) -> Iterator[tuple[Image, Image]]:
    """Yield before and after, ``[H, W]`` float32 in HU or rescaled stored values.

    Raises
    ------
    ResultsMissing
        If a result has another size than its source.
    """
    for pair in pairs:
        before, after = pixels(dcmread(pair.source)), pixels(dcmread(pair.result))
        if before.shape != after.shape:
            raise ResultsMissing(
                f"{pair.result.name} is {after.shape[1]} x {after.shape[0]}, "
                f"its source {before.shape[1]} x {before.shape[0]}"
            )
        yield before, after


def pixels(dataset: Dataset) -> Image:
    """Return ``[H, W]`` float32 with the modality's rescale applied, in MONOCHROME2 sense."""
    stored = dataset.pixel_array
    values = np.asarray(apply_rescale(stored, dataset), np.float32)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        values = values.min() + values.max() - values
    return values


def origin(result: Dataset) -> Origin:
    """Read from a result which model and engine made it."""
    model = engine = "not stated"
    for item in result.get("ContributingEquipmentSequence") or []:
        if item.get("ManufacturerModelName") != MODEL_NAME:
            continue
        found = _MADE_BY.search(str(item.get("ContributionDescription", "")))
        if found:
            model, engine = found["model"], found["engine"]
    return Origin(
        model,
        engine,
        str(result.get("DerivationDescription", "")),
        str(result.get("SeriesDescription", "")),
    )
