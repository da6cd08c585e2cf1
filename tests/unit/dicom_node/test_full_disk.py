"""A full disk has one wording, whoever meets it."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from dicom_node import full_disk
from dicom_node.bell.broker import broker_configuration
from dicom_node.bell.folder_broker import FolderRings
from dicom_node.errors import BrokerAway, NodeError, OutOfSpace
from dicom_node.ledger import migrate
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.faults import ledger_error
from dicom_node.settings import Settings
from dicom_node.spool.disk import disk_errors


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_spool_ledger_and_broker_say_the_same(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(number, "in the system's words", "/a/secret/path")

    with pytest.raises(OutOfSpace) as spool, disk_errors("it cannot be written"):
        full()
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(BrokerAway) as broker:
        FolderRings(tmp_path).put("infer", 1)
    assert str(spool.value).endswith(f": {full_disk.SAID}")
    assert str(broker.value).endswith(f": {full_disk.SAID}")


@pytest.mark.parametrize(
    "said",
    ["database or disk is full", 'could not extend file "base/1": No space left on device'],
    ids=["SQLite", "PostgreSQL"],
)
def test_a_database_says_it_in_its_own_words_and_the_node_in_its(said: str) -> None:
    error = OperationalError(None, None, sqlite3.OperationalError(said))
    assert str(ledger_error(error)).endswith(f"the ledger cannot be written: {full_disk.SAID}")


def test_a_disk_with_room_is_not_full_and_of_one_that_is_not_there_nobody_can_say(
    tmp_path: Path,
) -> None:
    assert not full_disk.is_full(tmp_path)
    assert not full_disk.is_full(tmp_path / "none")


@pytest.mark.parametrize(
    ("refuses", "start"),
    [
        ("mkdir", lambda folder, _: migrate.upgrade(make_engine(f"sqlite:///{folder}/new/l"))),
        ("open", lambda _, ledger: migrate.upgrade(ledger)),
        ("mkdir", lambda folder, _: broker_configuration(Settings(storage={"path": folder}))),
    ],
    ids=["the ledger's folder", "the ledger's lock", "the broker's folder"],
)
def test_who_starts_on_a_full_disk_is_not_told_to_look_at_paths_and_rights(
    refuses: str,
    start: Callable[[Path, Engine], object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "in the system's words", "/a/secret/path")

    ledger = make_engine(f"sqlite:///{tmp_path}/ledger.sqlite")
    monkeypatch.setattr(Path, refuses, full)
    with pytest.raises(NodeError) as caught:
        start(tmp_path, ledger)
    assert str(caught.value).endswith(f": {full_disk.SAID}")
