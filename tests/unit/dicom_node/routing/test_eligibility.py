from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_node.errors import PassThrough
from dicom_node.routing.eligibility import check, is_own_result, units
from tests.support.factories import ct_slice, dx_image, enhanced_ct, multiframe, non_image

SC = "1.2.840.10008.5.1.4.1.1.7"


@pytest.mark.parametrize(
    "kind", ["dx", "dx-processing", "cr", "mg", "mg-processing", "io", "xa", "rf"]
)
def test_grey_scale_projections_are_denoised(kind: Any) -> None:
    found = check(dx_image(kind=kind))
    assert found.units == "stored"
    assert found.frame_count == 1


@pytest.mark.parametrize(
    ("sop_class", "units_"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", "HU"),  # CT
        ("1.2.840.10008.5.1.4.1.1.2.1", "HU"),  # Enhanced CT
        ("1.2.840.10008.5.1.4.1.1.2.2", "HU"),  # Legacy Converted Enhanced CT
        ("1.2.840.10008.5.1.4.1.1.1", "stored"),  # CR
        ("1.2.840.10008.5.1.4.1.1.1.1", "stored"),  # DX for presentation
        ("1.2.840.10008.5.1.4.1.1.1.1.1", "stored"),  # DX for processing
        ("1.2.840.10008.5.1.4.1.1.1.2", "stored"),  # MG for presentation
        ("1.2.840.10008.5.1.4.1.1.1.2.1", "stored"),  # MG for processing
        ("1.2.840.10008.5.1.4.1.1.1.3", "stored"),  # IO for presentation
        ("1.2.840.10008.5.1.4.1.1.1.3.1", "stored"),  # IO for processing
        ("1.2.840.10008.5.1.4.1.1.12.1", "stored"),  # XA
        ("1.2.840.10008.5.1.4.1.1.12.1.1", "stored"),  # Enhanced XA
        ("1.2.840.10008.5.1.4.1.1.12.2", "stored"),  # XRF
        ("1.2.840.10008.5.1.4.1.1.12.2.1", "stored"),  # Enhanced XRF
    ],
)
def test_every_class_that_is_denoised(sop_class: str, units_: str) -> None:
    assert check(ct_slice(SOPClassUID=sop_class)).units == units_


@pytest.mark.parametrize("sop_class", ["1.2.840.10008.5.1.4.1.1.20", "1.2.840.10008.5.1.4.1.1.128"])
def test_other_images_are_not(sop_class: str) -> None:
    with pytest.raises(PassThrough, match="is not an image that is denoised"):
        check(ct_slice(SOPClassUID=sop_class))


@pytest.mark.parametrize(
    "changes",
    [
        {"PhotometricInterpretation": None},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"SamplesPerPixel": None},
        {"BitsStored": None},
        {"BitsStored": 9},
        {"BitsStored": 0},  # says nothing; the pixels tell
        {"PixelPresentation": "MONOCHROME"},
        {"BurnedInAnnotation": "NO"},
        {"RescaleType": None},
        {"RescaleType": "HU_MOD"},
        {"ModalityLUTSequence": []},
        {"MultienergyCTAcquisition": "NO"},
        {"ImageType": None},
    ],
    ids=str,
)
def test_what_does_not_keep_an_image_from_being_denoised(changes: dict[str, Any]) -> None:
    found = check(ct_slice(**changes))
    assert (found.units, found.modality, found.frame_count) == ("HU", "CT", 1)


def test_a_conventional_image_of_a_multi_energy_acquisition_is_denoised() -> None:
    image = ct_slice(MultienergyCTAcquisition="YES")
    image.ImageType = ["DERIVED", "PRIMARY", "AXIAL", "CONVENTIONAL"]
    assert check(image).units == "HU"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"PixelPresentation": "COLOR"}, "pixel presentation in colour"),
        ({"PixelPresentation": "MIXED"}, "pixel presentation in colour"),
        ({"FloatPixelData": b"\0\0\0\0"}, "floating-point"),
        ({"DoubleFloatPixelData": b"\0" * 8}, "floating-point"),
        ({"SamplesPerPixel": 2}, "more than one sample"),
        ({"BitsStored": 1}, "1 bits stored: too coarse"),
        ({"RescaleSlope": ""}, "empty RescaleSlope"),
        ({"RescaleIntercept": ""}, "empty RescaleIntercept"),
        ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "CONVENTIONAL"],
          "BurnedInAnnotation": "YES"}, "burned-in"),
    ],
    ids=str,
)  # fmt: skip
def test_what_does(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(PassThrough, match=reason):
        check(ct_slice(**changes))


@pytest.mark.parametrize(
    ("image_type", "reason"),
    [
        (["DERIVED", "PRIMARY", "VOLUME", "LOCALIZER"], None),
        (["DERIVED", "PRIMARY", "MONO_E"], None),
        (["DERIVED", "PRIMARY", "PERFUSION MAP"], None),
        (["DERIVED", "SECONDARY", "SCREEN SAVE"], "screen save"),
        (["DERIVED", "PRIMARY", "MIP"], "projected"),
        (["DERIVED", "PRIMARY", "DSA"], "subtraction"),
    ],
)
def test_image_types_of_radiographs(image_type: list[str], reason: str | None) -> None:
    """What says that values are not Hounsfield units says nothing of them."""
    image = dx_image(kind="xa", ImageType=image_type)
    if reason is None:
        assert check(image).units == "stored"
    else:
        with pytest.raises(PassThrough, match=reason):
            check(image)


@pytest.mark.parametrize(("frames", "count"), [(None, 1), (0, 1), (-2, 1), (1, 1), (7, 7)])
def test_frames_are_counted_from_one(frames: int | None, count: int) -> None:
    assert check(ct_slice(NumberOfFrames=frames)).frame_count == count


def test_a_ct_slice_is_denoised_in_hounsfield_units() -> None:
    found = check(ct_slice())
    assert (found.units, found.modality, found.frame_count) == ("HU", "CT", 1)


def test_multi_frame_images_are_denoised() -> None:
    assert check(multiframe(5)).frame_count == 5
    assert check(enhanced_ct(4)).frame_count == 4


@pytest.mark.parametrize(
    "image_type",
    [
        ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"],
        ["DERIVED", "PRIMARY", "AXIAL"],
        ["DERIVED", "SECONDARY", "AXIAL"],
        ["DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"],
        ["ORIGINAL", "PRIMARY", "AXIAL", "HELIX"],
    ],
)
def test_usual_ct_image_types_are_denoised(image_type: list[str]) -> None:
    assert check(ct_slice(ImageType=image_type)).units == "HU"


@pytest.mark.parametrize(
    ("image_type", "reason"),
    [
        (["ORIGINAL", "PRIMARY", "LOCALIZER"], "localizer"),
        (["ORIGINAL", "PRIMARY", "OTHER", "CT_SOM5 TOP"], "localizer"),
        (["ORIGINAL", "PRIMARY", "SCOUT"], "localizer"),
        (["DERIVED", "SECONDARY", "OTHER", "CT_SOM5 PROT"], "protocol"),
        (["DERIVED", "SECONDARY", "SCREEN SAVE"], "screen save"),
        (["DERIVED", "SECONDARY", "DOSE_INFO"], "dose"),
        (["DERIVED", "SECONDARY", "VOLUME RENDERING"], "rendered"),
        (["DERIVED", "SECONDARY", "MIP"], "projected"),
        (["DERIVED", "PRIMARY", "AXIAL", "VMI"], "multi-energy"),
        (["DERIVED", "SECONDARY", "AXIAL", "MONOENERGETIC"], "multi-energy"),
        (["DERIVED", "PRIMARY", "AXIAL", "MAT_SPECIFIC"], "multi-energy"),
        (["DERIVED", "PRIMARY", "PERFUSION", "RCBF"], "parametric"),
        (["DERIVED", "PRIMARY", "AXIAL", "SUBTRACTION"], "subtraction"),
    ],
)
def test_other_ct_images_are_passed_with_the_reason(image_type: list[str], reason: str) -> None:
    with pytest.raises(PassThrough, match=reason):
        check(ct_slice(ImageType=image_type))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"RescaleType": "US"}, "rescale type US"),
        ({"RescaleType": "mgml"}, "rescale type MGML"),
        ({"RescaleSlope": None}, "without rescale"),
        ({"RescaleIntercept": None}, "without rescale"),
        ({"MultienergyCTAcquisition": "YES"}, "multi-energy"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "grey-scale"),
        ({"SamplesPerPixel": 3}, "grey-scale"),
        ({"BurnedInAnnotation": "YES"}, "burned-in"),
        ({"BitsStored": 8}, "too coarse"),
        ({"SOPClassUID": SC}, "secondary capture"),
        ({"SOPClassUID": SC + ".4"}, "secondary capture"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, "MR Image Storage"),
        ({"SOPClassUID": None}, "without a valid SOP class"),
    ],
)
def test_what_is_not_hounsfield_or_not_grey_is_passed(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(PassThrough, match=reason):
        check(ct_slice(**changes))


def test_a_radiograph_with_a_modality_lut_is_passed() -> None:
    image = dx_image(kind="cr")
    lut = Dataset()
    lut.LUTDescriptor = [2, 0, 16]
    lut.LUTData = b"\0\0\1\0"
    image.ModalityLUTSequence = [lut]
    with pytest.raises(PassThrough, match="not linear"):
        check(image)


@pytest.mark.parametrize(
    ("bits", "denoised"), [(1, False), (6, False), (8, True), (10, True), (16, True)]
)
def test_radiographs_of_few_bits_are_passed(bits: int, denoised: bool) -> None:
    image = dx_image(bits_stored=bits)
    if denoised:
        assert check(image).units == "stored"
    else:
        with pytest.raises(PassThrough, match="too coarse"):
            check(image)


def test_an_enhanced_ct_map_is_passed_by_its_rescale_type() -> None:
    image = enhanced_ct(2)
    group = image.SharedFunctionalGroupsSequence[0]
    group.PixelValueTransformationSequence[0].RescaleType = "US"
    with pytest.raises(PassThrough, match="rescale type US"):
        check(image)


@pytest.mark.parametrize("frame", [0, 1, 2])
@pytest.mark.parametrize(
    ("rescale_type", "denoised"),
    [("HU", True), ("HU_MOD", True), ("", True), ("hu ", True), ("US", False), ("MGML", False)],
)
def test_the_rescale_type_of_every_frame_counts(
    frame: int, rescale_type: str, denoised: bool
) -> None:
    image = enhanced_ct(3, slopes=(1.0, 2.0, 0.5))
    group = image.PerFrameFunctionalGroupsSequence[frame]
    group.PixelValueTransformationSequence[0].RescaleType = rescale_type
    if denoised:
        assert check(image).frame_count == 3
    else:
        with pytest.raises(PassThrough, match=f"rescale type {rescale_type}"):
            check(image)


@pytest.mark.parametrize("frame", [0, 1, 2])
@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
def test_the_rescale_of_every_frame_must_be_there(frame: int, keyword: str) -> None:
    image = enhanced_ct(3, slopes=(1.0, 2.0, 0.5))
    group = image.PerFrameFunctionalGroupsSequence[frame]
    delattr(group.PixelValueTransformationSequence[0], keyword)
    with pytest.raises(PassThrough, match="without rescale"):
        check(image)


def test_the_rescale_of_the_image_is_that_of_frames_without_their_own() -> None:
    image = enhanced_ct(3, slopes=(1.0, 2.0, 0.5))
    del image.PerFrameFunctionalGroupsSequence[1].PixelValueTransformationSequence
    image.RescaleSlope, image.RescaleIntercept, image.RescaleType = 1, 0, "US"
    with pytest.raises(PassThrough, match="rescale type US"):
        check(image)
    image.RescaleType = "HU"
    assert check(image).units == "HU"


@pytest.mark.parametrize(
    ("sop_class", "modality"),
    [
        ("1.2.840.10008.5.1.4.1.1.88.67", "SR"),
        ("1.2.840.10008.5.1.4.1.1.11.1", "PR"),
        ("1.2.840.10008.5.1.4.1.1.88.59", "KO"),
        ("1.2.840.10008.5.1.4.1.1.66.4", "SEG"),
        ("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT"),
        ("1.2.840.10008.5.1.4.1.1.104.1", "DOC"),
        ("1.2.840.10008.5.1.4.1.1.9.1.1", "ECG"),
    ],
)
def test_objects_that_are_no_images_are_passed(sop_class: str, modality: str) -> None:
    with pytest.raises(PassThrough, match="not an image"):
        check(non_image(sop_class, modality))


def test_an_image_that_we_contributed_to_is_our_own() -> None:
    image = ct_slice()
    assert not is_own_result(image)
    purpose = Dataset()
    purpose.CodeValue = "109103"
    purpose.CodingSchemeDesignator = "DCM"
    equipment = Dataset()
    equipment.ManufacturerModelName = "dicom-node"
    equipment.PurposeOfReferenceCodeSequence = [purpose]
    image.ContributingEquipmentSequence = [equipment]
    assert is_own_result(image)
    with pytest.raises(PassThrough, match="own result"):
        check(image)


def equipment_of_ours(*purposes: str) -> Dataset:
    equipment = Dataset()
    equipment.ManufacturerModelName = "dicom-node"
    equipment.PurposeOfReferenceCodeSequence = [Dataset() for _ in purposes]
    for item, code in zip(equipment.PurposeOfReferenceCodeSequence, purposes, strict=True):
        item.CodeValue = code
    return equipment


@pytest.mark.parametrize(
    ("purposes", "own"),
    [(["109103"], True), (["109101", "109103"], True), (["109103", "109101"], True),
     (["109101"], False), ([], False)],
)  # fmt: skip
def test_one_of_several_purposes_is_enough_and_one_there_must_be(
    purposes: list[str], own: bool
) -> None:
    """A node that only passed an image on, say, has not denoised it."""
    image = ct_slice()
    image.ContributingEquipmentSequence = [equipment_of_ours(*purposes)]
    assert is_own_result(image) is own


def contributed(item: Dataset) -> Dataset:
    outer = Dataset()
    outer.ContributingEquipmentSequence = [item]
    return outer


def replaced(item: Dataset) -> Dataset:
    """What a device kept of attributes that it replaced."""
    original, outer = Dataset(), Dataset()
    original.ModifiedAttributesSequence = [contributed(item)]
    outer.OriginalAttributesSequence = [original]
    return outer


@pytest.mark.parametrize("within", [contributed, replaced])
def test_a_data_set_that_is_nested_for_ever_is_looked_at_and_let_through(
    within: Callable[[Dataset], Dataset],
) -> None:
    image = equipment_of_ours("109103")
    for _ in range(3):
        image = within(image)
    assert is_own_result(image)
    for _ in range(1500):
        image = within(image)
    assert not is_own_result(image)


def test_one_of_several_devices_is_enough() -> None:
    other = Dataset()
    other.ManufacturerModelName = "A scanner"
    image = ct_slice()
    for devices in ([other, equipment_of_ours("109103")], [equipment_of_ours("109103"), other]):
        image.ContributingEquipmentSequence = devices
        assert is_own_result(image)


def test_an_image_that_others_denoised_is_not_our_own() -> None:
    image = ct_slice()
    purpose = Dataset()
    purpose.CodeValue = "109103"
    equipment = Dataset()
    equipment.ManufacturerModelName = "Another denoiser"
    equipment.PurposeOfReferenceCodeSequence = [purpose]
    image.ContributingEquipmentSequence = [equipment]
    assert check(image).units == "HU"


def test_an_organisation_root_tells_our_own_uids() -> None:
    image = ct_slice(SOPInstanceUID="1.2.3.4.5")
    assert is_own_result(image, uid_root="1.2.3")
    assert not is_own_result(image, uid_root="1.2.3.4.5")
    assert not is_own_result(image, uid_root="1.2.33")


def test_reasons_never_repeat_free_text() -> None:
    image = ct_slice(RescaleType="Phantom^Ada 1980")
    with pytest.raises(PassThrough) as passed:
        check(image)
    assert "ADA" not in str(passed.value).upper()


def test_units_follow_the_sop_class() -> None:
    assert units(ct_slice()) == "HU"
    assert units(enhanced_ct()) == "HU"
    assert units(dx_image()) == "stored"
