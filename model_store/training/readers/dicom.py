"""DICOM images: the data set of a file, and its values in HU or as a fraction of the range."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError

Floats = NDArray[np.float32]

READ_ERRORS = (
    OSError,
    EOFError,
    InvalidDicomError,
    BytesLengthException,
    AttributeError,
    KeyError,
    NotImplementedError,
    TypeError,
    ValueError,
    RuntimeError,
)
"""What pydicom and its decoders raise on files that are not what they should be."""

_PREAMBLE = 132


def read_data_set(path: Path, tags: Sequence[str] | None = None) -> FileDataset:
    """Read a file, with or without preamble; only `tags` (keywords), if given, and no pixels.

    Raises
    ------
    OSError, InvalidDicomError and others of `READ_ERRORS`
        If it is no DICOM file.
    """
    with path.open("rb") as file:
        bare = file.read(_PREAMBLE)[-4:] != b"DICM"
    return pydicom.dcmread(
        path,
        force=bare,
        stop_before_pixels=tags is not None,
        specific_tags=None if tags is None else list(tags),
    )


def hounsfield(dataset: FileDataset) -> Floats:
    """Values of a CT image in HU.

    Raises
    ------
    ValueError and others of `READ_ERRORS`
        If it has no rescale (PS3.3 C.11.1), or no single grey-scale frame.
    """
    pixels = _frame(dataset)
    if "RescaleSlope" not in dataset or "RescaleIntercept" not in dataset:
        raise ValueError("has no Rescale Slope and Intercept, so no HU")
    return pixels * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)


def fraction(dataset: FileDataset) -> Floats:
    """Values of a radiograph as fractions of the full range, in the sense of MONOCHROME2.

    Raises
    ------
    ValueError and others of `READ_ERRORS`
        If it has no single grey-scale frame.
    """
    pixels = _frame(dataset) / np.float32(2**dataset.BitsStored - 1)
    return 1 - pixels if dataset.PhotometricInterpretation == "MONOCHROME1" else pixels


def _frame(dataset: FileDataset) -> Floats:
    pixels = dataset.pixel_array.astype(np.float32)
    if pixels.ndim != 2 or not dataset.PhotometricInterpretation.startswith("MONOCHROME"):  # noqa: PLR2004
        raise ValueError("not a single grey-scale frame")
    return np.asarray(pixels)
