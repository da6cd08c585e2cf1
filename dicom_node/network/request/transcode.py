"""A stored data set in another transfer syntax, for a destination that does not take its own.

No value changes: headers are recoded (`dicom_node.dicom.recode`), and pixel data is compressed only
losslessly, which is checked by decoding it again. The stored file is only read.
"""

from __future__ import annotations

import io
import zlib
from typing import Any, Final, cast

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.pixels.utils import compress, decompress
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicom_node.dicom.recode import Element, recode
from dicom_node.dicom.values import PIXEL_DATA
from dicom_node.errors import EncodeError, StorageError, UnreadableObject
from dicom_node.network.request.dataset import DataSet, EncodedDataSet, StoredDataSet

_EXTENDED_OFFSETS: Final = (0x7FE00001, 0x7FE00002)
_DESCRIPTION: Final = {"PhotometricInterpretation": 0x00280004, "PlanarConfiguration": 0x00280006}
"""Elements that a decoder may have to change: how colour is laid out, not what it is."""

_PIXEL_ERRORS: Final = (
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    InvalidDicomError,
)
"""What pydicom and its codecs raise for pixel data that they cannot read or write."""


def transcode(stored: StoredDataSet, transfer_syntax_uid: str) -> DataSet:
    """Return a stored data set in a transfer syntax.

    Parameters
    ----------
    stored : StoredDataSet
        The file.
    transfer_syntax_uid : str
        The stored one (the bytes as they are), Explicit or Implicit VR Little Endian, or a
        lossless compressed one that pydicom can write.

    Returns
    -------
    DataSet
        Encoded in `transfer_syntax_uid`.

    Raises
    ------
    EncodeError
        If the conversion is not possible without changing values.
    StorageError
        If the file cannot be read.
    UnreadableObject
        If the stored data set is malformed.
    """
    source = UID(stored.transfer_syntax_uid)
    target = UID(transfer_syntax_uid)
    if source == target:
        return stored
    if source == ExplicitVRBigEndian or not source.is_transfer_syntax or source.is_private:
        raise EncodeError(f"cannot convert from transfer syntax {source} to {target}")
    data = _read(stored)
    if source == DeflatedExplicitVRLittleEndian:
        data = _inflate(data)
    implicit = source == ImplicitVRLittleEndian
    replace: dict[int, Element] = {}
    drop: tuple[int, ...] = ()
    if _is_native(source) != _is_native(target) or not _is_native(source):
        replace = _pixels(stored, target)
        drop = _EXTENDED_OFFSETS
    return EncodedDataSet(
        recode(
            data,
            from_implicit=implicit,
            to_implicit=target == ImplicitVRLittleEndian,
            replace=replace,
            drop=drop,
        )
    )


def _is_native(syntax: UID) -> bool:
    return syntax in {
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        DeflatedExplicitVRLittleEndian,
    }


def _read(stored: StoredDataSet) -> bytes:
    try:
        with stored.open() as stream:
            return stream.read()
    except OSError as error:
        raise StorageError(f"the stored file cannot be read: {error.strerror}") from error


def _inflate(data: bytes) -> bytes:
    try:
        return zlib.decompress(data, -zlib.MAX_WBITS)
    except zlib.error as error:
        raise UnreadableObject("the stored data set is malformed: it does not inflate") from error


def _pixels(stored: StoredDataSet, target: UID) -> dict[int, Element]:
    """Return Pixel Data, and what describes its colour, in the target's encoding."""
    try:
        with stored.file() as file:
            dataset: Dataset = dcmread(file)
        if "PixelData" not in dataset:
            return {}
        before = {keyword: dataset.get(keyword) for keyword in _DESCRIPTION}
        # The default of both functions would give the object another SOP Instance UID.
        if stored.transfer_syntax_uid not in {ExplicitVRLittleEndian, ImplicitVRLittleEndian}:
            decompress(dataset, as_rgb=False, generate_instance_uid=False)
        if not _is_native(target):
            dataset = _compressed(dataset, target)
    except OSError as error:
        raise StorageError(f"the stored file cannot be read: {error.strerror}") from error
    except _PIXEL_ERRORS as error:
        kind = type(error).__name__
        source = stored.transfer_syntax_uid
        message = f"cannot convert the pixel data from {source} to {target} ({kind})"
        raise EncodeError(message) from error
    elements = {PIXEL_DATA: _pixel_element(dataset)}
    for keyword, tag in _DESCRIPTION.items():
        if dataset.get(keyword) != before[keyword] and before[keyword] is not None:
            elements[tag] = _description_element(keyword, dataset.get(keyword))
    return elements


def _compressed(dataset: Dataset, target: UID) -> Dataset:
    """Return a compressed copy, having seen that it decodes to the same pixels."""
    pixels = dataset.pixel_array.copy()
    compress(dataset, target, generate_instance_uid=False)
    encoded = io.BytesIO()
    dataset.save_as(encoded, enforce_file_format=True)
    encoded.seek(0)
    again = dcmread(encoded).pixel_array
    if not np.array_equal(again, pixels):
        raise EncodeError(f"the pixel data does not survive compression to {target}")
    return dataset


def _pixel_element(dataset: Dataset) -> Element:
    element = dataset["PixelData"]
    value = cast(bytes, element.value)
    encapsulated = bool(element.is_undefined_length)
    if encapsulated:
        return Element("OB", value, encapsulated=True)
    vr = "OB" if dataset.BitsAllocated <= 8 else "OW"  # noqa: PLR2004 -- PS3.5 8.1.2
    return Element(vr, value + b"\0" * (len(value) % 2))


def _description_element(keyword: str, value: Any) -> Element:
    if keyword == "PlanarConfiguration":
        return Element("US", int(value).to_bytes(2, "little"))
    text = str(value).encode("ascii")
    return Element("CS", text + b" " * (len(text) % 2))
