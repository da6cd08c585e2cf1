"""NIfTI volumes: slices across the third axis, in the values that the header's scale makes."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from model_store.errors import DataError
from model_store.training.readers.damage import damaged
from model_store.training.readers.optional import needed_for
from model_store.training.readers.slices import Slices

_FLAT, _VOLUME = 2, 3
_SECOND = (b"n+2\0", 4)


def read_nifti(path: Path, index: int | None = None) -> Slices:
    """Read a volume, or one image.

    Parameters
    ----------
    path : Path
        One file, packed by gzip or not, whatever its name.
    index : int, optional
        Only this slice.

    Raises
    ------
    DataError
        If the file is damaged, or has more than three dimensions or no such slice.
    """
    with needed_for("NIfTI", "nibabel"):
        import nibabel  # noqa: PLC0415
    try:
        data = path.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
        magic, at = _SECOND
        second = data[at : at + len(magic)] == magic
        volume: Any = (nibabel.Nifti2Image if second else nibabel.Nifti1Image).from_bytes(data)
        values = np.asarray(volume.dataobj, dtype=np.float32)
        spacing = [float(value) for value in volume.header.get_zooms()]
        affine = np.asarray(volume.affine, np.float64)
    except (
        OSError,
        EOFError,
        ValueError,
        TypeError,
        zlib.error,
        nibabel.filebasedimages.ImageFileError,
        nibabel.spatialimages.HeaderDataError,
    ) as error:
        raise damaged(path, "truncated or damaged NIfTI file", error) from error
    while values.ndim > _VOLUME and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim not in {_FLAT, _VOLUME}:
        raise DataError(f"{path}: has {values.ndim} dimensions; split it into volumes of three")
    slices = values.T if values.ndim == _VOLUME else values.T[None]
    if index is not None:
        if not 0 <= index < len(slices):
            raise DataError(f"{path}: has no slice {index}, counted from 0")
        slices = slices[index : index + 1]
    return Slices(np.ascontiguousarray(slices), None, (spacing[1], spacing[0]), affine)
