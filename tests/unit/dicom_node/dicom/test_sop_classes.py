from __future__ import annotations

import pytest
from pynetdicom.sop_class import _NON_PATIENT_OBJECT_CLASSES, _STORAGE_CLASSES

from dicom_node.dicom.sop_classes import is_storage


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
