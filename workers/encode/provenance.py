"""What every result says about where it comes from, whatever its form."""

from __future__ import annotations

import math
import re
from datetime import datetime

from dicom_node.dicom.header import numbers_of, text_of
from dicom_node.dicom.part10 import DataSetBuilder
from dicom_node.dicom.syntaxes import DECODED
from dicom_node.errors import EncodeError
from dicom_node.routing.eligibility import MODEL_NAME, MODIFYING_EQUIPMENT
from workers.encode.carry import carry, has_value, items_of
from workers.encode.spec import ResultSpec
from workers.load import Source

MANUFACTURER = "dicom-node"

SMOOTHING = ("113087", "DCM", "Smoothing")
"""CID 7203 has no code for denoising by a network; this is its nearest term (PS3.16)."""

SOURCE_IMAGE = ("121322", "DCM", "Source image for image processing operation")
_MODIFYING = (MODIFYING_EQUIPMENT, "DCM", "Modifying Equipment")

_REFERABLE = re.compile(r"[0-9.]{1,64}")
_WINDOW = ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction")
_WINDOW_NOTE = " The source's display window was impossible and was left out."


def code_item(code: tuple[str, str, str]) -> DataSetBuilder:
    """Return a code sequence item (PS3.3 8.8)."""
    item = DataSetBuilder()
    item.set_text("CodeValue", code[0])
    item.set_text("CodingSchemeDesignator", code[1])
    item.set_text("CodeMeaning", code[2])
    return item


def set_identity(
    result: DataSetBuilder, source: Source, spec: ResultSpec, sop_class_uid: str
) -> None:
    """Set SOP Common, the series, and the time of creation."""
    at = local_time(source, spec.at)
    result.set_text("SOPClassUID", sop_class_uid)
    result.set_text("SOPInstanceUID", spec.sop_instance_uid)
    result.set_text("SeriesInstanceUID", spec.series_instance_uid)
    result.set_integers("SeriesNumber", spec.series_number)
    result.set_text("SeriesDescription", spec.series_description.strip(), limit=64)
    result.set_text("InstanceCreationDate", at.strftime("%Y%m%d"))
    result.set_text("InstanceCreationTime", at.strftime("%H%M%S"))
    result.discard("InstanceCreatorUID")


def set_provenance(
    result: DataSetBuilder, source: Source, spec: ResultSpec, note: str = ""
) -> None:
    """Set derivation, source image and contributing equipment.

    Derivation Description and Code, Source Image Sequence: PS3.3 C.7.6.1 and C.12.4;
    Contributing Equipment Sequence: C.12.1; Referenced Series Sequence: C.12.2.
    """
    result.set_text("DerivationDescription", spec.derivation_description + note, limit=1024)
    result.set_sequence("DerivationCodeSequence", [code_item(SMOOTHING)])
    reference = _reference(source)
    reference.set_text("SpatialLocationsPreserved", "YES")
    reference.set_sequence("PurposeOfReferenceCodeSequence", [code_item(SOURCE_IMAGE)])
    result.set_sequence("SourceImageSequence", [reference])
    series_uid = text_of(source.dataset, "SeriesInstanceUID")
    if _REFERABLE.fullmatch(series_uid):
        series = DataSetBuilder()
        series.set_text("SeriesInstanceUID", series_uid)
        series.set_sequence("ReferencedInstanceSequence", [_reference(source)])
        result.set_sequence("ReferencedSeriesSequence", [series])
    others = items_of(source, "ContributingEquipmentSequence")
    result.set_sequence("ContributingEquipmentSequence", [*others, _equipment(spec)])


def set_window(result: DataSetBuilder, source: Source) -> str:
    """Carry the display window over where it is possible; return a note where it is not.

    PS3.3 C.11.2.1.2: width at least 1 (above 0 for LINEAR_EXACT and SIGMOID), as many centers as
    widths, all finite.
    """
    result.discard(*_WINDOW)
    if not has_value(source, "WindowCenter") and not has_value(source, "WindowWidth"):
        return ""
    centers = numbers_of(source.dataset, "WindowCenter")
    widths = numbers_of(source.dataset, "WindowWidth")
    exact = text_of(source.dataset, "VOILUTFunction") in ("LINEAR_EXACT", "SIGMOID")
    smallest = math.ulp(0.0) if exact else 1.0
    possible = (
        len(centers) == len(widths) > 0
        and all(map(math.isfinite, centers + widths))
        and all(width >= smallest for width in widths)
    )
    if not possible:
        return _WINDOW_NOTE
    carry(source, result, *_WINDOW)
    return ""


def set_lossy_history(result: DataSetBuilder, source: Source) -> None:
    """Carry lossy compression over, and state it where the received syntax was lossy.

    PS3.3 C.7.6.1.1.5: once lossy, always lossy.
    """
    keywords = (
        "LossyImageCompression",
        "LossyImageCompressionRatio",
        "LossyImageCompressionMethod",
    )
    carry(source, result, *keywords)
    method = DECODED[source.transfer_syntax].lossy_method
    if not method or text_of(source.dataset, "LossyImageCompression") == "01":
        return
    ratio = source.layout.byte_count / max(source.pixel_bytes, 1)
    result.set_text("LossyImageCompression", "01")
    result.set_decimals("LossyImageCompressionRatio", round(max(ratio, 1.0), 2))
    result.set_text("LossyImageCompressionMethod", method)


def local_time(source: Source, at: datetime) -> datetime:
    """Return `at` in the zone that Timezone Offset From UTC (0008,0201) of the source states."""
    text = text_of(source.dataset, "TimezoneOffsetFromUTC")
    try:
        return at.astimezone(datetime.strptime(text, "%z").tzinfo) if text else at
    except ValueError:
        return at


def instance_reference(source: Source) -> tuple[str, str]:
    """SOP class and instance UID of the source.

    Raises
    ------
    EncodeError
        If they are missing or no UIDs: a result could not point to its source. Zeros that a
        UID must not have are let through, since scanners write them.
    """
    uids = [text_of(source.dataset, k) for k in ("SOPClassUID", "SOPInstanceUID")]
    if not all(map(_REFERABLE.fullmatch, uids)):
        raise EncodeError("the source has no valid SOP class and instance UID to refer to")
    return uids[0], uids[1]


def _reference(source: Source) -> DataSetBuilder:
    sop_class, instance = instance_reference(source)
    item = DataSetBuilder()
    item.set_text("ReferencedSOPClassUID", sop_class)
    item.set_text("ReferencedSOPInstanceUID", instance)
    return item


def _equipment(spec: ResultSpec) -> DataSetBuilder:
    item = DataSetBuilder()
    item.set_sequence("PurposeOfReferenceCodeSequence", [code_item(_MODIFYING)])
    item.set_text("Manufacturer", MANUFACTURER)
    item.set_text("ManufacturerModelName", MODEL_NAME)
    if spec.institution_name:
        item.set_text("InstitutionName", spec.institution_name, limit=64)
    if spec.device_serial_number:
        item.set_text("DeviceSerialNumber", spec.device_serial_number, limit=64)
    # A value holds at most 64 characters and the hash alone fills it. The last one is shorter: the
    # blank that makes the whole length even (PS3.5 6.2) counts as part of it where it is read.
    versions = (spec.software_version, spec.model.sha256, str(spec.model)[:63])
    item.set_text("SoftwareVersions", *versions, limit=64)
    item.set_text("ContributionDateTime", spec.at.strftime("%Y%m%d%H%M%S%z"))
    item.set_text(
        "ContributionDescription",
        f"Denoised by model {spec.model}, sha256 {spec.model.sha256}, strength {spec.strength:g}, "
        f"engine {spec.engine}, route {spec.route}.",
        limit=1024,
    )
    return item
