"""Results as Secondary Capture images (PS3.3 A.8).

A single-frame source gives a Secondary Capture Image with exactly the source's pixel layout,
photometric interpretation and rescale. A multi-frame source gives a Multi-frame Grayscale Byte or
Word Secondary Capture Image, which must be unsigned and MONOCHROME2. Geometry, frame of reference,
acquisition and display attributes are carried as a Standard Extended SOP class (PS3.2 7.3), so that
viewers stack and link results with their source.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dicom_node.dicom.header import numbers_of, text_of
from dicom_node.dicom.part10 import DataSetBuilder, Part10File, part10_file
from workers.encode.attributes import (
    ACQUISITION,
    ANIMAL,
    CINE,
    GEOMETRY,
    IMAGE,
    PATIENT_AND_STUDY,
    SERIES_AND_EQUIPMENT,
    SHUTTER,
    TYPE_2,
)
from workers.encode.carry import carry, carry_overlays, has_value
from workers.encode.functional_groups import set_functional_groups
from workers.encode.image_type import image_type
from workers.encode.pixels import cells_of, set_pixels, word_frames
from workers.encode.provenance import (
    MANUFACTURER,
    local_time,
    set_identity,
    set_lossy_history,
    set_provenance,
    set_window,
)
from workers.encode.spec import ResultSpec
from workers.encode.voi_lut import set_voi_lut
from workers.load import Source

SINGLE_FRAME = "1.2.840.10008.5.1.4.1.1.7"
MULTI_FRAME_BYTE = "1.2.840.10008.5.1.4.1.1.7.2"
MULTI_FRAME_WORD = "1.2.840.10008.5.1.4.1.1.7.3"


def encode_secondary_capture(
    source: Source, denoised: Sequence[NDArray[np.float32]], spec: ResultSpec
) -> Part10File:
    """Encode a Secondary Capture result; see `workers.encode.encode` for the parameters."""
    multi = spec.form == "secondary-capture-multiframe" or source.frame_count > 1
    result = DataSetBuilder()
    carry(source, result, *PATIENT_AND_STUDY, *SERIES_AND_EQUIPMENT, *IMAGE, *GEOMETRY)
    carry(source, result, *ACQUISITION, *SHUTTER)
    _drop_impossible_spacing(result, source)
    if multi:
        sop_class, note = _set_multi_frame(result, source, denoised)
    else:
        sop_class, note = _set_single_frame(result, source, denoised)
    set_identity(result, source, spec, sop_class)
    _set_type_2(result, source)
    _set_capture(result, source, spec)
    set_lossy_history(result, source)
    set_provenance(result, source, spec, note)
    return part10_file(result, sop_class, spec.sop_instance_uid)


def _set_single_frame(
    result: DataSetBuilder, source: Source, denoised: Sequence[NDArray[np.float32]]
) -> tuple[str, str]:
    layout = source.layout
    set_pixels(
        result,
        cells_of(source, denoised)[:1],
        stored=layout.stored,
        high_bit=layout.high_bit,
        signed=layout.signed,
        photometric="MONOCHROME1" if layout.inverted else "MONOCHROME2",
    )
    carry_overlays(source, result)
    carry(source, result, "PixelIntensityRelationship", "PixelIntensityRelationshipSign")
    if source.padding is not None:
        vr = "SS" if layout.signed else "US"
        low, high = source.padding
        if _fits(source, low) and _fits(source, high):
            result.set_integers("PixelPaddingValue", low, vr=vr)
            if high != low:
                result.set_integers("PixelPaddingRangeLimit", high, vr=vr)
    if source.rescales:
        rescale = source.rescales[0]
        result.set_decimals("RescaleIntercept", rescale.intercept)
        result.set_decimals("RescaleSlope", rescale.slope)
        carry(source, result, "RescaleIntercept", "RescaleSlope")  # as the source wrote them
        result.set_text("RescaleType", "HU")
    else:
        carry(source, result, "RescaleIntercept", "RescaleSlope", "RescaleType")
        carry(source, result, "PresentationLUTShape")
    set_voi_lut(result, source)
    return SINGLE_FRAME, set_window(result, source)


def _set_multi_frame(
    result: DataSetBuilder, source: Source, denoised: Sequence[NDArray[np.float32]]
) -> tuple[str, str]:
    words = word_frames(source, denoised)
    set_pixels(
        result,
        words.cells,
        stored=words.stored,
        high_bit=words.stored - 1,
        signed=False,
        photometric="MONOCHROME2",
    )
    result.set_integers("NumberOfFrames", source.frame_count)
    result.set_text("PresentationLUTShape", "IDENTITY")
    result.set_decimals("RescaleIntercept", words.intercept)
    result.set_decimals("RescaleSlope", words.slope)
    result.set_text("RescaleType", "HU" if source.units == "HU" else "US")
    if words.padding is not None:
        low, high = words.padding
        result.set_integers("PixelPaddingValue", low, vr="US")
        if high != low:
            result.set_integers("PixelPaddingRangeLimit", high, vr="US")
    # A display window acts on rescaled values, which stay, or on stored ones, which were mirrored
    # for MONOCHROME1; the source's window then no longer fits.
    note = ""
    if source.units == "HU" or not (source.layout.inverted or source.layout.signed):
        note = set_window(result, source)
    if has_value(source, "PerFrameFunctionalGroupsSequence"):
        set_functional_groups(result, source, words.slope, words.intercept)
    else:
        carry(source, result, *CINE)
    _set_frame_increment(result, source)
    byte = words.cells.dtype.itemsize == 1
    return MULTI_FRAME_BYTE if byte else MULTI_FRAME_WORD, note


def _drop_impossible_spacing(result: DataSetBuilder, source: Source) -> None:
    """Leave spacings out that are not two numbers above 0: viewers would measure with them."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        spacing = numbers_of(source.dataset, keyword)
        if len(spacing) != 2 or not all(0 < s < math.inf for s in spacing):  # noqa: PLR2004
            result.discard(keyword)


def _set_frame_increment(result: DataSetBuilder, source: Source) -> None:
    # PS3.3 C.8.6.3: required when there is more than one frame; it points to what is there.
    if source.frame_count == 1:
        result.discard(*CINE)
        return
    timed = any(keyword in result for keyword in ("FrameTimeVector", "FrameTime"))
    if timed and "FrameIncrementPointer" in result:
        return
    result.discard(*CINE)
    result.set_text("PageNumberVector", *(str(n + 1) for n in range(source.frame_count)))
    result.set_bytes(0x00280009, "AT", b"\x18\x00\x01\x20")  # Page Number Vector (0018,2001)


def _set_type_2(result: DataSetBuilder, source: Source) -> None:
    """Set empty what the IOD requires to be there and the source does not have."""
    for keyword in TYPE_2:
        if keyword not in result:
            result.set_text(keyword)
    if any(keyword in result for keyword in ANIMAL):  # PS3.3 C.7.1.1, Type 2C for an animal
        for keyword in ("PatientBreedCodeSequence", "BreedRegistrationSequence"):
            if keyword not in result:
                result.set_sequence(keyword, [])
    if not has_value(source, "Modality"):
        result.set_text("Modality", "OT")
    sided = ("SharedFunctionalGroupsSequence", "ImageLaterality", "Laterality")
    if not has_value(source, "BodyPartExamined") and not any(key in result for key in sided):
        result.set_text("Laterality")


def _set_capture(result: DataSetBuilder, source: Source, spec: ResultSpec) -> None:
    """Set SC Equipment, SC Image and the Image Type (PS3.3 C.8.6)."""
    at = local_time(source, spec.at)
    result.set_text("ImageType", *image_type(source, "SECONDARY"))
    result.set_text("ConversionType", "WSD")
    result.set_text("DateOfSecondaryCapture", at.strftime("%Y%m%d"))
    result.set_text("TimeOfSecondaryCapture", at.strftime("%H%M%S"))
    result.set_text("SecondaryCaptureDeviceManufacturer", MANUFACTURER)
    result.set_text("SecondaryCaptureDeviceManufacturerModelName", "dicom-node")
    result.set_text("SecondaryCaptureDeviceSoftwareVersions", spec.software_version, limit=64)
    if spec.device_serial_number:
        result.set_text("SecondaryCaptureDeviceID", spec.device_serial_number, limit=64)
    if not has_value(source, "InstitutionName") and spec.institution_name:
        result.set_text("InstitutionName", spec.institution_name, limit=64)
    if text_of(source.dataset, "BurnedInAnnotation") not in ("YES", "NO"):
        result.set_text("BurnedInAnnotation", "NO")


def _fits(source: Source, value: int) -> bool:
    """Whether a padding value can be written in the 16 bits that its VR has."""
    return -0x8000 <= value <= 0x7FFF if source.layout.signed else 0 <= value <= 0xFFFF  # noqa: PLR2004
