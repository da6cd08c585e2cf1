from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.uid import UID

from dicom_node.dicom.file_meta import FileMeta, FileMetaError, file_header
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


@pytest.mark.parametrize("title", ["", "CT1"])
def test_it_is_read_as_pydicom_reads_it(title: str) -> None:
    header = file_header(
        sop_class_uid=CT, sop_instance_uid="1.2.34", transfer_syntax_uid=EXPLICIT,
        source_ae_title=title,
    )  # fmt: skip
    whole = header + b"\x08\x00\x18\x00UI\x06\x001.2.3\0"
    found, meta = FileMeta.read(whole), dcmread(BytesIO(whole)).file_meta
    assert found.sop_class_uid == meta.MediaStorageSOPClassUID
    assert found.sop_instance_uid == meta.MediaStorageSOPInstanceUID
    assert found.transfer_syntax_uid == meta.TransferSyntaxUID
    assert found.end == 144 + meta.FileMetaInformationGroupLength


@pytest.mark.parametrize("cut", [0, 131, 140, 150, 200])
def test_what_is_cut_is_none(cut: int) -> None:
    header = file_header(sop_class_uid=CT, sop_instance_uid="1.2", transfer_syntax_uid=EXPLICIT)
    with pytest.raises(FileMetaError):
        FileMeta.read(header[:cut])
