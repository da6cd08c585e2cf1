"""Errors of the disk in words that say what to do, and what makes a name durable."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from dicom_node.errors import FailItem, OutOfSpace, SpoolAway, StorageError
from dicom_node.spool import disk
from dicom_node.spool.spool import MARKER, Spool


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EFBIG, OutOfSpace),
        (errno.EIO, StorageError),
        (errno.EACCES, StorageError),
    ],
)
def test_an_error_of_the_disk_is_told_without_its_path(number: int, kind: type[Exception]) -> None:
    with pytest.raises(StorageError) as caught, disk.disk_errors("it cannot be written"):
        raise OSError(number, os.strerror(number), "/secret/path")
    assert type(caught.value) is kind
    assert str(caught.value) == f"it cannot be written: {os.strerror(number)}"


def test_an_error_without_a_number_is_named() -> None:
    with (
        pytest.raises(StorageError, match="it cannot be read: TimeoutError"),
        disk.disk_errors("it cannot be read"),
    ):
        raise TimeoutError


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_folder_that_may_not_be_written_says_who_may_not(tmp_path: Path, number: int) -> None:
    with (
        pytest.raises(StorageError, match=rf"uid {os.getuid()}.*cannot write to it.*let that"),
        disk.making(tmp_path),
    ):
        raise OSError(number, os.strerror(number))
    with pytest.raises(StorageError, match="cannot be made") as caught, disk.making(tmp_path / "x"):
        raise OSError(number, os.strerror(number))
    assert "uid" not in str(caught.value)


def test_a_user_without_a_name_is_told_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found")

    assert f"(uid {os.getuid()})" in disk._user()
    monkeypatch.setattr("getpass.getuser", unknown)
    assert disk._user() == f"uid {os.getuid()}"


def test_a_file_that_is_there_and_cannot_be_opened_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path / "spool")
    path = spool.result_path("1.2.3")
    spool.write_atomic(path, b"x")
    opened = Path.open

    def failing(self: Path, *args: Any, **how: Any) -> Any:
        if self == path:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return opened(self, *args, **how)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", failing)
        with pytest.raises(StorageError, match=r"1\.2\.3: cannot be read.*Input/output error"):
            spool.open(spool.name(path), "1.2.3")
    with spool.open(spool.name(path), "1.2.3") as file:
        assert file.read() == b"x"
    path.unlink()
    with pytest.raises(FailItem, match="no longer in the spool; send it again"):
        spool.open(spool.name(path), "1.2.3")
    (spool.root / MARKER).unlink()
    with pytest.raises(SpoolAway):
        spool.open(spool.name(path), "1.2.3")


def test_the_marker_is_whole_before_it_is_made_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spool whose marker is lost in a power cut is away for ever."""
    synced: list[int] = []
    fsync = os.fsync

    def seen(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").resolve().is_file():
            synced.append(os.fstat(descriptor).st_size)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", seen)
    spool = Spool(tmp_path / "spool")
    assert synced == [33]
    assert (spool.root / MARKER).read_text(encoding="ascii") == spool.marker + "\n"
    assert [path.name for path in spool.root.glob(f"{MARKER}*")] == [MARKER]


def test_of_two_processes_that_make_a_spool_both_have_its_one_marker(tmp_path: Path) -> None:
    first, second = Spool(tmp_path / "a" / "spool"), Spool(tmp_path / "a" / "spool")
    assert first.marker == second.marker
    with pytest.raises(SpoolAway, match="another ledger's"):
        Spool(first.root, marker="0" * 32)
    assert Spool(tmp_path / "none", marker="0" * 32, away=True).is_there() is False
    assert not (tmp_path / "none").exists()
    with pytest.raises(SpoolAway, match="is it mounted"):
        Spool(tmp_path / "none", marker="0" * 32)
