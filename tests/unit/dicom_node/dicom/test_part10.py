from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread

from dicom_node.dicom.part10 import DataSetBuilder, decimal_string, part10_file


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e30, max_value=1e30))
def test_decimal_strings_fit_and_read_back(value: float) -> None:
    text = decimal_string(value)
    assert len(text) <= 16
    assert float(text) == pytest.approx(value, rel=1e-7, abs=1e-300)


def test_elements_are_written_in_order_of_tag() -> None:
    dataset = DataSetBuilder()
    dataset.set_text("PatientID", "1")
    dataset.set_text("SOPClassUID", "1.2.3")
    item = DataSetBuilder()
    item.set_text("CodeValue", "x")
    dataset.set_sequence("DerivationCodeSequence", [item])
    dataset.set_integers("Rows", 5)
    dataset.set_decimals("SliceThickness", 1.25, 2)
    read = dcmread(BytesIO(part10_file(dataset, "1.2.3", "1.2.4").data))
    assert [int(e.tag) for e in read] == sorted(int(e.tag) for e in read)
    assert read.Rows == 5
    assert read.DerivationCodeSequence[0].CodeValue == "x"
    assert read.file_meta.FileMetaInformationGroupLength > 0
    assert read.file_meta.MediaStorageSOPInstanceUID == "1.2.4"


def test_an_unknown_keyword_is_an_error() -> None:
    with pytest.raises(ValueError, match="NoSuchThing"):
        DataSetBuilder().set_text("NoSuchThing", "x")


def test_a_value_too_long_for_its_representation_is_written_as_unknown() -> None:
    dataset = DataSetBuilder()
    dataset.set_bytes(0x00081030, "LO", b"x" * 70000)
    assert dataset.encode()[4:6] == b"UN"
