"""Values of any image file in the units of a recipe: HU, or fractions of the full range."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model_store.errors import DataError
from model_store.training.readers.damage import damaged
from model_store.training.readers.dicom import READ_ERRORS, fraction, hounsfield, read_data_set
from model_store.training.readers.hdf5 import read_hdf5
from model_store.training.readers.kinds import FileKind, kind_of
from model_store.training.readers.nifti import read_nifti
from model_store.training.readers.pictures import read_picture
from model_store.training.readers.slices import Slices
from model_store.training.references import HIGHEST_HU, LOWEST_HU

Floats = NDArray[np.float32]
Units = Literal["HU", "stored"]

_BYTE = 255.0
_MOSTLY = 0.1
_SLACK = 0.5


@dataclass(frozen=True, slots=True)
class Scale:
    """What stored numbers mean where the file does not say: ``value = slope * stored + offset``.

    Parameters
    ----------
    units : {"HU", "stored"}
        Of the value.
    slope, offset : float, optional
        As a recipe states them; DICOM files say it themselves.
    dataset : str, optional
        Name of the data set of HDF5 files.
    """

    units: Units
    slope: float | None = None
    offset: float | None = None
    dataset: str | None = None

    @property
    def stated(self) -> bool:
        """Whether the recipe states it."""
        return self.slope is not None or self.offset is not None

    def of(self, path: Path, found: Slices) -> Floats:
        """Values of slices.

        Raises
        ------
        DataError
            If the recipe has to state what they mean, or has it wrong.
        """
        values = found.values
        if not found.final:
            slope, offset = self.slope or 1.0, self.offset or 0.0
            if self.units == "HU":
                self._meant(path, found)
            elif not self.stated and found.full_range is not None:
                slope = 1 / _range_used(path, found, found.full_range)
            values = values * np.float32(slope) + np.float32(offset)
        _finite(path, values)
        if self.units == "HU":
            _plausible_hu(path, values)
            return np.clip(values, LOWEST_HU, HIGHEST_HU)
        if values.min() < -_SLACK or values.max() > 1 + _SLACK:
            raise DataError(
                f"{path}: values of {values.min():g} to {values.max():g} are no fractions of a "
                "range: state data.slope and data.offset that make them 0 to 1"
            )
        return values

    def _meant(self, path: Path, found: Slices) -> None:
        """Make sure that stored numbers can be HU."""
        if found.full_range == _BYTE:
            raise DataError(
                f"{path}: holds 8 bits, in which no HU can be stored; give the images in 16 bits, "
                'or state input.units = "stored"'
            )
        if found.full_range is not None and self.offset is None:
            raise DataError(
                f"{path}: how do its stored numbers become HU? State data.offset (-32768 for "
                "DeepLesion, 0 if they are HU)"
            )


def read_values(path: Path, scale: Scale, index: int | None = None) -> tuple[Floats, Slices]:
    """Read all slices of a file, or one.

    Parameters
    ----------
    path : Path
        A file of any kind that is known here.
    scale : Scale
        What its numbers mean.
    index : int, optional
        Only this slice, counted from 0.

    Returns
    -------
    ndarray of shape (slices, rows, columns), Slices
        In the units of `scale`, HU clipped to -1024..3071; and what was read.

    Raises
    ------
    DataError
        If the file cannot be read or is not what the recipe says; one line that says what to do.
    """
    found = _slices(path, kind_of(path), scale, index)
    return scale.of(path, found), found


def _slices(path: Path, kind: FileKind, scale: Scale, index: int | None) -> Slices:
    if kind is FileKind.HDF5:
        return read_hdf5(path, scale.dataset, index)
    if kind is FileKind.NIFTI:
        return read_nifti(path, index)
    found = _dicom(path, scale.units) if kind is FileKind.DICOM else read_picture(path)
    if index is None:
        return found
    if not 0 <= index < len(found.values):
        raise DataError(f"{path}: has no slice {index}, counted from 0")
    return Slices(
        found.values[index : index + 1], found.full_range, found.pixel_mm, found.place, found.final
    )


def _dicom(path: Path, units: Units) -> Slices:
    try:
        dataset = read_data_set(path)
        values = hounsfield(dataset) if units == "HU" else fraction(dataset)
        spacing = dataset.get("PixelSpacing") or dataset.get("ImagerPixelSpacing")
        pixel_mm = None if spacing is None else (float(spacing[0]), float(spacing[1]))
        position = dataset.get("ImagePositionPatient")
        place = None if position is None else np.array(position, np.float64)
    except READ_ERRORS as error:
        what = "CT image" if units == "HU" else "radiograph"
        raise damaged(path, f"not a readable {what}", error) from error
    return Slices(values, None, pixel_mm, place, final=True)


def _range_used(path: Path, found: Slices, full: float) -> float:
    """The full range of integers, unless a detector of fewer bits may have made them."""
    highest = float(found.values.max())
    if full > _BYTE and 0 < highest <= full / 16:
        bits = int(highest).bit_length()
        raise DataError(
            f"{path}: its highest value, {highest:g}, has {bits} bits, in a file of "
            f"{round(full).bit_length()}: state data.slope, 1 / the detector's highest value "
            "(0.0002442 for 12 bits)"
        )
    return full


def _finite(path: Path, values: Floats) -> None:
    bad = int(values.size - np.isfinite(values).sum())
    if bad:
        raise DataError(
            f"{path}: {bad} values are NaN or infinite; fill them with what the scanner stores "
            "outside the image (-1024 HU), or take the file out"
        )


def _plausible_hu(path: Path, values: Floats) -> None:
    low, high = float(values.min()), float(values.max())
    inside = float(((values >= LOWEST_HU) & (values <= HIGHEST_HU)).mean())
    if inside < _MOSTLY or (low >= 0 and 0 < high <= 1 + _SLACK):
        raise DataError(
            f"{path}: values of {low:g} to {high:g} are no HU: state data.slope and data.offset "
            "that make them HU"
        )
