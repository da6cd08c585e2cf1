"""What retention does where the disk or a row answers with a fault, and what it then leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from structlog.testing import capture_logs

from dicom_node.errors import LedgerError, SpoolAway, StorageError
from dicom_node.ledger import conflicts
from dicom_node.ledger.tables import AuditRow, InstanceRow, ResultRow
from dicom_node.spool.spool import SHARDS
from tests.support.clock import age
from tests.support.ledgers import Life, reversed_where_unordered


@pytest.fixture
def finished(life: Life) -> list[str]:
    """Names of three instances all of whose work ended long ago."""
    life.receive_series(3)
    life.denoise_all()
    while life.due_parcels():
        life.deliver_all()
    names = [row.path for row in life.rows(select(InstanceRow.path).order_by(InstanceRow.id))]
    age(*map(life.spool.path, names))
    life.clock.advance(73 * 3600)
    return names


def kept(life: Life) -> list[str]:
    rows = life.rows(select(InstanceRow.path).where(InstanceRow.path.is_not(None)))
    return [row.path for row in rows]


def faulty(life: Life, monkeypatch: pytest.MonkeyPatch, name: str, fault: Exception) -> None:
    """Whether one file is new cannot be seen."""
    written_at = life.spool.written_at

    def seen(asked: str) -> float | None:
        if asked == name:
            raise fault
        return written_at(asked)

    monkeypatch.setattr(life.spool, "written_at", seen)


def test_a_disk_that_does_not_answer_is_said_to_whoever_asked_and_nothing_is_forgotten(
    life: Life, finished: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        faulty(life, patch, finished[1], StorageError("a file cannot be found: no answer"))
        for _ in range(4):
            with pytest.raises(StorageError):
                life.retention.forget()
    assert kept(life) == finished
    assert life.retention.forget() == 3


def test_a_file_that_cannot_be_judged_is_tried_three_times_and_keeps_no_other(
    life: Life, finished: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty(life, monkeypatch, finished[1], ZeroDivisionError("PHI MARKER"))
    with capture_logs() as lines:
        assert [life.retention.forget() for _ in range(5)] == [2, 0, 0, 0, 0]
    assert kept(life) == [finished[1]]
    said = [line for line in lines if line["event"] == "instance.not_forgotten"]
    assert [line["tries"] for line in said] == [1, 2, 3]
    assert ["starts again" in line["next"] for line in said] == [False, False, True]


def test_a_file_that_is_gone_already_is_forgotten(life: Life, finished: list[str]) -> None:
    life.spool.path(finished[1]).unlink()
    assert life.retention.forget() == 3
    assert kept(life) == []


def test_a_result_that_has_no_file_any_more_stands_in_nobodys_way(
    life: Life, finished: list[str]
) -> None:
    life.write_results()
    rows = life.rows(select(ResultRow.path).order_by(ResultRow.id))
    first, *others = (life.spool.path(row.path) for row in rows)
    with life.ledger.write() as unit:
        unit.session.execute(update(ResultRow).where(ResultRow.id == 1).values(path=None))
    with capture_logs() as lines:
        assert life.retention.forget() == len(finished)
    assert [(line["event"], line["instances"], line["results"]) for line in lines] == [
        ("upkeep.forgot", len(finished), len(others))
    ]
    assert first.exists()
    assert not any(path.exists() for path in others)


def test_what_is_forgotten_is_audited_in_the_order_of_reception(
    life: Life, finished: list[str]
) -> None:
    reversed_where_unordered(life.ledger.engine)
    assert life.retention.forget() == len(finished)
    expired = life.rows(
        select(AuditRow.instance_id)
        .where(AuditRow.event == "instance:upkeep:expired")
        .order_by(AuditRow.id)
    )
    assert [row.instance_id for row in expired] == [1, 2, 3]


def copies(life: Life, *uids: str) -> list[Path]:
    """Files of instances of before, which no row names any more: each a copy of a row's."""
    found = []
    for uid in uids:
        ((name,),) = life.rows(select(InstanceRow.path).where(InstanceRow.sop_instance_uid == uid))
        path = life.spool.instance_path(uid)
        life.spool.write_atomic(path, life.spool.path(name).read_bytes())
        age(path)
        found.append(path)
    return found


def sweep(life: Life) -> int:
    return sum(life.retention.sweep_orphans(shard) for shard in range(SHARDS))


def test_an_orphan_that_cannot_be_removed_leaves_the_others_swept(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.receive_series(2)
    first, second = copies(life, "1.2.4.1", "1.2.4.2")
    remove = life.spool.remove

    def failing(path: Path) -> None:
        if path == first:
            raise StorageError("1.2.4.1: cannot be removed from the spool: no answer")
        remove(path)

    with monkeypatch.context() as patch:
        patch.setattr(life.spool, "remove", failing)
        assert sweep(life) == 1
    assert (first.exists(), second.exists()) == (True, False)
    assert sweep(life) == 1
    assert not first.exists()


def test_what_is_left_of_a_conflict_that_a_person_discarded_goes(life: Life) -> None:
    life.receive("1.2.4.1")
    life.receive("1.2.4.1", version=1)
    life.planner.plan()
    ((conflict, name),) = life.rows(
        select(InstanceRow.id, InstanceRow.path).where(InstanceRow.state == "conflict")
    )
    left = life.spool.path(name)
    age(left)
    with life.ledger.write() as unit:
        assert conflicts.discard(unit, [conflict]).paths == (name,)
    assert sweep(life) == 1
    assert not left.exists()


def test_what_is_left_of_an_instance_whose_work_has_not_ended_stays(life: Life) -> None:
    life.receive("1.2.4.1")
    life.planner.plan()
    ((name,),) = life.rows(select(InstanceRow.path))
    left = life.spool.path(name)
    age(left)
    with life.ledger.write() as unit:
        unit.session.execute(update(InstanceRow).values(path=None))
    assert sweep(life) == 0
    assert left.exists()


def test_rounds_come_to_every_folder(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def swept(shard: int) -> int:
        seen.append(shard)
        return 0

    monkeypatch.setattr(life.retention, "sweep_orphans", swept)
    for _ in range(SHARDS):
        life.retention.forget()
    assert set(seen) == set(range(SHARDS))


@pytest.mark.parametrize("fault", [SpoolAway("away"), LedgerError("no answer")])
def test_while_spool_or_ledger_is_away_the_sweep_ends_and_nothing_is_forgotten(
    life: Life, finished: list[str], monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    (copy,) = copies(life, "1.2.4.1")

    def away(*_: Any) -> Any:
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr(life.retention, "_copy_of", away)
        with pytest.raises(type(fault)), capture_logs() as lines:
            sweep(life)
        patch.setattr(life.retention, "sweep_orphans", away)
        with pytest.raises(type(fault)):
            life.retention.forget()
    assert lines == [], "no fault of a file, nor is it said to be unknown"
    assert copy.exists()
    assert kept(life) == finished


def test_a_file_that_cannot_be_read_may_be_the_only_copy(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.receive("1.2.4.1")
    (copy,) = copies(life, "1.2.4.1")

    def unreadable(*_: Any) -> Any:
        raise StorageError("it cannot be read")

    with monkeypatch.context() as patch:
        patch.setattr(life.spool, "open", unreadable)
        assert sweep(life) == 0
    assert copy.exists()
    assert sweep(life) == 1
