"""Writing pixel cells and the Image Pixel module of a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicom_node.dicom.part10 import DataSetBuilder
from dicom_node.dicom.values import PIXEL_DATA
from dicom_node.errors import EncodeError
from workers.load import Source

_WORD_BITS = 16
_BYTE_BITS = 8


def cells_of(
    source: Source, denoised: Sequence[NDArray[np.float32]]
) -> NDArray[np.unsignedinteger[Any]]:
    """Return the result's pixel cells ``[N, H, W]``, laid out exactly as the source's.

    Raises
    ------
    EncodeError
        If the number of frames differs, or a frame has another size or is not finite.
    """
    if len(denoised) != source.frame_count:
        raise EncodeError(f"{source.uid}: {len(denoised)} denoised frames for {source.frame_count}")
    cells = np.empty(source.cells.shape, dtype=source.layout.word)
    for index in range(source.frame_count):  # every frame is written, or there is an error
        cells[index] = source.inverse(denoised[index], index)
    return cells


def set_pixels(
    result: DataSetBuilder,
    cells: NDArray[np.unsignedinteger[Any]],
    *,
    stored: int,
    high_bit: int,
    signed: bool,
    photometric: str,
) -> None:
    """Set the Image Pixel module (PS3.3 C.7.6.3) and native Pixel Data.

    `cells` are ``[N, H, W]``; Number of Frames is left to the caller.
    """
    result.set_integers("SamplesPerPixel", 1)
    result.set_text("PhotometricInterpretation", photometric)
    result.set_integers("Rows", cells.shape[1])
    result.set_integers("Columns", cells.shape[2])
    result.set_integers("BitsAllocated", cells.dtype.itemsize * 8)
    result.set_integers("BitsStored", stored)
    result.set_integers("HighBit", high_bit)
    result.set_integers("PixelRepresentation", int(signed))
    result.discard("PlanarConfiguration", "SmallestImagePixelValue", "LargestImagePixelValue")
    data = cells.astype(cells.dtype.newbyteorder("<"), copy=False).tobytes()
    result.set_bytes(PIXEL_DATA, "OB" if cells.dtype.itemsize == 1 else "OW", data)


@dataclass(frozen=True, slots=True)
class WordFrames:
    """Frames as the multi-frame grey-scale SC IODs want them: unsigned, MONOCHROME2.

    Attributes
    ----------
    cells : ndarray
        ``[N, H, W]`` uint8 or uint16.
    stored : int
        Bits Stored: 8 of 8, or 9 to 16 of 16.
    slope, intercept : float
        HU = cell * slope + intercept for CT; 1 and 0 for radiographs.
    padding : tuple of int, optional
        Range of cells that mean padding.
    """

    cells: NDArray[np.unsignedinteger[Any]]
    stored: int
    slope: float
    intercept: float
    padding: tuple[int, int] | None


def word_frames(source: Source, denoised: Sequence[NDArray[np.float32]]) -> WordFrames:
    """Convert frames to unsigned MONOCHROME2 words.

    Stored values are shifted to start at 0 and, for MONOCHROME1, mirrored: one to one, so that
    unchanged values stay exact. Only frames of different rescales, or of more than 16 bits, are
    put on a common scale.
    """
    layout = source.layout
    cells = cells_of(source, denoised)
    if layout.stored > _WORD_BITS or len(set(source.rescales)) > 1:
        return _common_scale(source, cells)
    mirrored = layout.inverted
    low, high = layout.minimum, layout.maximum
    integers = source.stored_values(cells).astype(np.int64)
    shifted = high - integers if mirrored else integers - low
    slope, intercept = 1.0, 0.0
    if source.rescales:
        rescale = source.rescales[0]
        slope = -rescale.slope if mirrored else rescale.slope
        start = high if mirrored else low
        intercept = rescale.intercept + start * rescale.slope
    padding = None
    if source.padding is not None:
        ends = [high - end if mirrored else end - low for end in source.padding]
        if min(ends) >= 0 and max(ends) <= high - low:
            padding = min(ends), max(ends)
    word = np.uint8 if layout.stored <= _BYTE_BITS else np.uint16
    stored = _BYTE_BITS if layout.stored <= _BYTE_BITS else layout.stored
    return WordFrames(shifted.astype(word), stored, slope, intercept, padding)


def _common_scale(source: Source, cells: NDArray[np.unsignedinteger[Any]]) -> WordFrames:
    layout = source.layout
    integers = source.stored_values(cells).astype(np.float64)
    if source.rescales:
        shape = (-1, 1, 1)
        slopes = np.array([r.slope for r in source.rescales]).reshape(shape)
        intercepts = np.array([r.intercept for r in source.rescales]).reshape(shape)
        values = integers * slopes + intercepts
        finest = float(np.abs(slopes).min())
    else:
        values = layout.maximum - integers if layout.inverted else integers - layout.minimum
        finest = 1.0
    low = float(np.floor(values.min())) if source.rescales else 0.0
    top = (1 << _WORD_BITS) - 1
    slope = max(finest, (float(values.max()) - low) / top)
    words = np.rint((values - low) / slope).clip(0, top).astype(np.uint16)
    if not source.rescales:
        return WordFrames(words, _WORD_BITS, 1.0, 0.0, None)
    return WordFrames(words, _WORD_BITS, slope, low, None)
