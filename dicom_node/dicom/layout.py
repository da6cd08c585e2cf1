"""How the pixels of an image are laid out: the attributes of the Image Pixel module, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from dicom_node.dicom.header import number_of, text_of
from dicom_node.errors import PassThrough, PixelDataError

_MOST_PIXELS = 2**31
_DEPTHS = (8, 16, 32)


def uid_of(dataset: Dataset) -> str:
    """Return the SOP Instance UID for messages, or ``"(no UID)"``."""
    return text_of(dataset, "SOPInstanceUID") or "(no UID)"


@dataclass(frozen=True, slots=True)
class Layout:
    """The Image Pixel module (PS3.3 C.7.6.3) of a grey-scale image.

    Attributes
    ----------
    rows, columns, frames : int
        Size; every one at least 1.
    allocated, stored, high_bit : int
        Bits Allocated (8, 16 or 32), Bits Stored, High Bit.
    signed : bool
        Whether Pixel Representation is 1 (two's complement).
    inverted : bool
        Whether Photometric Interpretation is MONOCHROME1 (larger is darker).
    """

    rows: int
    columns: int
    frames: int
    allocated: int
    stored: int
    high_bit: int
    signed: bool
    inverted: bool

    @classmethod
    def read(cls, dataset: Dataset) -> Layout:
        """Read and check the module.

        Raises
        ------
        PixelDataError
            If an attribute is missing, or its value makes no image.
        PassThrough
            If the image is not grey-scale.
        """
        uid = uid_of(dataset)

        def required(keyword: str) -> int:
            number = number_of(dataset, keyword)
            if number is None or not math.isfinite(number):
                raise PixelDataError(f"{uid}: {keyword} is missing or not a number")
            return int(number)

        if number_of(dataset, "SamplesPerPixel") not in (None, 1.0):
            raise PassThrough(f"{uid}: more than one sample per pixel, not grey-scale")
        photometric = text_of(dataset, "PhotometricInterpretation") or "MONOCHROME2"
        if photometric not in ("MONOCHROME1", "MONOCHROME2"):
            raise PassThrough(f"{uid}: photometric interpretation is not grey-scale")
        rows, columns = required("Rows"), required("Columns")
        count = number_of(dataset, "NumberOfFrames")
        frames = int(count) if count is not None and math.isfinite(count) else 1
        allocated = required("BitsAllocated")
        stored = number_of(dataset, "BitsStored")
        bits = allocated if stored is None or not math.isfinite(stored) else int(stored)
        high = number_of(dataset, "HighBit")
        high_bit = bits - 1 if high is None or not math.isfinite(high) else int(high)
        layout = cls(
            rows=rows,
            columns=columns,
            frames=max(frames, 1),
            allocated=allocated,
            stored=bits,
            high_bit=high_bit,
            signed=number_of(dataset, "PixelRepresentation") == 1,
            inverted=photometric == "MONOCHROME1",
        )
        if rows < 1 or columns < 1:
            raise PixelDataError(f"{uid}: an image of {rows} rows and {columns} columns")
        if layout.pixel_count > _MOST_PIXELS:
            raise PixelDataError(f"{uid}: {layout.pixel_count} pixels are more than can be held")
        if allocated not in _DEPTHS:
            raise PixelDataError(f"{uid}: {allocated} bits allocated is not supported")
        if not 1 <= bits <= allocated or not bits - 1 <= high_bit < allocated:
            raise PixelDataError(
                f"{uid}: {bits} bits stored up to high bit {high_bit} of {allocated} allocated"
            )
        return layout

    @property
    def pixel_count(self) -> int:
        """Pixels of all frames."""
        return self.rows * self.columns * self.frames

    @property
    def byte_count(self) -> int:
        """Bytes of all frames, uncompressed."""
        return self.pixel_count * self.allocated // 8

    @property
    def word(self) -> np.dtype[Any]:
        """Unsigned integer of Bits Allocated, in native order: a pixel cell as it is stored."""
        return np.dtype(f"u{self.allocated // 8}")

    @property
    def shift(self) -> int:
        """Bits of a cell below the pixel's lowest bit."""
        return self.high_bit + 1 - self.stored

    @property
    def mask(self) -> int:
        """Bits of a cell that belong to the pixel."""
        return ((1 << self.stored) - 1) << self.shift

    @property
    def minimum(self) -> int:
        """Smallest stored value that the pixel can hold."""
        return -(1 << (self.stored - 1)) if self.signed else 0

    @property
    def maximum(self) -> int:
        """Largest stored value that the pixel can hold."""
        return (1 << (self.stored - self.signed)) - 1
