"""Room above the watermark: how much is to stay free, and when it is measured again."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicom_node.errors import OutOfSpace, SpoolAway
from dicom_node.settings.sections import StorageSettings
from dicom_node.spool.room import Free, Room, Watermark
from dicom_node.spool.spool import Spool

MEGABYTE = 2**20
HALF = Watermark(100 * MEGABYTE, 0.5)


class Disk(Spool):
    """A spool on a file system of 200 MB."""

    free = 200 * MEGABYTE

    def free_bytes(self) -> int:
        return self.free

    def free_fraction(self) -> float:
        return self.free / (200 * MEGABYTE)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


@pytest.mark.parametrize(
    ("free", "more", "kept"),
    [
        (Free(100 * MEGABYTE, 0.5), 0, True),
        (Free(100 * MEGABYTE, 0.5), 1, False),
        (Free(100 * MEGABYTE + 1, 0.5), 1, True),
        (Free(100 * MEGABYTE - 1, 0.9), 0, False),
        (Free(900 * MEGABYTE, 0.49), 0, False),
    ],
)
def test_what_is_asked_for_stays_free_to_the_byte_and_the_stricter_counts(
    free: Free, more: int, kept: bool
) -> None:
    assert HALF.leaves(free, more) is kept


def test_a_watermark_is_set_in_megabytes_and_per_cent(tmp_path: Path) -> None:
    settings = StorageSettings(path=tmp_path, minimum_free_megabytes=3, minimum_free_percent=5)
    assert Watermark.of(settings) == Watermark(3 * MEGABYTE, 0.05)


def test_nothing_is_said_of_the_room_in_a_spool_that_is_away(disk: Disk) -> None:
    (disk.root / "spool.marker").unlink()
    with pytest.raises(SpoolAway):
        Free.of(disk)
    with pytest.raises(SpoolAway):
        Room(disk, HALF).lacking()


def test_what_is_to_be_written_counts_before_it_is_written(disk: Disk) -> None:
    room = Room(disk, HALF)
    room.require(100 * MEGABYTE)
    with pytest.raises(OutOfSpace, match=r"200 MB free \(100\.0 %\)"):
        room.require(100 * MEGABYTE + 1)
    assert room.lacking() == ""


def test_the_disk_is_asked_now_and_then_and_not_for_every_result(disk: Disk) -> None:
    seconds = 100.0
    room = Room(disk, HALF, clock=lambda: seconds)
    assert room.lacking() == ""
    disk.free = 50 * MEGABYTE
    seconds += room.lasts / 2
    assert room.lacking() == ""
    seconds += room.lasts / 2
    assert "50 MB free (25.0 %)" in room.lacking()
    disk.free = 150 * MEGABYTE
    seconds += room.lasts / 2
    assert room.lacking()
    seconds += room.lasts / 2
    assert room.lacking() == ""
