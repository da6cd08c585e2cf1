"""A result of ours is recognised whatever happened to it on the way, in every form."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, get_args

import pytest
from pydicom import config, dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_sequence

from dicom_node.errors import PassThrough
from dicom_node.routing.eligibility import check, is_own_result
from tests.support.factories import ct_slice, dx_image, enhanced_ct, multiframe, to_bytes, write
from tests.support.factories.results import result_spec
from workers.encode import Form, encode
from workers.load import load

FORMS = get_args(Form)
SOURCES: dict[str, Callable[..., Dataset]] = {
    "ct": ct_slice, "dx": dx_image, "run": multiframe, "enhanced": enhanced_ct,
}  # fmt: skip


def device(name: str = "Gateway", code: str = "109103", **attributes: Any) -> Dataset:
    """Another device's item of Contributing Equipment Sequence."""
    purpose, item = Dataset(), Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = code, "DCM", "a"
    item.PurposeOfReferenceCodeSequence = [purpose]
    item.Manufacturer = "Another"
    item.ManufacturerModelName = name
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def read_again(dataset: Dataset) -> Dataset:
    return dcmread(BytesIO(to_bytes(dataset)))


@pytest.fixture(params=[(source, form) for source in SOURCES for form in FORMS], ids=str)
def result(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    name, form = request.param
    source = load(write(SOURCES[name](size=(8, 8)), tmp_path))
    return dcmread(
        BytesIO(
            encode(source, [frame.values for frame in source.frames], result_spec(form=form)).data
        )
    )


def before(result: Dataset) -> None:
    result.ContributingEquipmentSequence.insert(0, device())


def behind(result: Dataset) -> None:
    result.ContributingEquipmentSequence += [device(), device("PACS", "109101")]


def among_many(result: Dataset) -> None:
    ours = list(result.ContributingEquipmentSequence)
    others = [device(f"Device {number}") for number in range(20)]
    result.ContributingEquipmentSequence = [*others[:13], *ours, *others[13:]]


def without_a_purpose_before(result: Dataset) -> None:
    bare = Dataset()
    bare.Manufacturer = "Another"
    result.ContributingEquipmentSequence.insert(0, bare)
    result.ContributingEquipmentSequence.insert(0, Dataset())


def in_lower_and_upper_case(result: Dataset) -> None:
    result.ContributingEquipmentSequence[-1].ManufacturerModelName = "Dicom-NODE"


def padded(result: Dataset) -> None:
    result.ContributingEquipmentSequence[-1].ManufacturerModelName = "  dicom-node   "
    code = result.ContributingEquipmentSequence[-1].PurposeOfReferenceCodeSequence[0]
    code.CodeValue = " 109103 "


def padded_with_nulls(result: Dataset) -> None:
    result.ContributingEquipmentSequence[-1].ManufacturerModelName = "dicom-node\0\0"


def with_another_purpose_too(result: Dataset) -> None:
    purposes = result.ContributingEquipmentSequence[-1].PurposeOfReferenceCodeSequence
    purposes.insert(0, device(code="109102").PurposeOfReferenceCodeSequence[0])


def within_another_devices_item(result: Dataset) -> None:
    """A device that lists what contributed before it under itself."""
    ours = list(result.ContributingEquipmentSequence)
    result.ContributingEquipmentSequence = [device(ContributingEquipmentSequence=ours)]


def among_the_original_attributes(result: Dataset) -> None:
    """A device that replaced the sequence, and keeps what was there (PS3.3 C.12.1.1.9)."""
    kept, original = Dataset(), Dataset()
    kept.ContributingEquipmentSequence = list(result.ContributingEquipmentSequence)
    original.ModifiedAttributesSequence = [kept]
    original.ReasonForTheAttributeModification = "COERCE"
    result.ContributingEquipmentSequence = [device()]
    result.OriginalAttributesSequence = [Dataset(), original]


def as_unknown(result: Dataset) -> None:
    """A device that does not know the sequence writes it as UN (PS3.5 6.2.2)."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, True
    sequence = result["ContributingEquipmentSequence"]
    write_sequence(buffer, sequence, ["iso8859"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "replace_un_with_known_vr", False)
        result[sequence.tag] = DataElement(sequence.tag, "UN", buffer.getvalue())


def nothing(result: Dataset) -> None:
    """It comes back as it went."""


@pytest.mark.parametrize(
    "happened",
    [
        nothing, before, behind, among_many, without_a_purpose_before, in_lower_and_upper_case,
        padded, padded_with_nulls, with_another_purpose_too, within_another_devices_item,
        among_the_original_attributes, as_unknown,
    ],
    ids=lambda happened: happened.__name__,
)  # fmt: skip
def test_it_is_recognised(result: Dataset, happened: Callable[[Dataset], None]) -> None:
    happened(result)
    back = read_again(result)
    assert is_own_result(back)
    with pytest.raises(PassThrough, match="own result"):
        check(back)


@pytest.mark.parametrize("form", FORMS)
def test_a_source_that_others_contributed_to_keeps_them_and_gets_our_mark(
    tmp_path: Path, form: str
) -> None:
    image = ct_slice(size=(8, 8), ContributingEquipmentSequence=[device("A"), device("B")])
    assert not is_own_result(image)
    source = load(write(image, tmp_path))
    result = dcmread(
        BytesIO(encode(source, [source.frames[0].values], result_spec(form=form)).data)
    )
    names = [item.ManufacturerModelName for item in result.ContributingEquipmentSequence]
    assert names == ["A", "B", "dicom-node"]
    assert is_own_result(result)


@pytest.mark.parametrize(
    "others",
    [
        [device()],
        [device("dicom-node", "109102")],
        [device("dicom-nodes")],
        [device("my dicom-node")],
        [device("Gateway", ContributingEquipmentSequence=[device("PACS")])],
        [device(StationName="dicom-node")],
        [],
    ],
)
def test_what_others_made_is_not_ours(others: list[Dataset]) -> None:
    image = ct_slice(size=(8, 8), ContributingEquipmentSequence=others)
    assert not is_own_result(read_again(image))
    assert check(image).units == "HU"


def test_items_within_items_are_looked_through_to_a_depth() -> None:
    """What nests without end is no chain of devices."""
    for depth, found in ((15, True), (16, False), (50, False)):
        item = device("dicom-node")
        kept = device(ContributingEquipmentSequence=[item])
        for _ in range(depth):
            item = device(ContributingEquipmentSequence=[item])
            original, outer = Dataset(), Dataset()
            original.ModifiedAttributesSequence = [kept]
            outer.OriginalAttributesSequence = [original]
            kept = outer
        image = ct_slice(size=(8, 8), ContributingEquipmentSequence=[item])
        assert is_own_result(image) is found
        assert is_own_result(kept) is found
