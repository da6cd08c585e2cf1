"""Values of headers come without surprises."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom_node.dicom.header import read_header, text_of, value_of
from dicom_node.errors import NodeError
from tests.support.factories import ct_slice, to_bytes


def raw(keyword: str, vr: str, value: bytes) -> Dataset:
    dataset = Dataset()
    tag = Tag(keyword)
    dataset[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
    return dataset


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        ("Rows", "US", b"\1"),
        ("SliceThickness", "DS", b"thick"),
        ("SeriesNumber", "IS", b"1.5"),
        ("AcquisitionDateTime", "DT", b"\xff\xfe"),
        ("ReferencedImageSequence", "SQ", b"\1\2\3"),
        ("PatientName", "PN", b"\x1b$)C\xff\xff"),
        ("StudyDate", "DA", b"20"),
    ],
)
def test_a_malformed_value_is_none_or_text_and_never_an_error(
    keyword: str, vr: str, value: bytes
) -> None:
    dataset = raw(keyword, vr, value)
    assert isinstance(text_of(dataset, keyword), str)
    value_of(dataset, keyword)


def test_absent_and_empty_are_the_same() -> None:
    dataset = Dataset()
    dataset.SeriesDescription = ""
    for keyword in ("SeriesDescription", "Modality"):
        assert value_of(dataset, keyword) is None
        assert text_of(dataset, keyword) == ""


@pytest.mark.parametrize("data", [b"", b"PHI^MARKER", b"\0" * 200, b"\0" * 128 + b"DICM"])
def test_what_is_no_object_ends_in_an_error_that_names_only_the_instance(
    tmp_path: Path, data: bytes
) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(data)
    with pytest.raises(NodeError) as caught:
        read_header(path, "1.2.3")
    assert "1.2.3" in str(caught.value)
    assert "MARKER" not in str(caught.value)


def test_pixels_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(to_bytes(ct_slice(size=(64, 64))))
    assert "PixelData" not in read_header(path, "1.2.3")
    assert "PixelData" in dcmread(path)
