from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.uid import UID

from dicom_node.dicom.file_meta import file_header
from dicom_node.dicom.uids import IMPLEMENTATION_CLASS_UID
from tests.support.wire import CT, EXPLICIT


@pytest.mark.parametrize("instance", ["1.2.3", "1.2.34"])
@pytest.mark.parametrize("title", ["", "CT1", "SCANNER1"])
def test_the_header_makes_a_part_10_file(instance: str, title: str) -> None:
    data_set = b"\x08\x00\x18\x00UI\x06\x001.2.3\0"
    header = file_header(
        sop_class_uid=CT,
        sop_instance_uid=instance,
        transfer_syntax_uid=EXPLICIT,
        source_ae_title=title,
    )
    assert len(header) % 2 == 0
    file = dcmread(BytesIO(header + data_set))
    meta = file.file_meta
    assert file.SOPInstanceUID == "1.2.3"
    assert meta.FileMetaInformationGroupLength == len(header) - 144
    assert meta.MediaStorageSOPClassUID == CT
    assert meta.MediaStorageSOPInstanceUID == instance
    assert meta.TransferSyntaxUID == EXPLICIT
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert meta.get("SourceApplicationEntityTitle", "") == title


def test_the_implementation_class_uid_is_one() -> None:
    assert UID(IMPLEMENTATION_CLASS_UID).is_valid
