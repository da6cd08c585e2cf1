"""A changed bit goes nowhere: nothing is made of a file that is not what its row says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_node.dicom.file_meta import FileMeta, FileMetaError
from dicom_node.dicom.header import read_header
from dicom_node.errors import FailItem, StorageError
from dicom_node.spool import stored as module
from dicom_node.spool.spool import Spool
from dicom_node.spool.stored import ObjectKind, StoredObject, WrongBytes, compared, fault_of, opened
from tests.support.factories.dicom import ct_slice, to_bytes
from tests.support.factories.received import CT, EXPLICIT, data_set_of, received

UID = "1.2.4.1"
WHOLE = to_bytes(ct_slice(size=(4, 4), SOPInstanceUID=UID, PatientID="PHANTOM"))


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Spool:
    return Spool(tmp_path_factory.mktemp("spool"))


def an_instance(spool: Spool) -> StoredObject:
    one = received(spool, UID, data_set_of(WHOLE))
    path = spool.instance_path(UID)
    spool.commit(one.path, path)
    return StoredObject(ObjectKind.INSTANCE, CT, UID, EXPLICIT, one.sha256, spool.name(path))


def a_result(spool: Spool) -> StoredObject:
    path = spool.result_path(UID)
    spool.write_atomic(path, WHOLE)
    sha256 = hashlib.sha256(WHOLE).hexdigest()
    return StoredObject(ObjectKind.RESULT, CT, UID, EXPLICIT, sha256, spool.name(path))


MAKE = pytest.mark.parametrize("make", [an_instance, a_result])
Make = Callable[[Spool], StoredObject]


def path_of(spool: Spool, stored: StoredObject) -> Path:
    return spool.path(stored.path or "")


@MAKE
@pytest.mark.parametrize("most", [module.MOST_IN_MEMORY, 0], ids=["in memory", "large"])
def test_what_is_right_is_read_whole(
    spool: Spool, make: Make, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_IN_MEMORY", most)
    stored = make(spool)
    with opened(spool, stored) as file:
        assert file.tell() == 0
        assert file.read() == path_of(spool, stored).read_bytes()
    assert fault_of(spool, stored) == ""


@pytest.mark.parametrize(("most", "once"), [(0, True), (1, True), (-1, False)])
def test_a_file_that_memory_is_meant_for_is_read_once(
    spool: Spool, most: int, once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever becomes of it on the disk once it was compared."""
    stored = a_result(spool)
    monkeypatch.setattr(module, "MOST_IN_MEMORY", len(WHOLE) + most)
    with opened(spool, stored) as file:
        path_of(spool, stored).write_bytes(b"x" * len(WHOLE))
        assert (file.read() == WHOLE) is once


def test_a_file_of_a_usual_image_is_read_once(spool: Spool) -> None:
    whole = to_bytes(ct_slice(size=(512, 512), SOPInstanceUID=UID))
    path = spool.result_path(UID)
    spool.write_atomic(path, whole)
    sha256 = hashlib.sha256(whole).hexdigest()
    stored = StoredObject(ObjectKind.RESULT, CT, UID, EXPLICIT, sha256, spool.name(path))
    with opened(spool, stored) as file:
        path.write_bytes(b"")
        assert file.read() == whole


@MAKE
@pytest.mark.parametrize("most", [module.MOST_IN_MEMORY, 0], ids=["in memory", "large"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10**9), bit=st.integers(0, 7))
def test_no_bit_of_an_object_can_change_unnoticed(
    spool: Spool, make: Make, most: int, at: int, bit: int
) -> None:
    """The preamble and who wrote the file are no part of an instance: they change nothing of it."""
    stored = make(spool)
    path = path_of(spool, stored)
    whole = path.read_bytes()
    at %= len(whole)
    changed = whole[:at] + bytes([whole[at] ^ (1 << bit)]) + whole[at + 1 :]
    path.write_bytes(changed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_IN_MEMORY", most)
        fault = fault_of(spool, stored)
        if not fault:
            with opened(spool, stored) as file:
                assert read_header(file, UID) == read_header(_at_first(WHOLE, path), UID)
    path.unlink()
    meta_end = FileMeta.read(whole).end
    assert fault or (stored.kind is ObjectKind.INSTANCE and at < meta_end)
    assert "PHANTOM" not in fault


def _at_first(whole: bytes, path: Path) -> Path:
    path.write_bytes(whole)
    return path


@MAKE
@pytest.mark.parametrize("cut", [0, 100, 131, 140, 300, -1])
def test_a_file_that_is_cut_is_wrong(spool: Spool, make: Make, cut: int) -> None:
    stored = make(spool)
    path_of(spool, stored).write_bytes(path_of(spool, stored).read_bytes()[:cut])
    with pytest.raises(WrongBytes, match=r"^1\.2\.4\.1: .*kept for a person.*study retry"):
        opened(spool, stored).__enter__()
    assert path_of(spool, stored).exists()


@MAKE
@pytest.mark.parametrize(
    "other",
    [{"sop_instance_uid": "1.2.4.2"}, {"sop_class_uid": "1.2"}, {"sha256": "0" * 64},
     {"transfer_syntax_uid": "1.2.840.10008.1.2"}],
)  # fmt: skip
def test_a_row_that_says_something_else_is_not_served(
    spool: Spool, make: Make, other: dict[str, str]
) -> None:
    stored = replace(make(spool), **other)  # type: ignore[arg-type]
    assert "not those that were" in fault_of(spool, stored)


@MAKE
def test_what_is_gone_is_not_wrong(spool: Spool, make: Make) -> None:
    stored = make(spool)
    path_of(spool, stored).unlink()
    assert "no longer in the spool" in fault_of(spool, stored)
    with pytest.raises(FailItem, match="no longer kept"):
        opened(spool, replace(stored, path=None)).__enter__()


def test_a_disk_that_fails_is_no_fault_of_the_object(spool: Spool) -> None:
    stored = an_instance(spool)
    path_of(spool, stored).unlink()
    path_of(spool, stored).mkdir()
    with pytest.raises(StorageError):
        opened(spool, stored).__enter__()


def test_a_file_that_cannot_be_read_to_its_end_is_no_fault_of_the_object(spool: Spool) -> None:
    stored = an_instance(spool)
    with (
        Path("/proc/self/mem").open("rb") as file,  # whose first bytes no process may read
        pytest.raises(StorageError, match=r"^1\.2\.4\.1: cannot be read from the spool: Input/out"),
    ):
        compared(file, stored)


META_END = FileMeta.read(WHOLE).end
LENGTH_AT = 140
"""Where the value of File Meta Information Group Length is."""


def meta_length(changed: int) -> bytes:
    """The file, saying of its File Meta Information that it is so much longer."""
    length = int.from_bytes(WHOLE[LENGTH_AT : LENGTH_AT + 4], "little") + changed
    return WHOLE[:LENGTH_AT] + length.to_bytes(4, "little") + WHOLE[LENGTH_AT + 4 :]


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        (b"", "not a DICOM file"),
        (WHOLE[:131], "not a DICOM file"),
        (WHOLE[:134], "ends in its File Meta Information"),
        (WHOLE[:142], "is damaged"),
        (WHOLE[:META_END], "nothing follows it"),
        (meta_length(+2), "is damaged"),
        (meta_length(-2), "is damaged"),
    ],
    ids=["empty", "no prefix", "its first tag", "its length", "no data set", "longer", "shorter"],
)
def test_damaged_file_meta_information_is_told(head: bytes, fault: str) -> None:
    with pytest.raises(FileMetaError, match=fault):
        FileMeta.read(head)


def test_a_row_cannot_name_a_file_elsewhere(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "x.dcm").write_bytes(WHOLE)
    stored = replace(a_result(spool), path=str(tmp_path / "x.dcm"))
    assert "names no file of the spool" in fault_of(spool, stored)
