"""From a stored file to frames in physical units, with all that is needed to go back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset

from dicom_node.dicom.decode import decode
from dicom_node.dicom.header import items_of, number_of, value_of
from dicom_node.dicom.layout import Layout, uid_of
from dicom_node.dicom.reading import VALUE_ERRORS, read_object
from dicom_node.dicom.values import PIXEL_DATA, UNDEFINED
from dicom_node.errors import EncodeError, FailItem, PassThrough, PixelDataError, UnreadableObject
from dicom_node.routing.eligibility import Units, units
from workers.frame import Frame

_EXACT = 2**24  # integers up to here are exact in float32


@dataclass(frozen=True, slots=True)
class Rescale:
    """HU = stored * `slope` + `intercept` (PS3.3 C.11.1.1.2); both finite, slope not 0."""

    slope: float
    intercept: float


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """An image that was read: its header, its frames, and its pixels as they were stored.

    Attributes
    ----------
    dataset : pydicom.Dataset
        The header, without pixel data.
    elements : mapping of int to raw element
        The header's public elements by tag, as bytes, before anything parsed or decoded them.
    transfer_syntax : str
        UID of the syntax that the file was stored in.
    layout : Layout
        How pixel cells are laid out.
    units : {"HU", "stored"}
        What `frames` hold.
    frames : tuple of Frame
        One per frame.
    cells : ndarray
        ``[N, H, W]`` unsigned pixel cells, with the bits that do not belong to the pixel.
    rescales : tuple of Rescale
        One per frame for HU; empty for radiographs.
    padding : tuple of int, optional
        Smallest and largest stored value that mean padding.
    pixel_bytes : int
        Length of Pixel Data as it was received; tells a compression ratio.
    """

    dataset: Dataset
    elements: Mapping[int, RawDataElement | DataElement]
    transfer_syntax: str
    layout: Layout
    units: Units
    frames: tuple[Frame, ...]
    cells: NDArray[np.unsignedinteger[Any]]
    rescales: tuple[Rescale, ...]
    padding: tuple[int, int] | None
    pixel_bytes: int

    @property
    def uid(self) -> str:
        """SOP Instance UID, for messages."""
        return uid_of(self.dataset)

    @property
    def frame_count(self) -> int:
        """Number of frames, at least 1."""
        return len(self.frames)

    def inverse(
        self, values: NDArray[np.float32], frame_index: int
    ) -> NDArray[np.unsignedinteger[Any]]:
        """Go back from physical values to pixel cells.

        Where `values` equals the frame's own value, and inside padding, the cell comes back bit
        for bit. Elsewhere the value is rounded to the nearest stored value, kept within Bits
        Stored and out of the padding range, and put into the cell's pixel bits; the other bits
        (embedded overlays) stay as they were.

        Parameters
        ----------
        values : ndarray of float32
            ``[H, W]`` in the units of `frames`.
        frame_index : int
            Which frame, from 0.

        Returns
        -------
        ndarray
            ``[H, W]`` unsigned cells of Bits Allocated, native byte order.

        Raises
        ------
        EncodeError
            If the shape differs, or a value that is not padding is NaN or infinite.
        """
        frame, cells, layout = self.frames[frame_index], self.cells[frame_index], self.layout
        if values.shape != frame.values.shape:
            raise EncodeError(f"{self.uid}: {values.shape} values for {frame.values.shape} pixels")
        changed = values != frame.values
        changed &= frame.valid
        result: NDArray[np.unsignedinteger[Any]] = cells.copy()
        if not changed.any():
            return result
        finite = np.isfinite(values)
        if not finite.all():
            if not finite[changed].all():
                raise EncodeError(f"{self.uid}: the denoised frame {frame_index + 1} is not finite")
            values = np.where(changed, values, frame.values)
        stored = self._to_stored(values, frame_index)
        new: NDArray[Any] = stored.astype(_signed(layout)).view(layout.word)
        if layout.shift:
            new = new << layout.shift
        if layout.stored != layout.allocated and not _sign_fills(cells, layout):
            mask = layout.word.type(layout.mask)
            new = (new & mask) | (cells & ~mask)
        np.copyto(result, new, where=changed)
        return result

    def stored_values(self, cells: NDArray[np.unsignedinteger[Any]]) -> NDArray[Any]:
        """Return the stored integers that pixel cells of this layout hold, in the same shape."""
        return _stored(cells, self.layout)

    def _to_stored(self, values: NDArray[np.float32], frame_index: int) -> NDArray[Any]:
        """Round to the nearest stored value that the pixel can hold and that is not padding."""
        layout = self.layout
        offset, slope = self._line(frame_index)
        stored: NDArray[Any]
        if abs(slope) == 1 and offset.is_integer() and abs(offset) + 2**layout.stored < _EXACT:
            # rounding before shifting is as exact in float32, at half the memory
            stored = np.rint(values)
            ends = sorted(((layout.minimum - offset) * slope, (layout.maximum - offset) * slope))
            np.clip(stored, *ends, out=stored)
            stored = stored.astype(np.int32)
            if slope < 0:
                np.negative(stored, out=stored)
            stored += int(offset)
        else:
            exact = values.astype(np.float64)
            exact /= slope
            exact += offset
            np.rint(exact, out=exact)
            np.clip(exact, layout.minimum, layout.maximum, out=exact)
            stored = exact.astype(np.int64)
        if self.padding is not None:
            low, high = self.padding
            inside = (stored >= low) & (stored <= high)
            if inside.any():
                stored[inside] = _outside(stored[inside], low, high, layout)
        return stored

    def _line(self, frame_index: int) -> tuple[float, float]:
        """Offset and slope of stored = values / slope + offset."""
        if self.units == "HU":
            rescale = self.rescales[frame_index]
            return -rescale.intercept / rescale.slope, rescale.slope
        if self.layout.inverted:
            return float(self.layout.maximum), -1.0
        return float(self.layout.minimum), 1.0


def load(file: Path | BinaryIO, *, name: str | None = None) -> Source:
    """Read a stored image.

    Parameters
    ----------
    file : Path or BinaryIO
        A DICOM Part 10 file; one that is open need stay so only until this returns.
    name : str, optional
        What messages call it before its SOP Instance UID has been read; absent: the file's name.

    Returns
    -------
    Source
        The image, complete in memory.

    Raises
    ------
    UnreadableObject
        If the file is not DICOM, or is truncated.
    PixelDataError
        If the pixel data is missing, of the wrong length, or cannot be decoded.
    PassThrough
        If the image is not grey-scale, or a CT image has no rescale to Hounsfield units.
    FailItem
        If the rescale is not finite or has slope 0.
    RetryLater
        If the file cannot be read at all.
    """
    name = name or (file.name if isinstance(file, Path) else "the object")
    dataset = read_object(file, name=name)
    try:
        return _load(dataset)
    except VALUE_ERRORS as error:
        raise UnreadableObject(f"{name}: a value of the header cannot be parsed") from error


def _load(dataset: FileDataset) -> Source:
    elements = {
        int(tag): dataset.get_item(tag)
        for tag in dataset.keys()  # noqa: SIM118 -- iterating a Dataset parses every element
        if not tag.is_private and tag != PIXEL_DATA
    }
    uid = uid_of(dataset)
    transfer_syntax = str(dataset.file_meta.TransferSyntaxUID)
    data, words = _pixel_data(dataset, uid)
    layout = Layout.read(dataset)
    unit = units(dataset)
    rescales = _rescales(dataset, layout, uid) if unit == "HU" else ()
    cells = decode(data, layout, transfer_syntax, uid=uid, words=words)
    pixel_bytes = len(data)
    del dataset[PIXEL_DATA], data
    padding = _padding(dataset, layout)
    frames = tuple(
        frame_of(cells[i], layout, rescales[i] if rescales else None, padding)
        for i in range(layout.frames)
    )
    return Source(
        dataset=dataset,
        elements=MappingProxyType(elements),
        transfer_syntax=transfer_syntax,
        layout=layout,
        units=unit,
        frames=frames,
        cells=cells,
        rescales=rescales,
        padding=padding,
        pixel_bytes=pixel_bytes,
    )


def _pixel_data(dataset: Dataset, uid: str) -> tuple[bytes, bool]:
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise PassThrough(f"{uid}: floating-point pixel data is not denoised")
    if PIXEL_DATA not in dataset:
        raise PixelDataError(f"{uid}: pixel data is missing")
    element = dataset.get_item(PIXEL_DATA)
    value = element.value
    if not isinstance(value, bytes):
        raise PixelDataError(f"{uid}: pixel data is empty")
    length = element.length if isinstance(element, RawDataElement) else len(value)
    if length != UNDEFINED and len(value) < length:
        raise UnreadableObject(
            f"{uid}: truncated, pixel data ends after {len(value)} of {length} bytes"
        )
    return value, element.VR != "OB"


def _rescales(dataset: Dataset, layout: Layout, uid: str) -> tuple[Rescale, ...]:
    shared = _group_items(items_of(dataset, "SharedFunctionalGroupsSequence"))
    per_frame = _group_items(items_of(dataset, "PerFrameFunctionalGroupsSequence"))
    common = shared[0] if shared and shared[0] is not None else dataset
    if not any(item is not None for item in per_frame):
        return (_rescale(common, layout, uid),) * layout.frames
    if len(per_frame) < layout.frames:
        raise FailItem(f"{uid}: {len(per_frame)} functional groups for {layout.frames} frames")
    return tuple(
        _rescale(common if item is None else item, layout, uid)
        for item in per_frame[: layout.frames]
    )


def _group_items(groups: Sequence[Dataset]) -> list[Dataset | None]:
    """Pixel value transformation of each functional group, None where it has none."""
    found = []
    for group in groups:
        items = items_of(group, "PixelValueTransformationSequence")
        found.append(items[0] if items else None)
    return found


def _rescale(dataset: Dataset, layout: Layout, uid: str) -> Rescale:
    slope = number_of(dataset, "RescaleSlope")
    intercept = number_of(dataset, "RescaleIntercept")
    for keyword, number in (("RescaleSlope", slope), ("RescaleIntercept", intercept)):
        if number is None and keyword in dataset and dataset.get_item(keyword).value:
            raise FailItem(f"{uid}: {keyword} is not a number")
    if slope is None or intercept is None:
        raise PassThrough(f"{uid}: CT without rescale, no Hounsfield units")
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise FailItem(f"{uid}: rescale slope or intercept is not finite")
    if slope == 0:
        raise FailItem(f"{uid}: rescale slope is 0")
    largest = max(abs(layout.minimum), layout.maximum) * abs(slope) + abs(intercept)
    if largest > float(np.finfo(np.float32).max):
        raise FailItem(f"{uid}: rescale makes values that are not finite")
    return Rescale(slope, intercept)


def _padding(dataset: Dataset, layout: Layout) -> tuple[int, int] | None:
    """Range of padding in stored values (PS3.3 C.7.5.1.1.2), signed as the pixels are."""
    first = _cell_value(value_of(dataset, "PixelPaddingValue"), layout)
    if first is None:
        return None
    limit = _cell_value(value_of(dataset, "PixelPaddingRangeLimit"), layout)
    second = first if limit is None else limit
    return min(first, second), max(first, second)


def _cell_value(value: Any, layout: Layout) -> int | None:
    # Writers give the value as US though the pixels are signed, or the other way round: what
    # counts are the bits of the cell.
    if isinstance(value, bytes):
        value = int.from_bytes(value[:2], "little")
    if not isinstance(value, int):
        return None
    span = 1 << layout.allocated
    wrapped = value % span
    return wrapped - span if layout.signed and wrapped >= span // 2 else wrapped


def _outside(stored: NDArray[Any], low: int, high: int, layout: Layout) -> NDArray[Any]:
    """Move values within the padding range to the nearest value beside it."""
    above, below = high + 1, low - 1
    if high >= layout.maximum:
        return np.full_like(stored, max(below, layout.minimum))
    if low <= layout.minimum:
        return np.full_like(stored, above)
    return np.where(above - stored <= stored - below, above, below)


def frame_of(
    cells: NDArray[np.unsignedinteger[Any]],
    layout: Layout,
    rescale: Rescale | None,
    padding: tuple[int, int] | None,
) -> Frame:
    """Physical values of one frame's pixel cells, ``[H, W]``."""
    stored = _stored(cells, layout)
    values: NDArray[np.float32]
    if rescale is not None:
        exact = rescale.slope == 1 and abs(rescale.intercept) < _EXACT // 2
        if exact and rescale.intercept.is_integer() and layout.stored <= 16:  # noqa: PLR2004
            values = stored.astype(np.float32)
            values += np.float32(rescale.intercept)
        else:
            values = (stored * np.float64(rescale.slope) + rescale.intercept).astype(np.float32)
    elif layout.inverted:
        values = (layout.maximum - stored.astype(np.float64)).astype(np.float32)
    elif layout.minimum:
        values = (stored.astype(np.float64) - layout.minimum).astype(np.float32)
    else:
        values = stored.astype(np.float32)
    if padding is None:
        valid = np.ones(values.shape, dtype=np.bool_)
    else:
        valid = (stored < padding[0]) | (stored > padding[1])
    return Frame(values=values, full_scale=float((1 << layout.stored) - 1), valid=valid)


def _stored(cells: NDArray[np.unsignedinteger[Any]], layout: Layout) -> NDArray[Any]:
    """Stored values as integers, from the pixel bits of the cells."""
    if layout.stored == layout.allocated:
        return cells.view(_signed(layout)) if layout.signed else cells
    bits: NDArray[Any] = (cells >> layout.shift) & layout.word.type((1 << layout.stored) - 1)
    if not layout.signed:
        return bits
    unused = layout.allocated - layout.stored  # move the sign bit up, and copy it down again
    moved: NDArray[Any] = (bits << unused).view(_signed(layout))
    return moved >> unused


def _signed(layout: Layout) -> np.dtype[Any]:
    return np.dtype(f"i{layout.allocated // 8}")


def _sign_fills(cells: NDArray[np.unsignedinteger[Any]], layout: Layout) -> bool:
    """Whether the writer filled the bits above the pixel with copies of its sign bit."""
    if not layout.signed or layout.shift:
        return False
    return bool(np.array_equal(_stored(cells, layout), cells.view(_signed(layout))))
