"""What upkeep removes from the spool, and what it never may."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select, update

from dicom_node import upkeep
from dicom_node.db import proof
from dicom_node.db.tables import AuditRow, InstanceRow, ResultRow
from dicom_node.db.unit_of_work import UnitOfWork
from dicom_node.storage import SHARDS, SpoolFile
from tests.ledgers import Life, ct_header

TWO_DAYS = 48 * 3600.0


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    life = Life(tmp_path / "spool")
    life.associate()
    yield life
    life.close()


def age(*paths: Path, seconds: float = TWO_DAYS) -> None:
    then = time.time() - seconds
    for path in paths:
        os.utime(path, (then, then))


def orphan(life: Life, uid: str, *, seconds: float = TWO_DAYS) -> tuple[Path, Path]:
    """An instance and a result that no row names, last written some time ago."""
    paths = life.storage.instance_path(uid, "a" * 64), life.storage.result_path(uid)
    for path in paths:
        life.storage.write_atomic(path, b"left behind")
    age(*paths, seconds=seconds)
    return paths


def sweep_all(life: Life) -> int:
    return sum(life.upkeep.sweep_orphans(shard) for shard in range(SHARDS))


def test_old_files_that_no_row_names_are_removed(life: Life) -> None:
    paths = [path for number in range(20) for path in orphan(life, f"1.2.{number}")]
    assert sweep_all(life) == 40
    assert not any(path.exists() for path in paths)
    assert sweep_all(life) == 0


def test_every_file_that_a_row_names_stays(life: Life) -> None:
    life.receive_series(5)
    life.receive("1.2.4.1", version=2)
    life.receive("no uid at all/../x", data=ct_header("1.2.4", "1.2.4.9"))
    life.denoise_all()
    with life.ledger.write() as unit:
        for row in unit.session.execute(select(ResultRow)).scalars():
            path = life.storage.result_path(row.sop_instance_uid)
            life.storage.write_atomic(path, b"a result")
            row.path = str(path.relative_to(life.storage.root))
    named = [
        life.storage.root / path
        for table in (InstanceRow, ResultRow)
        for (path,) in life.rows(select(table.path))
    ]
    assert len(named) == 7 + 10
    age(*named)
    assert sweep_all(life) == 0
    assert all(path.exists() for path in named)


def test_a_forgotten_file_that_came_back_without_its_row_is_removed(life: Life) -> None:
    life.receive("1.2.4.1")
    path = life.storage.root / life.rows(select(InstanceRow.path))[0][0]
    age(path)
    with life.ledger.write() as unit:
        unit.session.execute(update(InstanceRow).values(path=None))
    assert sweep_all(life) == 1
    assert not path.exists()


def test_a_store_in_progress_keeps_its_file(life: Life) -> None:
    receiving = life.storage.incoming()
    receiving.write(b"half of an object")
    fresh = orphan(life, "1.2.3", seconds=3600)
    assert sweep_all(life) == 0
    assert receiving.path.exists()
    assert all(path.exists() for path in fresh)
    receiving.discard()


def test_an_object_that_comes_again_while_its_orphan_is_judged_stays(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = orphan(life, "1.2.4.1")
    judge = proof.unnamed

    def judge_then_receive(session: object, paths: object) -> set[str]:
        found = judge(session, paths)  # type: ignore[arg-type]
        life.storage.write_atomic(path, b"received again")
        return found

    monkeypatch.setattr(proof, "unnamed", judge_then_receive)
    sweep_all(life)
    assert path.read_bytes() == b"received again"


def test_each_round_of_retention_looks_at_another_folder(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    files = life.storage.files

    def seen(shard: int) -> list[SpoolFile]:
        looked.append(shard)
        return files(shard)

    monkeypatch.setattr(life.storage, "files", seen)
    for _ in range(SHARDS):
        life.upkeep.forget()
    assert sorted(looked) == list(range(SHARDS))


def test_a_day_of_many_studies_is_forgotten_as_fast_as_it_came(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too much for one transaction is forgotten in the next, not in ten minutes."""
    monkeypatch.setattr(upkeep, "_MOST_TO_FORGET", 5)
    life.receive_series(12)
    life.denoise_all()
    while life.due_parcels():
        life.deliver_all()
    age(*(life.storage.root / path for (path,) in life.rows(select(InstanceRow.path))))
    life.clock.advance(73 * 3600)
    stop = threading.Event()
    thread = threading.Thread(target=life.upkeep.run, args=(stop,))
    thread.start()
    deadline = time.monotonic() + 20
    kept = 12
    while kept and time.monotonic() < deadline:
        time.sleep(0.1)
        kept = len(life.rows(select(InstanceRow.id).where(InstanceRow.path.is_not(None))))
    stop.set()
    thread.join()
    assert kept == 0


def test_upkeep_writes_nothing_while_nothing_is_due(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node at rest takes the ledger's one writer from nobody."""
    life.receive_series(3)
    life.denoise_all()
    while life.due_parcels():
        life.deliver_all()
    life.receive("1.2.5.1", series="1.2.5")
    life.planner.plan()
    written: list[float] = []
    write = life.ledger.write

    def counted() -> object:
        written.append(time.monotonic())
        return write()

    monkeypatch.setattr(life.ledger, "write", counted)
    assert life.planner.plan() == 0
    assert life.planner.close_batches() == 0
    life.upkeep.reconcile()
    assert written == []
    life.clock.advance(10)
    assert life.planner.close_batches() > 0
    life.clock.advance(16)
    life.upkeep.reconcile()
    assert len(written) == 2


def finished(life: Life) -> Path:
    """An instance all of whose work ended long ago; returns its file, as old as it is."""
    life.receive("1.2.4.1")
    life.denoise_all()
    while life.due_parcels():
        life.deliver_all()
    path: Path = life.storage.root / life.rows(select(InstanceRow.path))[0][0]
    age(path)
    life.clock.advance(73 * 3600)
    return path


def named(life: Life, path: Path) -> bool:
    return (life.storage.root / (life.rows(select(InstanceRow.path))[0][0] or "-")) == path


def test_an_old_file_is_forgotten(life: Life) -> None:
    path = finished(life)
    assert life.upkeep.forget() == 1
    assert not path.exists()
    assert not named(life, path)


def test_a_resend_between_the_ledger_and_the_removal_keeps_its_file(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upkeep has committed that the bytes are gone; before it removes them they come again."""
    path = finished(life)
    write = life.ledger.write

    @contextmanager
    def then_receive() -> Iterator[UnitOfWork]:
        with write() as unit:
            yield unit
        monkeypatch.setattr(life.ledger, "write", write)
        life.storage.write_atomic(path, b"received again")
        life.receive("1.2.4.1", data=b"received again")

    monkeypatch.setattr(life.ledger, "write", then_receive)
    life.upkeep.forget()
    assert named(life, path)
    assert path.read_bytes() == b"received again"


def test_a_resend_that_is_in_its_place_but_not_in_the_ledger_yet_keeps_its_file(
    life: Life,
) -> None:
    """Intake puts the file in its place first, and tells the ledger after upkeep did."""
    path = finished(life)
    life.storage.write_atomic(path, b"received again")
    life.upkeep.forget()
    assert path.read_bytes() == b"received again"
    age(path)
    assert life.upkeep.forget() == 1
    assert not path.exists()


def test_a_conflict_is_kept_for_a_person_and_then_expires(life: Life) -> None:
    life.receive("1.2.4.1")
    life.receive("1.2.4.1", version=1)
    life.planner.plan()
    (row,) = life.rows(select(InstanceRow.path).where(InstanceRow.state == "conflict"))
    path = life.storage.root / row.path
    age(path)
    life.clock.advance(100 * 3600)
    assert life.upkeep.forget() == 0
    assert path.exists()
    life.clock.advance(700 * 3600)
    assert life.upkeep.forget() == 1
    assert not path.exists()
    events = life.rows(select(AuditRow.event).where(AuditRow.event.like("instance:upkeep:%")))
    assert [event for (event,) in events] == ["instance:upkeep:expired"]
