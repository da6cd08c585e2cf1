"""Results of the source's own SOP class, with its modules kept (form ``derived``).

Everything public that the source says about patient, study, equipment, acquisition, geometry and
display stays; identity, series, provenance and pixels are new. The pixel layout is the source's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dicom_node.dicom.header import items_of, text_of, texts_of
from dicom_node.dicom.part10 import DataSetBuilder, Part10File, part10_file
from workers.encode.carry import carry_all, encode_items
from workers.encode.image_type import code_strings, image_type
from workers.encode.pixels import cells_of, set_pixels
from workers.encode.provenance import (
    instance_reference,
    set_identity,
    set_lossy_history,
    set_provenance,
    set_window,
)
from workers.encode.spec import ResultSpec
from workers.load import Source

_STALE = (
    "IconImageSequence",
    "SmallestPixelValueInSeries",
    "LargestPixelValueInSeries",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "LengthToEnd",
    "DigitalSignaturesSequence",
    "MACParametersSequence",
    "EncryptedAttributesSequence",
    "ReferencedRawDataSequence",
    "DataSetTrailingPadding",
)
_FRAME_TYPES = (
    "CTImageFrameTypeSequence",
    "XAXRFFrameCharacteristicsSequence",
)


def encode_derived(
    source: Source, denoised: Sequence[NDArray[np.float32]], spec: ResultSpec
) -> Part10File:
    """Encode a derived result; see `workers.encode.encode` for the parameters."""
    layout = source.layout
    sop_class, _ = instance_reference(source)
    result = DataSetBuilder()
    carry_all(source, result)
    result.discard(*_STALE)
    set_pixels(
        result,
        cells_of(source, denoised),
        stored=layout.stored,
        high_bit=layout.high_bit,
        signed=layout.signed,
        photometric="MONOCHROME1" if layout.inverted else "MONOCHROME2",
    )
    set_identity(result, source, spec, sop_class)
    result.set_text("ImageType", *image_type(source))
    _set_frame_types(result, source)
    note = set_window(result, source)
    if note and text_of(source.dataset, "PresentationIntentType") == "FOR PRESENTATION":
        _set_full_window(result, source)
    set_lossy_history(result, source)
    set_provenance(result, source, spec, note)
    return part10_file(result, sop_class, spec.sop_instance_uid)


def _set_full_window(result: DataSetBuilder, source: Source) -> None:
    """Set the window over all values that DX requires (PS3.3 C.8.11.3) where it had none."""
    full = 1 << source.layout.stored
    result.set_decimals("WindowCenter", full // 2 + source.layout.minimum)
    result.set_decimals("WindowWidth", full)
    result.set_text("WindowCenterWidthExplanation", "FULL")


def _set_frame_types(result: DataSetBuilder, source: Source) -> None:
    """Make Frame Type of an enhanced image agree with its Image Type."""
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        groups = items_of(source.dataset, keyword)
        if not groups:
            continue
        found = [
            item
            for group in groups
            for name in _FRAME_TYPES
            for item in items_of(group, name)
            if code_strings(texts_of(item, "FrameType"))[:1] == ["ORIGINAL"]
        ]
        if not found:
            continue
        for item in found:
            item.FrameType = ["DERIVED", *code_strings(texts_of(item, "FrameType"))[1:]]
        result.set_sequence(keyword, encode_items(groups, signed=source.layout.signed))
