from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.errors import FailItem, OutOfSpace, SpoolAway, StorageError
from dicom_node.spool.spool import MARKER, SHARDS, Spool

SHA = hashlib.sha256(b"bytes").hexdigest()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Spool:
    return Spool(tmp_path_factory.mktemp("spool"))


def incoming(spool: Spool) -> list[Path]:
    return list((spool.root / "incoming").iterdir())


def test_what_is_committed_is_there_whole_and_nothing_is_left_over(spool: Spool) -> None:
    file = spool.incoming()
    file.write(b"one ")
    file.write(memoryview(b"two"))
    file.sync()
    final = spool.instance_path("1.2.3")
    spool.commit(file.path, final)
    assert final.read_bytes() == b"one two"
    assert incoming(spool) == []


def test_discard_removes_the_file_and_may_be_repeated(spool: Spool) -> None:
    file = spool.incoming()
    file.write(b"half of it")
    file.discard()
    file.discard()
    assert incoming(spool) == []


def test_what_is_discarded_gives_its_room_back_at_once(spool: Spool) -> None:
    """A file that is removed and still open fills the disk all the same."""
    file = spool.incoming()
    file.write(b"half of it")
    file.discard()
    still_open = [os.fspath(each.readlink()) for each in Path("/proc/self/fd").iterdir()
                  if each.is_symlink()]  # fmt: skip
    assert [name for name in still_open if file.path.name in name] == []


def test_nothing_is_left_under_an_empty_mount_point(spool: Spool) -> None:
    """Nobody would see it once the spool is mounted there again."""
    (spool.root / MARKER).unlink()
    with pytest.raises(SpoolAway):
        spool.write_atomic(spool.result_path("1.2.3"), b"x")
    assert [each for each in spool.root.rglob("*") if each.is_file()] == []


def test_discard_leaves_a_committed_file_alone(spool: Spool) -> None:
    file = spool.incoming()
    file.write(b"x")
    file.sync()
    final = spool.instance_path("1.2")
    spool.commit(file.path, final)
    file.discard()
    assert final.exists()


def test_a_name_is_given_once(spool: Spool) -> None:
    """Receptions of one object, and workers that make one result, have files of their own."""
    for name in (spool.instance_path, spool.result_path):
        assert len({name("1.2.3") for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "name",
    ["../x.dcm", "instances/../../x.dcm", "/etc/passwd", "instances/3f/../1.dcm", "", "incoming/x",
     "instances/3f/a/b.dcm", "instances/3f/1.2.dcm\0", "results/9a/1.2.dcm\n"],
)  # fmt: skip
def test_a_row_cannot_name_a_file_outside_the_spool(spool: Spool, name: str) -> None:
    with pytest.raises(FailItem, match="names no file of the spool"):
        spool.path(name)
    with pytest.raises(FailItem):
        spool.open(name, "1.2.3")


def test_the_names_of_earlier_releases_are_names(spool: Spool) -> None:
    for name in (f"instances/3f/1.2.3-{SHA[:32]}.dcm", "results/9a/1.2.4.dcm"):
        assert spool.path(name) == spool.root / name


@pytest.mark.parametrize("uid", ["../../etc/passwd", "1.2/3", "", "1" * 65, "a\0b", "..", "1.2\n"])
def test_a_hostile_uid_cannot_choose_its_path(spool: Spool, uid: str) -> None:
    for path in (spool.instance_path(uid), spool.result_path(uid)):
        assert path.resolve().parent.parent.parent == spool.root.resolve()
        assert path.parent.is_dir()


@pytest.mark.parametrize("uid", ["0", "1.2.3", "1." + "2" * 62])
def test_a_file_is_called_by_the_uid_of_its_object(spool: Spool, uid: str) -> None:
    for path in (spool.instance_path(uid), spool.result_path(uid)):
        assert path.name.startswith(f"{uid}-")
        assert path.parent.name == hashlib.sha256(uid.encode()).hexdigest()[:2]


@given(uid=st.text(max_size=80), other=st.text(max_size=80))
def test_every_uid_has_names_of_its_own(shared: Spool, uid: str, other: str) -> None:
    path, another = shared.instance_path(uid), shared.instance_path(other)
    assert len(path.name.encode()) < 255
    assert shared.path(shared.name(path)) == path
    assert (path.name.split("-")[0] == another.name.split("-")[0]) == (uid == other)


def test_a_uid_that_is_too_long_is_not_in_the_name(spool: Spool) -> None:
    """PS3.5 9.1: at most 64 characters."""
    for uid, kept in (("1." + "2" * 62, True), ("1." + "2" * 63, False), ("1.2/3", False)):
        for path in (spool.instance_path(uid), spool.result_path(uid)):
            assert path.name.startswith(f"{uid}-") is kept
            assert path.name.startswith("x") is not kept


def test_when_a_file_was_written_is_told_and_a_gone_one_was_never(spool: Spool) -> None:
    path = spool.result_path("1.2.3")
    spool.write_atomic(path, b"x")
    os.utime(path, (1000, 1000))
    assert spool.written_at(spool.name(path)) == 1000
    (found,) = spool.files(int(path.parent.name, 16))
    assert (found.path, found.written_at) == (spool.name(path), 1000)
    spool.touch(spool.name(path))
    assert path.stat().st_mtime > 1000
    spool.remove(path)
    assert spool.written_at(spool.name(path)) is None
    spool.touch(spool.name(path))
    assert not path.exists()


def test_write_atomic_replaces_the_whole_file(spool: Spool) -> None:
    path = spool.result_path("1.2.3")
    spool.write_atomic(path, b"first, longer")
    spool.write_atomic(path, b"second")
    assert path.read_bytes() == b"second"
    assert incoming(spool) == []


def test_write_atomic_that_fails_leaves_nothing(spool: Spool) -> None:
    with pytest.raises(StorageError) as caught:
        spool.write_atomic(spool.root / "results" / "nowhere" / "1.2.3.dcm", b"x")
    assert incoming(spool) == []
    assert str(spool.root) not in str(caught.value)
    assert "1.2.3" in str(caught.value)


def test_a_full_disk_is_out_of_space(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    file = spool.incoming()
    file.write(b"x")
    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(OutOfSpace):
        file.sync()
    file.discard()
    assert incoming(spool) == []


def test_commit_of_a_file_that_is_gone_says_which_object_without_its_path(spool: Spool) -> None:
    with pytest.raises(StorageError, match=r"1\.2\.3") as caught:
        spool.commit(spool.root / "incoming" / "gone", spool.result_path("1.2.3"))
    assert str(spool.root) not in str(caught.value)


def test_sweep_takes_what_is_old_and_leaves_what_is_being_received(spool: Spool) -> None:
    old, new = spool.incoming(), spool.incoming()
    hour_ago = time.time() - 3600
    os.utime(old.path, (hour_ago, hour_ago))
    assert spool.sweep_incoming(older_than=60) == 1
    assert incoming(spool) == [new.path]
    assert spool.sweep_incoming() == 1
    assert incoming(spool) == []
    old.discard()
    new.discard()


def test_a_restart_sweeps_also_what_comes_from_a_later_time(spool: Spool) -> None:
    """A clock that was set back since, or another machine's."""
    file = spool.incoming()
    file.discard()
    file.path.write_bytes(b"half")
    os.utime(file.path, (time.time() + 3600,) * 2)
    assert spool.sweep_incoming(older_than=60) == 0
    assert spool.sweep_incoming() == 1
    assert incoming(spool) == []


def test_remove_is_idempotent(spool: Spool) -> None:
    path = spool.result_path("1.2.3")
    spool.write_atomic(path, b"x")
    spool.remove(path)
    spool.remove(path)
    assert not path.exists()


def test_free_space_is_told(spool: Spool) -> None:
    assert 0.0 <= spool.free_fraction() <= 1.0
    assert spool.free_bytes() > 0


def test_a_root_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        Spool(tmp_path / "file" / "spool")


def test_opening_an_existing_spool_keeps_its_files(spool: Spool) -> None:
    path = spool.result_path("1.2")
    spool.write_atomic(path, b"x")
    Spool(spool.root)
    assert path.read_bytes() == b"x"


def test_files_lists_both_kinds_of_one_shard(spool: Spool) -> None:
    instance = spool.instance_path("1.2.3")
    result = spool.result_path("1.2.3")
    for path in (instance, result):
        spool.write_atomic(path, b"x")
    shard = int(instance.parent.name, 16)
    assert {spool.root / file.path for file in spool.files(shard)} == {instance, result}
    assert spool.files((shard + 1) % SHARDS) == []


def _failing(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_spool_that_is_there_and_read_only_says_who_cannot_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "mkdir", _failing(errno.EROFS))
    with pytest.raises(StorageError, match=rf"is there, but .*uid {os.getuid()}.* cannot write"):
        Spool(tmp_path)
    with pytest.raises(StorageError, match="cannot be made: Read-only file system"):
        Spool(tmp_path / "spool")


def test_a_spool_that_is_there_and_full_is_no_matter_of_who_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "mkdir", _failing(errno.ENOSPC))
    with pytest.raises(OutOfSpace, match="cannot be written: the disk is full") as caught:
        Spool(tmp_path)
    assert "uid" not in str(caught.value)


def test_a_new_spool_on_a_full_disk_says_that_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def full(path: Path, mode: str = "r", *how: Any, **more: Any) -> Any:
        if "r" not in mode:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(path, mode, *how, **more)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OutOfSpace, match="cannot be written: the disk is full"):
        Spool(tmp_path)


def test_a_spool_that_is_there_is_opened_without_writing_anything(spool: Spool) -> None:
    os.utime(spool.root, ns=(0, 0))
    assert Spool(spool.root).marker == spool.marker
    assert spool.root.stat().st_mtime_ns == 0
