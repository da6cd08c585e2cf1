"""Partners by geometry: DICOM images of the same place in the same patient (PS3.3 C.7.6.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset
from pydicom.uid import UID
from scipy.spatial import cKDTree

from model_store.errors import DataError
from model_store.training.pairs.listing import Listing, Pair, Told, below, pair_name, some
from model_store.training.pairs.names import side_files
from model_store.training.pairs.patients import hashed, known_id, patient_of
from model_store.training.pairs.section import PairsData
from model_store.training.readers.damage import damaged
from model_store.training.readers.dicom import READ_ERRORS, read_data_set
from model_store.training.readers.kinds import FileKind, kind_of

POSITION_MM = 0.05
"""Image positions that differ by no more are the same place."""

_DIRECTION = 1e-4
SPACING = 1e-3

_TAGS = (
    "SOPClassUID",
    "PatientID",
    "SOPInstanceUID",
    "FrameOfReferenceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "ConvolutionKernel",
)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an image lies.

    Parameters
    ----------
    path : Path
        Its file.
    patient : str
        Hash of who it is of.
    frame : str
        Frame of Reference UID, empty where it has none.
    position, orientation, spacing : tuple of float
        Image Position and Orientation (Patient), Pixel Spacing, in mm.
    size : pair of int
        Rows and columns.
    kernel : str
        Convolution Kernel, empty where it has none.
    uid : str
        SOP Instance UID.
    """

    path: Path
    patient: str
    frame: str
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    size: tuple[int, int]
    kernel: str = ""
    uid: str = ""

    def fits(self, other: Placement, *, frame: bool = True) -> bool:
        """Whether two images are of the same place, made alike."""
        return (
            self.patient == other.patient
            and self.size == other.size
            and not (frame and _differ(self.frame, other.frame))
            and not _differ(self.kernel, other.kernel)
            and _near(self.position, other.position, POSITION_MM)
            and _near(self.orientation, other.orientation, _DIRECTION)
            and _near(self.spacing, other.spacing, SPACING * max(self.spacing))
        )


@dataclass(frozen=True, slots=True)
class Matching:
    """Partners by index, and indexes that have none, or several."""

    pairs: tuple[tuple[int, int], ...]
    alone: tuple[tuple[int, ...], tuple[int, ...]]
    several: tuple[tuple[int, ...], tuple[int, ...]]


def match(
    noisy: Sequence[Placement], partner: Sequence[Placement], *, frame: bool = True
) -> Matching:
    """Find the partners of images; each has one at most, and who fits several has none.

    Parameters
    ----------
    noisy, partner : sequence of Placement
        The two sides.
    frame : bool
        Whether the Frame of Reference UIDs must be the same where both have one.
    """
    fits: list[list[int]] = [[] for _ in noisy]
    back: list[list[int]] = [[] for _ in partner]
    if noisy and partner:
        tree = cKDTree([item.position for item in partner])
        reach = POSITION_MM * 3**0.5 * 1.001
        for index, item in enumerate(noisy):
            near = sorted(tree.query_ball_point(item.position, reach))
            fits[index] = [one for one in near if item.fits(partner[one], frame=frame)]
            for one in fits[index]:
                back[one].append(index)
    pairs = tuple(
        (index, found[0])
        for index, found in enumerate(fits)
        if len(found) == 1 and len(back[found[0]]) == 1
    )
    told = {index for index, _ in pairs}, {index for _, index in pairs}
    alone = tuple(
        tuple(index for index, found in enumerate(side) if not found) for side in (fits, back)
    )
    several = tuple(
        tuple(index for index, found in enumerate(side) if found and index not in done)
        for side, done in zip((fits, back), told, strict=True)
    )
    return Matching(pairs, (alone[0], alone[1]), (several[0], several[1]))


def by_geometry(section: PairsData, folder: Path, told: Told) -> Listing:
    """Match the DICOM images of the two folders of a section by where they lie.

    Raises
    ------
    DataError
        If a side is missing, an image is not DICOM or has no position, nothing has a partner, or
        images have several.
    """
    noisy, lost = _placed(section, folder, (section.noisy or "", section.noisy_pattern), told)
    partner, more = _placed(section, folder, (section.partner or "", section.partner_pattern), told)
    found = match(noisy, partner, frame=section.frame_of_reference)
    if any(found.several):
        names = [str(below(noisy[index].path, folder)) for index in found.several[0]]
        raise DataError(
            f"{some(names)}: several images of the other side lie at the same place; leave one "
            "reconstruction a folder or pattern, or list the pairs in a table"
        )
    if not found.pairs:
        raise DataError(_nothing(section, folder, noisy, partner))
    pairs = []
    for one, other in found.pairs:
        first, second = noisy[one], partner[other]
        name = pair_name(folder, first.path, second.path)
        if first.uid and first.uid == second.uid:
            raise DataError(f"{name}: the same image on both sides of a pair (SOP Instance UID)")
        pairs.append(Pair(first.path, second.path, first.patient, name))
    alone = [*lost, *more]
    alone += [noisy[index].path for index in found.alone[0]]
    alone += [partner[index].path for index in found.alone[1]]
    return Listing(tuple(pairs), tuple(sorted(str(below(path, folder)) for path in alone)))


def _placed(
    section: PairsData, folder: Path, side: tuple[str, str], told: Told
) -> tuple[list[Placement], list[Path]]:
    """The images of one side, and its DICOM files that have no place in a patient."""
    name, pattern = side
    paths = side_files(folder / name, pattern)
    found: list[Placement] = []
    lost: list[Path] = []
    for index, path in enumerate(paths):
        placed = _read(section, path, folder / name)
        if placed is None:
            lost.append(path)
        else:
            found.append(placed)
        told(f"headers of {name}", index + 1, len(paths))
    if not found:
        raise DataError(
            f"{folder / name}: none of its images has Image Position and Orientation (Patient), "
            'Pixel Spacing, Rows and Columns; state data.match = "name", or a table'
        )
    return found, lost


def _read(section: PairsData, path: Path, root: Path) -> Placement | None:
    if kind_of(path) is not FileKind.DICOM:
        raise DataError(
            f"{path}: not DICOM, so it has no geometry; take it out, let a pattern leave it out, "
            'or state data.match = "name"'
        )
    try:
        dataset = read_data_set(path, _TAGS)
        position = _numbers(dataset, "ImagePositionPatient", 3)
        orientation = _numbers(dataset, "ImageOrientationPatient", 6)
        spacing = _numbers(dataset, "PixelSpacing", 2)
        if "Rows" not in dataset and "Image Storage" in UID(str(dataset.get("SOPClassUID"))).name:
            raise ValueError("an image without Rows, so truncated")
        if not (position and orientation and spacing and "Rows" in dataset):
            return None
        identifier = str(dataset.get("PatientID") or "").strip()
        if section.patient == "dicom":
            patient = hashed(known_id(path, identifier))
        else:
            patient = patient_of(section, path, root)
        return Placement(
            path,
            patient,
            str(dataset.get("FrameOfReferenceUID") or ""),
            position,
            orientation,
            spacing,
            (int(dataset.Rows), int(dataset.Columns)),
            str(dataset.get("ConvolutionKernel") or ""),
            str(dataset.get("SOPInstanceUID") or ""),
        )
    except READ_ERRORS as error:
        raise damaged(path, "not readable as DICOM", error) from error


def _nothing(
    section: PairsData, folder: Path, noisy: Sequence[Placement], partner: Sequence[Placement]
) -> str:
    """Why nothing fits, as far as it can be told."""
    sides = f"{folder / (section.noisy or '')}, {folder / (section.partner or '')}"
    start = f"{sides}: none of {len(noisy)} images has a partner of the same geometry"
    loose = len(match(noisy, partner, frame=False).pairs)
    if section.frame_of_reference and loose:
        return (
            f"{start}; {loose} have one in all but the Frame of Reference UID: if the sides were "
            "reconstructed or made anonymous apart, state data.frame_of_reference = false"
        )
    same = [[replace(item, patient="") for item in side] for side in (noisy, partner)]
    others = len(match(*same, frame=False).pairs)
    if others:
        return (
            f"{start}; {others} have one of another patient: state in data.patient what tells "
            "patients apart"
        )
    return f"{start}; are they of the same patients, and of the same size, spacing and kernel?"


def _numbers(dataset: FileDataset, keyword: str, count: int) -> tuple[float, ...]:
    """The numbers of an element; none if they are not there or not that many."""
    found = dataset.get(keyword)
    values = tuple(float(value) for value in found) if isinstance(found, Iterable) else ()
    return values if len(values) == count and np.isfinite(values).all() else ()


def _differ(one: str, other: str) -> bool:
    """Whether both are given and not the same."""
    return bool(one and other and one != other)


def _near(one: Sequence[float], other: Sequence[float], most: float) -> bool:
    return all(abs(a - b) <= most for a, b in zip(one, other, strict=True))
