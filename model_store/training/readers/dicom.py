"""DICOM images: the data set of a file, and its values in HU or as a fraction of the range."""

from __future__ import annotations

import struct
import zlib
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
    LookupError,
    NotImplementedError,
    TypeError,
    ValueError,
    RuntimeError,
    ArithmeticError,
    AssertionError,
    struct.error,
    zlib.error,
)
"""What pydicom and its decoders raise on files that are not what they should be.

A node has the same list (`dicom_node.dicom.reading`) and cannot share it: neither room may import
the other. A test holds that nothing is on that list and not on this one.
"""

_PREAMBLE = 132
_STACK = 3


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
    """Values of a CT image in HU, ``[frames, rows, columns]``.

    Raises
    ------
    ValueError and others of `READ_ERRORS`
        If it has no rescale of the whole (PS3.3 C.11.1), or is not grey.
    """
    pixels = _frames(dataset)
    if "RescaleSlope" not in dataset or "RescaleIntercept" not in dataset:
        raise ValueError("has no Rescale Slope and Intercept, so no HU")
    return pixels * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)


def fraction(dataset: FileDataset) -> Floats:
    """Values of a radiograph as fractions of the full range, in the sense of MONOCHROME2.

    ``[frames, rows, columns]``.

    Raises
    ------
    ValueError and others of `READ_ERRORS`
        If it is not grey.
    """
    pixels = _frames(dataset) / np.float32(2**dataset.BitsStored - 1)
    return 1 - pixels if dataset.PhotometricInterpretation == "MONOCHROME1" else pixels


def single(frames: Floats) -> Floats:
    """The one frame of an image, ``[rows, columns]``.

    Raises
    ------
    ValueError
        If there are several.
    """
    if len(frames) != 1:
        raise ValueError(f"has {len(frames)} frames, not one")
    frame: Floats = frames[0]
    return frame


def _frames(dataset: FileDataset) -> Floats:
    if not dataset.PhotometricInterpretation.startswith("MONOCHROME"):
        raise ValueError(f"not grey: {dataset.PhotometricInterpretation}")
    pixels = dataset.pixel_array.astype(np.float32)
    return np.asarray(pixels if pixels.ndim == _STACK else pixels[None])
