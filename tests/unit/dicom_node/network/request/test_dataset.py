"""Where the data set of a stored file begins, and what is no such file."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_node.errors import StorageError, UnreadableObject
from dicom_node.network.request.dataset import EncodedDataSet, StoredDataSet
from tests.support.factories import dicom as make


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return make.write(make.ct_slice(), tmp_path / "a.dcm")


def test_file_meta_information_is_read(file: Path) -> None:
    stored = StoredDataSet.at(file)
    meta = dcmread(file).file_meta
    assert stored.sop_class_uid == meta.MediaStorageSOPClassUID
    assert stored.sop_instance_uid == meta.MediaStorageSOPInstanceUID
    assert stored.transfer_syntax_uid == meta.TransferSyntaxUID
    assert stored.offset == 144 + meta.FileMetaInformationGroupLength
    with stored.open() as stream:
        assert stream.read() == file.read_bytes()[stored.offset :]
    assert stored.offset + stored.length == file.stat().st_size


@pytest.mark.parametrize("cut", [0, 10, 131, 132, 135, 150, 200])
def test_a_file_cut_in_its_meta_information(file: Path, cut: int) -> None:
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(UnreadableObject):
        StoredDataSet.at(file)


def test_a_file_without_a_data_set(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: StoredDataSet.at(file).offset])
    with pytest.raises(UnreadableObject):
        StoredDataSet.at(file)


def test_a_data_set_of_odd_length(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UnreadableObject, match="odd"):
        StoredDataSet.at(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        StoredDataSet.at(tmp_path / "none.dcm")


def test_a_data_set_in_memory() -> None:
    data = EncodedDataSet(b"1234")
    with data.open() as stream:
        assert stream.read() == b"1234"
    assert data.length == 4
