"""Clean reference images read from files: CT slices in HU, radiographs scaled to 0..1."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.restoration import denoise_tv_chambolle

from model_store.errors import DataError
from model_store.training.readers.dicom import (
    READ_ERRORS,
    fraction,
    hounsfield,
    read_data_set,
    single,
)
from model_store.training.readers.kinds import is_dicom

Floats = NDArray[np.float32]

LOWEST_HU = -1024.0
HIGHEST_HU = 3071.0

_REMEDY = "restore the file, or take it out of the folder or of the recipe's sources"


@dataclass(frozen=True, slots=True)
class CtSlice:
    """One CT slice.

    Parameters
    ----------
    hounsfield : ndarray of shape (rows, columns), float32
        Values in HU, clipped to -1024..3071.
    valid : ndarray of bool, same shape
        False where the stored value was padding (below -1024 HU).
    pixel_mm : float
        Pixel spacing in millimetres.
    """

    hounsfield: Floats
    valid: NDArray[np.bool_]
    pixel_mm: float

    def smaller(self, scale: int, smooth: float = 0.0, total_variation: float = 0.0) -> CtSlice:
        """Average blocks of ``scale x scale`` pixels, after a Gaussian of `smooth` pixels.

        A `total_variation` above 0 then removes noise that is left: the weight, in HU, of
        Chambolle's total variation denoising (2004), which keeps edges of a few times that height.
        """
        image = ndimage.gaussian_filter(self.hounsfield, smooth) if smooth else self.hounsfield
        valid = self.valid
        if scale > 1:
            image = block_mean(image, scale)
            valid = block_mean(valid.astype(np.float32), scale) > 0.99  # noqa: PLR2004
        if total_variation:
            flat = denoise_tv_chambolle(image, weight=total_variation, max_num_iter=60)  # type: ignore[no-untyped-call]
            image = flat.astype(np.float32)
        return CtSlice(image, valid, self.pixel_mm * scale)


def block_mean(image: Floats, scale: int) -> Floats:
    """Average blocks of ``scale x scale`` pixels; rows and columns left over are dropped."""
    rows, columns = (length // scale for length in image.shape)
    cut = image[: rows * scale, : columns * scale]
    result: Floats = cut.reshape(rows, scale, columns, scale).mean((1, 3), dtype=np.float32)
    return result


def read_ct_slice(path: Path) -> CtSlice:
    """Read one CT image.

    Raises
    ------
    DataError
        If the file is not a readable CT image with rescale and pixel spacing.
    """
    try:
        dataset = read_data_set(path)
        image = single(hounsfield(dataset))
        spacing = float(dataset.PixelSpacing[0])
    except READ_ERRORS as error:
        raise DataError(f"{path}: not a readable CT image: {error}; {_REMEDY}") from error
    valid = image >= LOWEST_HU
    return CtSlice(np.clip(image, LOWEST_HU, HIGHEST_HU).astype(np.float32), valid, spacing)


def read_ct_folder(folder: Path) -> list[CtSlice]:
    """Read all CT images below `folder`, in the order of their names.

    Raises
    ------
    DataError
        If the folder is missing, has no ``.dcm`` file, or one cannot be read.
    """
    return [read_ct_slice(path) for path in list_files(folder, "*.dcm")]


def list_files(folder: Path, pattern: str) -> list[Path]:
    """Files below `folder` that match `pattern`, sorted.

    Raises
    ------
    DataError
        If there are none.
    """
    paths = sorted(path for path in folder.rglob(pattern) if path.is_file())
    if not paths:
        raise DataError(f"{folder}: no file matches {pattern}")
    return paths


def read_radiograph(path: Path) -> Floats:
    """Read a radiograph as 0..1 in the sense of MONOCHROME2.

    Raises
    ------
    DataError
        If the file is not a readable grey-scale image.
    """
    try:
        if is_dicom(path):
            return _read_dicom_radiograph(path)
        with Image.open(path) as picture:
            deep = picture.mode.startswith("I;16") or picture.mode == "I"
            pixels = np.asarray(picture if deep else picture.convert("L"), dtype=np.float32)
    except OSError as error:
        raise DataError(f"{path}: not a readable image: {error}; {_REMEDY}") from error
    return pixels / np.float32(65535 if deep else 255)


def _read_dicom_radiograph(path: Path) -> Floats:
    try:
        return single(fraction(read_data_set(path)))
    except READ_ERRORS as error:
        raise DataError(f"{path}: not a readable radiograph: {error}; {_REMEDY}") from error
