"""PNG, JPEG and TIFF files that hold one grey image, read and written without loss of what counts.

A file is taken only if a file of the same kind can hold the result: 8 or 16 bits of grey, or three
channels of 8 bits that are equal everywhere. 8 bits of TIFF in which white is zero come out with
black as zero; in all others a value means what it meant.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, TiffImagePlugin

from dicom_node.errors import PassThrough, PixelDataError
from workers.direct.denoised_file import Kind

Cells = NDArray[np.unsignedinteger[Any]]

JPEG_QUALITY: Final = 95
"""Of results, whatever the original had: what denoising left is not to be lost again."""

MOST_PIXELS: Final = 89_478_485
"""A quarter of a gigabyte of 24-bit pixels, Pillow's own limit; a film of 35 x 43 cm at 600 dpi."""

MARK: Final = "; made by dicom-node "
"""Stands in what a file says of itself, before the version, if it was made here."""

_ERRORS: Final = (OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError,
                  ArithmeticError, struct.error, zlib.error)  # fmt: skip
"""What Pillow raises on a malformed file."""

_GREY, _PALETTE, _COLOUR, _TRANSPARENT = 0, 3, 2, (4, 6)
_BYTE, _WORD = 8, 16
_PNG_DEPTH, _PNG_COLOUR = 24, 25
_BITS, _COMPRESSION, _PHOTOMETRIC, _DESCRIPTION, _SAMPLES = 258, 259, 262, 270, 277
_RESOLUTION: Final = (282, 283, 296)
_EXTRA, _FORMAT = 338, 339
_UNSIGNED: Final = 1
_ORIENTATION: Final = 274
_LOSSLESS: Final = frozenset({"tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"})
_CHANNELS: Final = 3
_CHUNKS: Final = "chunks"
"""Of `GreyImage.how`: what a PNG has besides, as it is written."""


@dataclass(frozen=True, slots=True, eq=False)
class GreyImage:
    """A grey image and how its file holds it.

    Parameters
    ----------
    kind : {"PNG", "JPEG", "TIFF"}
    cells : ndarray of uint8 or uint16, shape (H, W)
        Grey values as they are stored.
    channels : {1, 3}
        How often they are stored.
    inverted : bool
        Whether a larger value is darker.
    said : str
        What the file says of itself, where a result says how it was made.
    how : mapping of str to object
        What Pillow is given to write a file like it.
    """

    kind: Kind
    cells: Cells
    channels: int
    inverted: bool
    said: str
    how: Mapping[str, Any]

    @property
    def bits(self) -> int:
        """8 or 16."""
        return self.cells.dtype.itemsize * 8

    @property
    def is_own_result(self) -> bool:
        """Whether the file says that it was made here."""
        return MARK in self.said

    @classmethod
    def read(cls, data: bytes, kind: Kind) -> GreyImage:
        """Read a file.

        Raises
        ------
        PassThrough
            It is no grey image of 8 or 16 bits; the message says what it is.
        PixelDataError
            It is damaged, or too large.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of damage and size: both are found below
                picture = Image.open(BytesIO(data), formats=(kind,))
                _require_size(picture)
                _require_one(picture, kind)
                _FILES[kind](picture, data)
                said, how = _SAID[kind](picture)
                inverted = _is_inverted(picture)
                values = np.asarray(picture)
        except Image.DecompressionBombError as error:
            raise _too_large() from error
        except _ERRORS as error:
            raise PixelDataError(f"truncated or damaged {kind} ({type(error).__name__})") from error
        cells, channels = _grey(values, picture.mode)
        return cls(kind, cells, channels, inverted, said, MappingProxyType(how))

    def written(self, cells: Cells, note: str, software: str) -> bytes:
        """A file like this one with other grey values.

        Parameters
        ----------
        cells : ndarray
            As `cells`, of the same shape and dtype.
        note : str
            ASCII; how it was made. In a PNG it is the text ``Description``, in a JPEG the comment,
            in a TIFF at the end of ``ImageDescription``.
        software : str
            Name and version of what made it.
        """
        values = np.stack([cells] * _CHANNELS, axis=-1) if self.channels == _CHANNELS else cells
        text = f"{note}{MARK}{software.rpartition(' ')[2]}"
        how = dict(self.how)
        if self.kind == "PNG":
            texts = PngImagePlugin.PngInfo()
            for chunk, content in how.pop(_CHUNKS).items():
                texts.add(chunk, content)
            texts.add_text("Software", software)
            texts.add_text("Description", text)
            how["pnginfo"] = texts
        elif self.kind == "JPEG":
            how["comment"] = text
        else:
            how["software"] = software
            how["description"] = "\n".join(filter(None, (self.said, text)))
        stream = BytesIO()
        Image.fromarray(np.ascontiguousarray(values)).save(stream, self.kind, **how)
        return stream.getvalue()


def _too_large() -> PixelDataError:
    return PixelDataError(f"more than {MOST_PIXELS // 10**6} million pixels: too large")


def _require_size(picture: Image.Image) -> None:
    if picture.width * picture.height > MOST_PIXELS:
        raise _too_large()


def _require_one(picture: Image.Image, kind: Kind) -> None:
    count = getattr(picture, "n_frames", 1)
    if count > 1:
        raise PassThrough(f"a {kind} of {count} pages or frames; save each as a file of its own")


# --- what kind of pixels a file has ---------------------------------------------------------------


def _check_png(picture: Image.Image, data: bytes) -> None:
    depth, colour = data[_PNG_DEPTH], data[_PNG_COLOUR]
    if colour == _PALETTE:
        raise _palette()
    if colour in _TRANSPARENT or "transparency" in picture.info:
        raise _transparent()
    _check_bits(depth, colour == _COLOUR)


def _check_jpeg(picture: Image.Image, _data: bytes) -> None:
    if picture.mode not in ("L", "RGB"):
        raise _colour()


def _check_tiff(picture: Image.Image, _data: bytes) -> None:
    tags = _tags(picture)
    if picture.mode in ("P", "PA"):
        raise _palette()
    if tags.get(_EXTRA):
        raise _transparent()
    samples = tags.get(_SAMPLES, 1)
    if samples not in (1, _CHANNELS) or picture.mode in ("CMYK", "LAB", "YCbCr"):
        raise _colour()
    depths = set(tags.get(_BITS, (1,)))
    formats = set(tags.get(_FORMAT, (_UNSIGNED,)))
    if formats != {_UNSIGNED}:
        raise PassThrough("signed or floating-point values; save it as 8 or 16 bits, unsigned")
    if len(depths) > 1:
        raise _colour()
    _check_bits(depths.pop(), samples == _CHANNELS)


def _check_bits(depth: int, colour: bool) -> None:
    if depth == 1:
        raise PassThrough("black and white, 1 bit: not grey-scale")
    if depth < _BYTE:
        raise PassThrough(f"{depth} bits stored: too coarse to denoise")
    if depth not in (_BYTE, _WORD):
        raise PassThrough(f"{depth} bits stored; save it as 8 or 16 bits")
    if colour and depth != _BYTE:
        raise PassThrough("colour of 16 bits a channel: not grey-scale; save it as grey")


def _palette() -> PassThrough:
    return PassThrough("a palette of colours: not grey-scale; save it as grey")


def _transparent() -> PassThrough:
    return PassThrough("it has transparency, be it none anywhere; save it without")


def _colour() -> PassThrough:
    return PassThrough("colour: not grey-scale")


def _grey(values: NDArray[Any], mode: str) -> tuple[Cells, int]:
    if mode == "RGB":
        first = values[..., 0]
        if not all(np.array_equal(first, values[..., each]) for each in (1, 2)):
            raise _colour()
        return np.ascontiguousarray(first), _CHANNELS
    if mode == "L":
        return np.ascontiguousarray(values), 1
    if mode.startswith("I;16"):
        return np.ascontiguousarray(values, np.uint16), 1
    raise _colour()


def _is_inverted(picture: Image.Image) -> bool:
    """Whether white is zero; in 8 bits Pillow has turned it round already."""
    return picture.mode.startswith("I;16") and _tags(picture).get(_PHOTOMETRIC, 1) == 0


# --- what a file says, and how one like it is written ---------------------------------------------


def _like_png(picture: Image.Image) -> tuple[str, dict[str, Any]]:
    text = picture.info.get("Description", "")
    chunks = {}
    if "gamma" in picture.info:  # how bright a value is shown
        chunks[b"gAMA"] = struct.pack(">I", round(picture.info["gamma"] * 100_000))
    if "srgb" in picture.info:
        chunks[b"sRGB"] = bytes([picture.info["srgb"]])
    return str(text), _kept(picture, "icc_profile", "dpi") | {_CHUNKS: chunks}


def _like_jpeg(picture: Image.Image) -> tuple[str, dict[str, Any]]:
    comment = picture.info.get("comment", b"")
    how = _kept(picture, "icc_profile", "dpi")
    how |= {"quality": JPEG_QUALITY, "subsampling": 0}
    orientation = picture.getexif().get(_ORIENTATION, 1)
    if orientation != 1:
        exif = Image.Exif()
        exif[_ORIENTATION] = orientation
        how["exif"] = exif
    return comment.decode("latin-1") if isinstance(comment, bytes) else "", how


def _like_tiff(picture: Image.Image) -> tuple[str, dict[str, Any]]:
    had = _tags(picture)
    how = _kept(picture, "icc_profile")
    compression = picture.info.get("compression", "raw")
    if compression != "raw":
        how["compression"] = compression if compression in _LOSSLESS else "tiff_adobe_deflate"
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag in _RESOLUTION:
        if tag in had:
            tags[tag] = had[tag]
    if _is_inverted(picture):
        tags[_PHOTOMETRIC] = 0
    how["tiffinfo"] = tags
    return str(had.get(_DESCRIPTION, "")).strip("\0"), how


def _tags(picture: Image.Image) -> Mapping[int, Any]:
    """Tags of a TIFF by number; of another kind of file none."""
    found: Mapping[int, Any] = getattr(picture, "tag_v2", {})
    return found


def _kept(picture: Image.Image, *keys: str) -> dict[str, Any]:
    return {key: picture.info[key] for key in keys if picture.info.get(key)}


_FILES: Final = {"PNG": _check_png, "JPEG": _check_jpeg, "TIFF": _check_tiff}
_SAID: Final = {"PNG": _like_png, "JPEG": _like_jpeg, "TIFF": _like_tiff}
