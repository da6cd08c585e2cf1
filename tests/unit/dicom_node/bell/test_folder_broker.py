"""The embedded broker: rings are files, whole and taken once; what is no ring is left alone."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytest

from dicom_node.bell import rings
from dicom_node.bell.folder_broker import FolderRings
from dicom_node.errors import BrokerAway

MESSAGES = 400


@pytest.fixture
def broker(tmp_path: Path) -> FolderRings:
    return FolderRings(tmp_path)


def taken(broker: FolderRings, queue: str = "infer") -> int | None:
    data = broker.take(queue)
    return None if data is None else rings.ledger_id_of(data, queue)


def test_rings_come_out_in_order_and_once(broker: FolderRings, tmp_path: Path) -> None:
    for number in range(5):
        broker.put("infer", number)
    assert broker.waiting("infer") == 5
    assert [taken(broker) for _ in range(5)] == list(range(5))
    assert broker.take("infer") is None
    assert not list(tmp_path.iterdir())


def test_queues_are_apart(broker: FolderRings) -> None:
    broker.put("deliver", 1)
    assert broker.take("infer") is None
    assert broker.waiting("deliver") == 1
    assert taken(broker, "deliver") == 1


def test_whatever_is_in_a_file_it_is_taken(broker: FolderRings, tmp_path: Path) -> None:
    (tmp_path / "00000000000000000001_x.infer.msg").touch()
    (tmp_path / "00000000000000000002_x.infer.msg").write_bytes(b"\xff" * 200_000)
    (tmp_path / "00000000000000000003_x.infer.msg").write_bytes(b"{}")
    (tmp_path / "00000000000000000003_x.infer.msg").chmod(0)
    broker.put("infer", 1)
    found = [broker.take("infer") for _ in range(4)]
    assert [rings.ledger_id_of(data or b"", "infer") for data in found] == [None, None, None, 1]
    assert max(len(data or b"") for data in found) <= rings.MOST_BYTES + 1
    assert not list(tmp_path.iterdir())


def test_folders_links_and_pipes_are_no_rings_and_are_not_opened(
    broker: FolderRings, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"somebody else's")
    (tmp_path / "0_folder.infer.msg").mkdir()
    (tmp_path / "0_link.infer.msg").symlink_to(elsewhere)
    (tmp_path / "0_dangling.infer.msg").symlink_to("/no/such/file")
    os.mkfifo(tmp_path / "0_pipe.infer.msg")
    before = sorted(path.name for path in tmp_path.iterdir())
    assert broker.waiting("infer") == 0
    assert broker.take("infer") is None
    broker.put("infer", 1)
    assert broker.waiting("infer") == 1
    assert taken(broker) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_what_somebody_left_half_written_goes(broker: FolderRings, tmp_path: Path) -> None:
    old, new = tmp_path / "0_x.infer.msg.part", tmp_path / "1_x.infer.msg.part"
    for path in (old, new):
        path.write_bytes(b"{")
    os.utime(old, (time.time() - 3600, time.time() - 3600))
    assert broker.take("infer") is None
    assert list(tmp_path.iterdir()) == [new]


def _take(folder: Path, found: Any) -> None:
    broker = FolderRings(folder)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        data = broker.take("infer")
        if data is None:
            continue
        number = rings.ledger_id_of(data, "infer")
        if number == -1:
            return
        found.put(number)


def test_readers_that_never_pause_get_each_ring_whole_and_once(
    broker: FolderRings, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("spawn")
    found = context.Queue()
    readers = [context.Process(target=_take, args=(tmp_path, found)) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(MESSAGES):
        broker.put("infer", number)
    numbers = sorted(found.get(timeout=60) for _ in range(MESSAGES))
    for _ in readers:
        broker.put("infer", -1)
    for reader in readers:
        reader.join(30)
        assert reader.exitcode == 0
    assert numbers == list(range(MESSAGES))


def test_removing_the_folder_only_flushes_it(tmp_path: Path) -> None:
    folder = tmp_path / "messages"
    broker = FolderRings(folder)
    assert broker.take("infer") is None
    assert broker.waiting("infer") == 0
    broker.put("infer", 1)
    assert taken(broker) == 1
    folder.rmdir()
    broker.put("infer", 2)
    assert taken(broker) == 2


def test_a_folder_that_cannot_be_used_is_a_broker_that_is_away(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    broker = FolderRings(tmp_path / "file" / "messages")
    for ask in (
        lambda: broker.put("infer", 1), lambda: broker.take("infer"),
        lambda: broker.waiting("infer"),
    ):  # fmt: skip
        with pytest.raises(BrokerAway, match="embedded broker"):
            ask()
