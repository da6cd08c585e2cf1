"""Values that no device should write, and how deep it is looked for what was ours."""

from __future__ import annotations

import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from dicom_node.routing.eligibility import MODEL_NAME, check, is_own_result
from tests.support.factories import ct_slice


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_number_that_is_none_counts_as_absent(value: float) -> None:
    """Of another value representation than the standard has, which can hold it."""
    image = ct_slice()
    for keyword in ("NumberOfFrames", "BitsStored", "SamplesPerPixel"):
        image[keyword] = DataElement(keyword, "FD", value)
    assert check(image).frame_count == 1


@pytest.mark.parametrize(("deep", "own"), [(1, True), (16, True), (17, False)])
def test_what_was_ours_is_found_behind_fifteen_devices(deep: int, own: bool) -> None:
    """And the data set of a fault, or of somebody who means harm, costs no more than that."""
    purpose, item = Dataset(), Dataset()
    purpose.CodeValue = "109103"
    item.ManufacturerModelName = MODEL_NAME
    item.PurposeOfReferenceCodeSequence = [purpose]
    for _ in range(deep):
        outer = Dataset()
        outer.ContributingEquipmentSequence = [item]
        item = outer
    assert is_own_result(item) is own
