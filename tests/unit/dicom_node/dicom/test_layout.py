"""The Image Pixel module as it is read; every expected number is by hand."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_node.dicom.header import number_of, value_of
from dicom_node.dicom.layout import Layout, uid_of
from dicom_node.errors import PassThrough, PixelDataError


def module(**changes: Any) -> Dataset:
    dataset = Dataset()
    dataset.SOPInstanceUID = "1.2.3"
    parts = {
        "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "Rows": 2, "Columns": 3,
        "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0,
    } | changes  # fmt: skip
    for keyword, value in parts.items():
        if value is not None:
            setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("allocated", "stored", "high", "signed", "shift", "mask", "minimum", "maximum"),
    [
        (8, 8, 7, 0, 0, 0xFF, 0, 255),
        (8, 8, 7, 1, 0, 0xFF, -128, 127),
        (8, 6, 7, 0, 2, 0xFC, 0, 63),
        (16, 12, 11, 0, 0, 0x0FFF, 0, 4095),
        (16, 12, 15, 0, 4, 0xFFF0, 0, 4095),
        (16, 12, 13, 1, 2, 0x3FFC, -2048, 2047),
        (16, 16, 15, 0, 0, 0xFFFF, 0, 65535),
        (16, 16, 15, 1, 0, 0xFFFF, -32768, 32767),
        (16, 1, 0, 0, 0, 0x0001, 0, 1),
        (32, 32, 31, 0, 0, 0xFFFFFFFF, 0, 4294967295),
        (32, 32, 31, 1, 0, 0xFFFFFFFF, -2147483648, 2147483647),
        (32, 20, 23, 1, 4, 0x00FFFFF0, -524288, 524287),
    ],
)
def test_what_a_cell_holds(
    *, allocated: int, stored: int, high: int, signed: int, shift: int, mask: int, minimum: int,
    maximum: int,
) -> None:  # fmt: skip
    layout = Layout.read(
        module(BitsAllocated=allocated, BitsStored=stored, HighBit=high, PixelRepresentation=signed)
    )
    assert (layout.allocated, layout.stored, layout.high_bit) == (allocated, stored, high)
    assert layout.signed is bool(signed)
    assert (layout.shift, layout.mask) == (shift, mask)
    assert (layout.minimum, layout.maximum) == (minimum, maximum)
    assert layout.word == f"u{allocated // 8}"


def test_how_much_there_is() -> None:
    layout = Layout.read(module(NumberOfFrames=5))
    assert (layout.rows, layout.columns, layout.frames) == (2, 3, 5)
    assert (layout.pixel_count, layout.byte_count) == (30, 60)
    wide = Layout.read(module(BitsAllocated=32, NumberOfFrames=5))
    assert (wide.pixel_count, wide.byte_count) == (30, 120)


@pytest.mark.parametrize(
    ("changes", "attribute", "value"),
    [
        ({"NumberOfFrames": None}, "frames", 1),
        ({"NumberOfFrames": 0}, "frames", 1),
        ({"NumberOfFrames": -3}, "frames", 1),
        ({"NumberOfFrames": ""}, "frames", 1),
        ({"BitsStored": None, "HighBit": None}, "stored", 16),
        ({"BitsStored": None, "HighBit": None}, "high_bit", 15),
        ({"HighBit": None}, "high_bit", 11),
        ({"PixelRepresentation": None}, "signed", False),
        ({"PixelRepresentation": 1}, "signed", True),
        ({"PhotometricInterpretation": None}, "inverted", False),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "inverted", True),
        ({"PhotometricInterpretation": "MONOCHROME1 "}, "inverted", True),
        ({"SamplesPerPixel": None}, "rows", 2),
    ],
)
def test_what_is_missing_or_odd_has_its_usual_value(
    changes: dict[str, Any], attribute: str, value: object
) -> None:
    assert getattr(Layout.read(module(**changes)), attribute) == value


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Rows": None}, "Rows is missing"),
        ({"Columns": None}, "Columns is missing"),
        ({"BitsAllocated": None}, "BitsAllocated is missing"),
        ({"Rows": 0}, "an image of 0 rows and 3 columns"),
        ({"Columns": 0}, "an image of 2 rows and 0 columns"),
        ({"BitsAllocated": 12}, "12 bits allocated is not supported"),
        ({"BitsAllocated": 64}, "64 bits allocated is not supported"),
        ({"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}, "1 bits allocated"),
        ({"BitsStored": 0, "HighBit": 0}, "0 bits stored up to high bit 0 of 16"),
        ({"BitsStored": 17, "HighBit": 15}, "17 bits stored"),
        ({"HighBit": 10}, "12 bits stored up to high bit 10"),
        ({"HighBit": 16}, "12 bits stored up to high bit 16"),
        ({"Rows": 32768, "Columns": 32768, "NumberOfFrames": 3}, "3221225472 pixels are more"),
    ],
)
def test_what_makes_no_image_is_an_error_with_its_uid(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(PixelDataError, match=rf"1\.2\.3: {reason}"):
        Layout.read(module(**changes))


def test_the_most_pixels_that_can_be_held() -> None:
    most = module(Rows=32768, Columns=32768, NumberOfFrames=2)
    assert Layout.read(most).pixel_count == 2**31


@pytest.mark.parametrize(
    "changes", [{"SamplesPerPixel": 3}, {"PhotometricInterpretation": "RGB"}], ids=str
)
def test_colour_is_passed(changes: dict[str, Any]) -> None:
    with pytest.raises(PassThrough, match=r"1\.2\.3: .* not grey-scale"):
        Layout.read(module(**changes))


@pytest.mark.parametrize(
    ("keyword", "value", "number"),
    [
        ("WindowWidth", ["40", "80"], 40.0),
        ("WindowWidth", "12.5", 12.5),
        ("WindowWidth", "", None),
        ("WindowWidth", None, None),
        ("Rows", 7, 7.0),
        ("ImageComments", "seven", None),
        ("ImageComments", "1e999", float("inf")),
        ("ImageType", [], None),
    ],
)
def test_the_first_value_as_a_number(keyword: str, value: object, number: float | None) -> None:
    dataset = Dataset()
    if value is not None:
        setattr(dataset, keyword, value)
    assert number_of(dataset, keyword) == number


def test_an_image_without_uid_has_a_name_all_the_same() -> None:
    assert uid_of(Dataset()) == "(no UID)"
    assert uid_of(module()) == "1.2.3"
    assert value_of(Dataset(), "Rows") is None
