"""VOI LUT Sequence (PS3.3 C.11.2) as a Secondary Capture may have it: entries of 8 or 16 bits.

Radiographs may state 10 to 16 bits for an entry; C.11.2.1.1 allows other objects 8 or 16 only.
"""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from dicom_node.dicom.header import items_of, text_of
from dicom_node.dicom.part10 import DataSetBuilder, tag_of
from dicom_node.dicom.reading import VALUE_ERRORS
from workers.encode.carry import carry
from workers.load import Source

_ALLOWED = (8, 16)
_MOST_BITS = 16


def set_voi_lut(result: DataSetBuilder, source: Source) -> None:
    """Carry the VOI LUTs over, with entries widened to 16 bits where they have 9 to 15."""
    items = items_of(source.dataset, "VOILUTSequence")
    if not items:
        return
    try:
        widened = [_widened(item, source.layout.signed) for item in items]
    except VALUE_ERRORS:
        return  # a LUT that cannot be read cannot be applied either
    if all(item is None for item in widened):
        carry(source, result, "VOILUTSequence")
    elif all(item is not None for item in widened):
        result.set_sequence("VOILUTSequence", [item for item in widened if item is not None])


def _widened(item: Dataset, signed: bool) -> DataSetBuilder | None:
    """Return the item with 16-bit entries, or None if it is right as it stands."""
    count, first, bits = (int(number) for number in item.LUTDescriptor)
    if bits in _ALLOWED:
        return None
    if not 1 <= bits < _MOST_BITS:
        raise ValueError("LUT entries of an impossible width")
    value = item["LUTData"].value
    data = np.frombuffer(value, dtype="<u2") if isinstance(value, bytes) else np.array(value)
    top, full = (1 << bits) - 1, (1 << _MOST_BITS) - 1
    scaled = np.rint(data.astype(np.float64) * full / top).clip(0, full).astype("<u2")
    new = DataSetBuilder()
    # the first value mapped is signed as the pixels are, the other two are not (C.11.2.1.1)
    entries = np.array([count, first, _MOST_BITS]).astype("<u2").tobytes()
    new.set_bytes(tag_of("LUTDescriptor"), "SS" if signed else "US", entries)
    explanation = text_of(item, "LUTExplanation")
    if explanation.isascii() and explanation:
        new.set_text("LUTExplanation", explanation, limit=64)
    new.set_bytes(tag_of("LUTData"), "OW", scaled.tobytes())
    return new
