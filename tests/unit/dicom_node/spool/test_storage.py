from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.errors import FailItem, OutOfSpace, StorageError
from dicom_node.spool.storage import SHARDS, Storage

SHA = hashlib.sha256(b"bytes").hexdigest()


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "spool")


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    return Storage(tmp_path_factory.mktemp("spool"))


def incoming(storage: Storage) -> list[Path]:
    return list((storage.root / "incoming").iterdir())


def test_what_is_committed_is_there_whole_and_nothing_is_left_over(storage: Storage) -> None:
    file = storage.incoming()
    file.write(b"one ")
    file.write(memoryview(b"two"))
    file.sync()
    final = storage.instance_path("1.2.3")
    storage.commit(file.path, final)
    assert final.read_bytes() == b"one two"
    assert incoming(storage) == []


def test_discard_removes_the_file_and_may_be_repeated(storage: Storage) -> None:
    file = storage.incoming()
    file.write(b"half of it")
    file.discard()
    file.discard()
    assert incoming(storage) == []


def test_discard_leaves_a_committed_file_alone(storage: Storage) -> None:
    file = storage.incoming()
    file.write(b"x")
    file.sync()
    final = storage.instance_path("1.2")
    storage.commit(file.path, final)
    file.discard()
    assert final.exists()


def test_a_name_is_given_once(storage: Storage) -> None:
    """Receptions of one object, and workers that make one result, have files of their own."""
    for name in (storage.instance_path, storage.result_path):
        assert len({name("1.2.3") for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "name",
    ["../x.dcm", "instances/../../x.dcm", "/etc/passwd", "instances/3f/../1.dcm", "", "incoming/x",
     "instances/3f/a/b.dcm", "instances/3f/1.2.dcm\0", "results/9a/1.2.dcm\n"],
)  # fmt: skip
def test_a_row_cannot_name_a_file_outside_the_spool(storage: Storage, name: str) -> None:
    with pytest.raises(FailItem, match="names no file of the spool"):
        storage.path(name)
    with pytest.raises(FailItem):
        storage.open(name, "1.2.3")


def test_the_names_of_earlier_releases_are_names(storage: Storage) -> None:
    for name in (f"instances/3f/1.2.3-{SHA[:32]}.dcm", "results/9a/1.2.4.dcm"):
        assert storage.path(name) == storage.root / name


@pytest.mark.parametrize("uid", ["../../etc/passwd", "1.2/3", "", "1" * 65, "a\0b", "..", "1.2\n"])
def test_a_hostile_uid_cannot_choose_its_path(storage: Storage, uid: str) -> None:
    for path in (storage.instance_path(uid), storage.result_path(uid)):
        assert path.resolve().parent.parent.parent == storage.root.resolve()
        assert path.parent.is_dir()


@pytest.mark.parametrize("uid", ["0", "1.2.3", "1." + "2" * 62])
def test_a_file_is_called_by_the_uid_of_its_object(storage: Storage, uid: str) -> None:
    for path in (storage.instance_path(uid), storage.result_path(uid)):
        assert path.name.startswith(f"{uid}-")
        assert path.parent.name == hashlib.sha256(uid.encode()).hexdigest()[:2]


@given(uid=st.text(max_size=80), other=st.text(max_size=80))
def test_every_uid_has_names_of_its_own(spool: Storage, uid: str, other: str) -> None:
    path, another = spool.instance_path(uid), spool.instance_path(other)
    assert len(path.name.encode()) < 255
    assert spool.path(spool.name(path)) == path
    assert (path.name.split("-")[0] == another.name.split("-")[0]) == (uid == other)


def test_a_uid_that_is_too_long_is_not_in_the_name(storage: Storage) -> None:
    """PS3.5 9.1: at most 64 characters."""
    for uid, kept in (("1." + "2" * 62, True), ("1." + "2" * 63, False), ("1.2/3", False)):
        for path in (storage.instance_path(uid), storage.result_path(uid)):
            assert path.name.startswith(f"{uid}-") is kept
            assert path.name.startswith("x") is not kept


def test_when_a_file_was_written_is_told_and_a_gone_one_was_never(storage: Storage) -> None:
    path = storage.result_path("1.2.3")
    storage.write_atomic(path, b"x")
    os.utime(path, (1000, 1000))
    assert storage.written_at(storage.name(path)) == 1000
    (found,) = storage.files(int(path.parent.name, 16))
    assert (found.path, found.written_at) == (storage.name(path), 1000)
    storage.touch(storage.name(path))
    assert path.stat().st_mtime > 1000
    storage.remove(path)
    assert storage.written_at(storage.name(path)) is None
    storage.touch(storage.name(path))
    assert not path.exists()


def test_write_atomic_replaces_the_whole_file(storage: Storage) -> None:
    path = storage.result_path("1.2.3")
    storage.write_atomic(path, b"first, longer")
    storage.write_atomic(path, b"second")
    assert path.read_bytes() == b"second"
    assert incoming(storage) == []


def test_write_atomic_that_fails_leaves_nothing(storage: Storage) -> None:
    with pytest.raises(StorageError) as caught:
        storage.write_atomic(storage.root / "results" / "nowhere" / "1.2.3.dcm", b"x")
    assert incoming(storage) == []
    assert str(storage.root) not in str(caught.value)
    assert "1.2.3" in str(caught.value)


def test_a_full_disk_is_out_of_space(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    file = storage.incoming()
    file.write(b"x")
    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(OutOfSpace):
        file.sync()
    file.discard()
    assert incoming(storage) == []


def test_commit_of_a_file_that_is_gone_says_which_object_without_its_path(storage: Storage) -> None:
    with pytest.raises(StorageError, match=r"1\.2\.3") as caught:
        storage.commit(storage.root / "incoming" / "gone", storage.result_path("1.2.3"))
    assert str(storage.root) not in str(caught.value)


def test_sweep_takes_what_is_old_and_leaves_what_is_being_received(storage: Storage) -> None:
    old, new = storage.incoming(), storage.incoming()
    hour_ago = time.time() - 3600
    os.utime(old.path, (hour_ago, hour_ago))
    assert storage.sweep_incoming(older_than=60) == 1
    assert incoming(storage) == [new.path]
    assert storage.sweep_incoming() == 1
    assert incoming(storage) == []
    old.discard()
    new.discard()


def test_a_restart_sweeps_also_what_comes_from_a_later_time(storage: Storage) -> None:
    """A clock that was set back since, or another machine's."""
    file = storage.incoming()
    file.discard()
    file.path.write_bytes(b"half")
    os.utime(file.path, (time.time() + 3600,) * 2)
    assert storage.sweep_incoming(older_than=60) == 0
    assert storage.sweep_incoming() == 1
    assert incoming(storage) == []


def test_remove_is_idempotent(storage: Storage) -> None:
    path = storage.result_path("1.2.3")
    storage.write_atomic(path, b"x")
    storage.remove(path)
    storage.remove(path)
    assert not path.exists()


def test_free_space_is_told(storage: Storage) -> None:
    assert 0.0 <= storage.free_fraction() <= 1.0
    assert storage.free_bytes() > 0


def test_a_root_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        Storage(tmp_path / "file" / "spool")


def test_opening_an_existing_spool_keeps_its_files(storage: Storage) -> None:
    path = storage.result_path("1.2")
    storage.write_atomic(path, b"x")
    Storage(storage.root)
    assert path.read_bytes() == b"x"


def test_files_lists_both_kinds_of_one_shard(storage: Storage) -> None:
    instance = storage.instance_path("1.2.3")
    result = storage.result_path("1.2.3")
    for path in (instance, result):
        storage.write_atomic(path, b"x")
    shard = int(instance.parent.name, 16)
    assert {storage.root / file.path for file in storage.files(shard)} == {instance, result}
    assert storage.files((shard + 1) % SHARDS) == []


def _failing(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_spool_that_is_there_and_read_only_says_who_cannot_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "mkdir", _failing(errno.EROFS))
    with pytest.raises(StorageError, match=rf"is there, but .*uid {os.getuid()}.* cannot write"):
        Storage(tmp_path)
    with pytest.raises(StorageError, match="cannot be made: Read-only file system"):
        Storage(tmp_path / "spool")


def test_a_spool_that_is_there_and_full_is_no_matter_of_who_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "mkdir", _failing(errno.ENOSPC))
    with pytest.raises(OutOfSpace, match="cannot be written: No space left") as caught:
        Storage(tmp_path)
    assert "uid" not in str(caught.value)
