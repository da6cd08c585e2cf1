"""Grey files come back as they were, say what made them, and everything else is named."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin, TiffImagePlugin

from dicom_node.errors import PassThrough, PixelDataError
from tests.support.direct import grey, picture, values_of
from workers.direct import grey_image
from workers.direct.denoised_file import Kind
from workers.direct.grey_image import GreyImage

NOTE, SOFTWARE = "Denoised by model toy@1.0.0, strength 1", "dicom-node 9.9"
LOSSLESS: list[tuple[Kind, int, dict[str, Any]]] = [
    ("PNG", 8, {}), ("PNG", 16, {"dpi": (254, 254)}), ("TIFF", 8, {"compression": "packbits"}),
    ("TIFF", 16, {}), ("TIFF", 16, {"compression": "tiff_lzw", "dpi": (300, 300)}),
    ("TIFF", 16, {"compression": "tiff_adobe_deflate"}),
]  # fmt: skip


def rewritten(data: bytes, kind: Kind) -> bytes:
    image = GreyImage.read(data, kind)
    return image.written(image.cells, NOTE, SOFTWARE)


@pytest.mark.parametrize(("kind", "bits", "how"), LOSSLESS)
def test_what_is_read_is_written_value_for_value(
    kind: Kind, bits: int, how: dict[str, Any]
) -> None:
    values = grey(bits)
    made = rewritten(picture(values, kind, **how), kind)
    np.testing.assert_array_equal(values_of(made), values)
    assert values_of(made).dtype == values.dtype
    with Image.open(BytesIO(made)) as opened:
        assert opened.format == kind
        if "dpi" in how:
            assert opened.info["dpi"] == pytest.approx(how["dpi"])
        if "compression" in how:
            assert opened.info["compression"] == how["compression"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_a_result_says_what_made_it_and_is_known_again(kind: Kind) -> None:
    data = picture(grey(8), kind)
    assert not GreyImage.read(data, kind).is_own_result
    made = rewritten(data, kind)
    said = GreyImage.read(made, kind)
    assert said.is_own_result
    assert said.said == f"{NOTE}; made by dicom-node 9.9"
    assert rewritten(data, kind) == made, "the same gives the same bytes"


def test_a_description_that_a_tiff_has_stays() -> None:
    made = rewritten(picture(grey(16), "TIFF", description="ImageJ=1.54f"), "TIFF")
    assert GreyImage.read(made, "TIFF").said.startswith("ImageJ=1.54f\nDenoised by")


def test_a_jpeg_loses_little_and_stays_turned_as_it_was() -> None:
    exif = Image.Exif()
    exif[274] = 6
    values = grey(8)
    data = picture(values, "JPEG", quality=60, exif=exif)
    made = rewritten(data, "JPEG")
    with Image.open(BytesIO(made)) as opened:
        assert opened.getexif()[274] == 6
    assert np.abs(values_of(made).astype(int) - values_of(data)).max() <= 4


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_colour_whose_channels_are_equal_is_grey_and_stays_three_channels(kind: Kind) -> None:
    values = np.stack([grey(8)] * 3, axis=-1)
    made = rewritten(picture(values, kind), kind)
    assert values_of(made).shape == values.shape
    assert (values_of(made) == values_of(made)[..., :1]).all()


def test_a_png_is_shown_as_bright_as_before() -> None:
    chunks = PngImagePlugin.PngInfo()
    chunks.add(b"gAMA", struct.pack(">I", 45455))
    chunks.add(b"sRGB", b"\1")
    data = picture(grey(8), "PNG", pnginfo=chunks)
    with Image.open(BytesIO(rewritten(data, "PNG"))) as opened:
        assert (opened.info["gamma"], opened.info["srgb"]) == (0.45455, 1)
        opened.verify()


def test_white_may_be_zero() -> None:
    values = grey(16)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[262] = 0
    data = picture(values, "TIFF", tiffinfo=tags)
    image = GreyImage.read(data, "TIFF")
    assert image.inverted
    again = GreyImage.read(rewritten(data, "TIFF"), "TIFF")
    assert again.inverted
    np.testing.assert_array_equal(again.cells, values)


def test_words_of_a_big_endian_tiff_are_read_as_they_are_meant() -> None:
    values = grey(16)
    big = Image.frombytes("I;16B", values.shape[::-1], values.astype(">u2").tobytes())
    image = GreyImage.read(picture(big, "TIFF"), "TIFF")
    np.testing.assert_array_equal(image.cells, values)


COLOUR = np.stack([grey(8, seed=seed) for seed in range(3)], axis=-1)
PAGE = Image.fromarray(grey(8))


def deep_png(colour_type: int, depth: int, row: bytes) -> bytes:
    """A PNG of one row, of a kind that Pillow does not write."""
    width = 8 * len(row) // (depth * {0: 1, 2: 3}[colour_type])
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, colour_type, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0" + row)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@pytest.mark.parametrize(
    ("kind", "data", "why"),
    [
        ("JPEG", picture(COLOUR, "JPEG"), "colour"),
        ("PNG", picture(COLOUR, "PNG"), "colour"),
        ("TIFF", picture(COLOUR, "TIFF"), "colour"),
        ("JPEG", picture(PAGE.convert("CMYK"), "JPEG"), "colour"),
        ("PNG", deep_png(2, 16, bytes(12)), "colour of 16 bits"),
        ("PNG", deep_png(0, 4, bytes(12)), "4 bits stored: too coarse to denoise"),
        ("PNG", picture(grey(8) > 99, "PNG"), "black and white"),
        ("TIFF", picture(grey(8) > 99, "TIFF"), "black and white"),
        ("PNG", picture(PAGE.convert("LA"), "PNG"), "transparency"),
        ("PNG", picture(grey(8), "PNG", transparency=3), "transparency"),
        ("TIFF", picture(grey(16).astype(np.float32), "TIFF"), "signed or floating-point"),
        ("TIFF", picture(grey(16).astype(np.int32), "TIFF"), "signed or floating-point"),
        ("TIFF", picture(grey(8), "TIFF", save_all=True, append_images=[PAGE]), "2 pages"),
        ("PNG", picture(grey(8), "PNG", save_all=True, append_images=[PAGE.rotate(9)]), "2 pages"),
    ],
)  # fmt: skip
def test_what_is_not_grey_of_8_or_16_bits_is_named(kind: Kind, data: bytes, why: str) -> None:
    with pytest.raises(PassThrough, match=why):
        GreyImage.read(data, kind)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_palette_is_named(kind: Kind) -> None:
    with pytest.raises(PassThrough, match="palette"):
        GreyImage.read(picture(PAGE.convert("P"), kind), kind)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_a_damaged_file_is_named(kind: Kind) -> None:
    data = picture(grey(8), kind)
    for part in (data[: len(data) // 2], data[:20], data[:8] + bytes(200)):
        with pytest.raises(PixelDataError, match=f"truncated or damaged {kind}"):
            GreyImage.read(part, kind)


def test_an_image_that_would_fill_the_memory_is_refused_by_its_header(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grey_image, "MOST_PIXELS", 1_000_000)
    with pytest.raises(PixelDataError, match="more than 1 million pixels"):
        GreyImage.read(picture(np.zeros((1001, 1000), np.uint8), "PNG"), "PNG")
    bomb = bytearray(deep_png(0, 8, bytes(8)))
    bomb[16:24] = struct.pack(">II", 60_000, 60_000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bytes(bomb[12:29])))
    with pytest.raises(PixelDataError, match="million pixels"):
        GreyImage.read(bytes(bomb), "PNG")
