from __future__ import annotations

import pytest
from pynetdicom.sop_class import _NON_PATIENT_OBJECT_CLASSES, _STORAGE_CLASSES

from dicom_node.network.accept.contexts import choose_transfer_syntax, is_storage

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
JPEG, JPEG_LOSSLESS, RLE = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.5"
MPEG4, HTJ2K = "1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.201"


@pytest.mark.parametrize("uid", [*_STORAGE_CLASSES.values(), *_NON_PATIENT_OBJECT_CLASSES.values()])
def test_every_storage_class_is_storage(uid: str) -> None:
    assert is_storage(uid)


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.10008.5.1.4.1.1.5",  # Nuclear Medicine, retired
        "1.2.840.10008.5.1.4.1.1.3",  # Ultrasound Multi-frame, retired
        "1.2.840.10008.5.1.4.1.1.12.77",  # retired and nameless
        "1.3.12.2.1107.5.9.1",  # CSA non-image, private
        "1.2.840.10008.5.1.4.1.1.999",  # not yet invented
    ],
)
def test_retired_private_and_future_classes_are_storage(uid: str) -> None:
    assert is_storage(uid)


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.10008.1.1",  # Verification
        "1.2.840.10008.1.20.1",  # Storage Commitment
        "1.2.840.10008.1.3.10",  # Media Storage Directory
        "1.2.840.10008.5.1.4.1.2.2.1",  # Study Root Query/Retrieve FIND
        "1.2.840.10008.5.1.4.31",  # Modality Worklist
        "1.2.840.10008.3.1.2.3.3",  # MPPS
        "1.2.840.10008.5.1.4.1.1.201.2",  # Inventory FIND
        "1.2.840.10008.1.2",  # a transfer syntax
    ],
)
def test_other_services_are_not(uid: str) -> None:
    assert not is_storage(uid)


@pytest.mark.parametrize(
    ("proposed", "chosen"),
    [
        ([EXPLICIT, IMPLICIT], EXPLICIT),
        ([IMPLICIT, EXPLICIT], IMPLICIT),
        ([BIG, IMPLICIT], BIG),
        ([JPEG_LOSSLESS, EXPLICIT], JPEG_LOSSLESS),
        ([RLE, IMPLICIT], RLE),
        ([JPEG, IMPLICIT], IMPLICIT),
        ([JPEG], JPEG),
        ([HTJ2K, EXPLICIT], EXPLICIT),
        ([MPEG4], MPEG4),
        (["1.2.840.113619.5.2", JPEG], JPEG),
        (["1.2.840.113619.5.2"], "1.2.840.113619.5.2"),
    ],
)
def test_the_peers_order_counts_and_lossless_beats_lossy(proposed: list[str], chosen: str) -> None:
    assert choose_transfer_syntax(proposed) == chosen


def test_nothing_proposed_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="without transfer syntaxes"):
        choose_transfer_syntax([])
