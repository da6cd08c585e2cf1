"""From the bytes of Pixel Data to stored pixel cells, for every syntax that has a free decoder.

Uncompressed pixels are viewed, not copied. Compressed frames are checked against the header
before a decoder sees them: a codestream of another kind or size is an error that says so.
JPEG goes to GDCM, JPEG-LS to CharLS, JPEG 2000 to OpenJPEG, RLE to pydicom.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import gdcm
import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from dicom_node.dicom.codestream import read_codestream
from dicom_node.dicom.layout import Layout
from dicom_node.dicom.reading import VALUE_ERRORS
from dicom_node.dicom.syntaxes import DECODED, EXPLICIT_BIG_ENDIAN, Coding, Syntax
from dicom_node.dicom.uids import is_valid_uid
from dicom_node.errors import PixelDataError

_Decoder = Callable[[bytes, Layout, str, int], NDArray[Any]]
"""Takes a frame, its layout, the transfer syntax, and how many bits its values have."""

_BYTE = 8  # bits
_ITEM = b"\xfe\xff\x00\xe0"
_DECODE_ERRORS: tuple[type[Exception], ...] = (*VALUE_ERRORS, RuntimeError, MemoryError)


def decode(
    data: bytes, layout: Layout, transfer_syntax: str, *, uid: str, words: bool = True
) -> NDArray[np.unsignedinteger[Any]]:
    """Decode Pixel Data.

    Parameters
    ----------
    data : bytes
        Value of Pixel Data (7FE0,0010).
    layout : Layout
        The image's layout.
    transfer_syntax : str
        UID of the transfer syntax that the file claims.
    uid : str
        SOP Instance UID, for messages.
    words : bool
        Whether the value was written as OW: 8-bit big endian pixels are then swapped in pairs
        (PS3.5 8.1.1).

    Returns
    -------
    ndarray
        ``[N, H, W]``, unsigned cells of Bits Allocated in native order, with every bit of the
        cell as it was stored. Read-only where it is a view of `data`.

    Raises
    ------
    PixelDataError
        If the data is missing, of the wrong length, of another syntax than claimed, of a syntax
        without a decoder, or damaged.
    """
    if not data:
        raise PixelDataError(f"{uid}: pixel data is empty")
    shape = (layout.frames, layout.rows, layout.columns)
    syntax = DECODED.get(transfer_syntax)
    if syntax is None:
        raise PixelDataError(f"{uid}: transfer syntax {_name(transfer_syntax)} has no decoder")
    if not syntax.encapsulated:
        big = transfer_syntax == EXPLICIT_BIG_ENDIAN
        return _view(data, layout, big, uid, words).reshape(shape)
    if not data.startswith(_ITEM):
        raise PixelDataError(
            f"{uid}: transfer syntax says {_name(transfer_syntax)}, "
            "but the pixel data is not encapsulated"
        )
    frames = _frames(data, layout, uid)
    cells = np.empty(shape, dtype=layout.word)
    one = replace(layout, frames=1)
    for index in range(layout.frames):  # every frame is written, or there is an error
        name = f"{uid} frame {index + 1}"
        if syntax.coding is Coding.CELLS:
            view = _view(frames[index], one, False, name, words)
            cells[index] = view.reshape(shape[1:])
        else:
            cells[index] = _decode_frame(frames[index], layout, syntax, name)
    return cells


def _view(
    data: bytes, layout: Layout, big: bool, uid: str, words: bool
) -> NDArray[np.unsignedinteger[Any]]:
    expected = layout.byte_count
    if not expected <= len(data) <= expected + expected % 2:
        hint = ", and looks encapsulated" if data.startswith(_ITEM) else ""
        raise PixelDataError(f"{uid}: pixel data has {len(data)} bytes instead of {expected}{hint}")
    if big and layout.allocated == _BYTE and words:
        padded = data if len(data) % 2 == 0 else data + b"\0"
        return np.frombuffer(padded, dtype=np.uint16).byteswap().view(np.uint8)[:expected]
    stored = np.frombuffer(data, dtype=layout.word, count=layout.pixel_count)
    return stored.byteswap() if big == (sys.byteorder == "little") else stored


def _frames(data: bytes, layout: Layout, uid: str) -> list[bytes]:
    try:
        frames = list(generate_frames(data, number_of_frames=layout.frames))
    except _DECODE_ERRORS as error:
        raise PixelDataError(f"{uid}: encapsulated pixel data is damaged") from error
    if len(frames) < layout.frames:
        raise PixelDataError(f"{uid}: {len(frames)} of {layout.frames} compressed frames are there")
    return frames[: layout.frames]


def _decode_frame(
    frame: bytes, layout: Layout, syntax: Syntax, name: str
) -> NDArray[np.unsignedinteger[Any]]:
    precision = layout.allocated  # of RLE, which keeps the bytes of whole cells
    if syntax.coding is not Coding.RLE:
        precision = _precision(frame, layout, syntax, name)
    # GDCM ends the process where 8 bits are allocated and fewer are said to be stored.
    bits = _BYTE if layout.allocated == _BYTE else max(precision, layout.stored)
    failure: Exception | None = None
    for decoder in _DECODERS[syntax.coding]:
        try:
            pixels = decoder(frame, layout, syntax.uid, bits)
            break
        except _DECODE_ERRORS as error:
            failure = error
    else:
        message = f"{name}: {_name(syntax.uid)} cannot be decoded"
        raise PixelDataError(message) from failure
    # A codestream of fewer bits decodes to narrower integers; keep the two's complement value.
    wide: NDArray[np.unsignedinteger[Any]] = pixels.astype(layout.word)
    if precision > layout.high_bit or not layout.shift:
        return wide  # whole cells were compressed: every bit is where it was
    wide &= layout.word.type((1 << layout.stored) - 1)
    wide <<= layout.shift
    return wide


def _precision(frame: bytes, layout: Layout, syntax: Syntax, name: str) -> int:
    """Bits of a value of the codestream, once it was held against the header."""
    stream = read_codestream(frame)
    claim = f"{name}: transfer syntax says {_name(syntax.uid)}, but the frame"
    if stream is None:
        raise PixelDataError(f"{claim} has no readable codestream header")
    if stream.kind != syntax.coding.value:
        raise PixelDataError(f"{claim} is {stream.kind}")
    if (stream.rows, stream.columns) != (layout.rows, layout.columns):
        raise PixelDataError(
            f"{name}: header says {layout.rows} x {layout.columns} pixels, "
            f"the codestream {stream.rows} x {stream.columns}"
        )
    if stream.components != 1:
        raise PixelDataError(f"{name}: the codestream has {stream.components} components, not 1")
    if stream.precision > layout.allocated:
        raise PixelDataError(
            f"{name}: {stream.precision} bits in the codestream, {layout.allocated} allocated"
        )
    if not stream.complete and syntax.coding is not Coding.JPEG_2000:
        raise PixelDataError(f"{name}: the codestream ends before its end marker")
    return stream.precision


def _pydicom(plugin: str) -> _Decoder:
    def run(frame: bytes, layout: Layout, transfer_syntax: str, bits: int) -> NDArray[Any]:
        decoder = get_decoder(UID(transfer_syntax))
        fragment = _ITEM + b"\0\0\0\0" + _ITEM + len(frame).to_bytes(4, "little") + frame
        options: dict[str, Any] = {
            "rows": layout.rows,
            "columns": layout.columns,
            "number_of_frames": 1,
            "samples_per_pixel": 1,
            "bits_allocated": layout.allocated,
            "bits_stored": bits,
            "pixel_representation": int(layout.signed),
            "photometric_interpretation": "MONOCHROME2",
            "pixel_keyword": "PixelData",
        }
        array, _ = decoder.as_array(fragment, raw=True, decoding_plugin=plugin, **options)
        return array

    return run


def _gdcm(frame: bytes, layout: Layout, transfer_syntax: str, bits: int) -> NDArray[Any]:
    # GDCM writes warnings about its own retries to the error stream; they name no object.
    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((layout.columns, layout.rows, 1))
    image.SetDataElement(element)
    grey = gdcm.PhotometricInterpretation.MONOCHROME2
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(grey))
    syntax = gdcm.TransferSyntax.GetTSType(transfer_syntax)
    image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    image.SetPixelFormat(gdcm.PixelFormat(1, layout.allocated, bits, bits - 1, int(layout.signed)))
    text = image.GetBuffer()
    if text is None:
        raise ValueError("GDCM could not decode the frame")
    # SWIG hands bytes over as text with surrogates
    pixels = np.frombuffer(text.encode("utf-8", "surrogateescape"), dtype=layout.word)
    return pixels.reshape(layout.rows, layout.columns)


def _name(transfer_syntax: str) -> str:
    return UID(transfer_syntax).name if is_valid_uid(transfer_syntax) else "an invalid UID"


_DECODERS: Final[Mapping[Coding, Sequence[_Decoder]]] = {
    Coding.JPEG: (_gdcm,),
    Coding.JPEG_LS: (_pydicom("pyjpegls"), _pydicom("gdcm")),  # GDCM accepts more, and is slower
    Coding.JPEG_2000: (_pydicom("pylibjpeg"),),
    Coding.RLE: (_pydicom("pydicom"),),
}
"""By what they read; the first that can decides."""
