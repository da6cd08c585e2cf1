"""Functional groups of multi-frame results (PS3.3 C.7.6.16)."""

from __future__ import annotations

from itertools import zip_longest

from pydicom.dataset import Dataset

from dicom_node.dicom.header import items_of
from dicom_node.dicom.part10 import DataSetBuilder
from workers.encode.carry import encode_items
from workers.load import Source

_KEPT = (
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "FrameContentSequence",
    "FrameAnatomySequence",
    "FrameVOILUTSequence",
    "IrradiationEventIdentificationSequence",
)


def set_functional_groups(
    result: DataSetBuilder, source: Source, slope: float, intercept: float
) -> None:
    """Carry the geometry of every frame over, with one rescale for all.

    Sets Shared and Per-frame Functional Groups, and the dimensions that the frames are indexed by.
    """
    shared = items_of(source.dataset, "SharedFunctionalGroupsSequence")
    per_frame = items_of(source.dataset, "PerFrameFunctionalGroupsSequence")
    common = _kept(source, shared[0] if shared else None)
    transformation = DataSetBuilder()
    transformation.set_decimals("RescaleIntercept", intercept)
    transformation.set_decimals("RescaleSlope", slope)
    transformation.set_text("RescaleType", "HU" if source.units == "HU" else "US")
    common.set_sequence("PixelValueTransformationSequence", [transformation])
    result.set_sequence("SharedFunctionalGroupsSequence", [common])
    groups = [
        _kept(source, group)
        for _, group in zip_longest(range(source.frame_count), per_frame[: source.frame_count])
    ]
    result.set_sequence("PerFrameFunctionalGroupsSequence", groups)
    for keyword in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        items = items_of(source.dataset, keyword)
        if items:
            result.set_sequence(keyword, encode_items(items, signed=source.layout.signed))


def _kept(source: Source, group: Dataset | None) -> DataSetBuilder:
    kept = DataSetBuilder()
    for keyword in _KEPT:
        items = [] if group is None else items_of(group, keyword)
        if items:
            kept.set_sequence(keyword, encode_items(items, signed=source.layout.signed))
    return kept
