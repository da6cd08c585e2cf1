"""One row harms only itself where files are forgotten, swept and proven."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DataError
from structlog.testing import capture_logs

from dicom_node.audit.reconcile import reconcile
from dicom_node.errors import LedgerError
from dicom_node.ledger import keeping, recall
from dicom_node.ledger.proof import Scope
from dicom_node.ledger.tables import InstanceRow, WorkItemRow
from dicom_node.ledger.unit_of_work import UnitOfWork
from dicom_node.spool import stored
from dicom_node.spool.spool import SHARDS
from dicom_node.upkeep import retention
from tests.support.clock import age
from tests.support.ledgers import Life


def finished(life: Life, count: int) -> list[int]:
    """Instances all of whose work ended long ago; returns their ids."""
    life.receive_series(count)
    life.denoise_all()
    while life.due_parcels():
        life.deliver_all()
    rows = life.rows(select(InstanceRow.id, InstanceRow.path))
    age(*(life.spool.root / row.path for row in rows))
    life.clock.advance(73 * 3600)
    return [row.id for row in rows]


def kept(life: Life) -> set[int]:
    return {
        row.id for row in life.rows(select(InstanceRow.id).where(InstanceRow.path.is_not(None)))
    }


def test_a_row_that_cannot_be_forgotten_keeps_no_other(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = finished(life, 6)
    forget = keeping.forget
    tried: list[int] = []

    def poisoned(unit: Any, instances: dict[int, str], times: Any) -> list[str]:
        if ids[2] in instances:
            tried.append(len(instances))
            raise ZeroDivisionError("PHI MARKER")
        return forget(unit, instances, times)

    monkeypatch.setattr(keeping, "forget", poisoned)
    with capture_logs() as lines:
        for _ in range(6):
            life.upkeep.retention.forget()
    assert kept(life) == {ids[2]}
    assert tried.count(1) == 3, "and then it is left alone"
    said = [line for line in lines if line["event"] == "instance.not_forgotten"]
    assert [(line["instance"], line["tries"]) for line in said] == [(ids[2], n) for n in (1, 2, 3)]


def test_what_is_recalled_between_the_look_and_the_ledger_keeps_its_bytes(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention has seen that the work ended; before it writes so, a person wants it again."""
    finished(life, 2)
    life.write_results()
    write = life.ledger.write
    items = [row.id for row in life.rows(select(WorkItemRow.id))]

    @contextmanager
    def after_a_recall() -> Iterator[UnitOfWork]:
        monkeypatch.setattr(life.ledger, "write", write)
        with write() as unit:
            assert recall.retry(unit, items).redelivered == len(items)
        with write() as unit:
            yield unit

    monkeypatch.setattr(life.ledger, "write", after_a_recall)
    assert life.retention.forget() == 0
    assert len(kept(life)) == 2


def test_those_that_are_kept_hold_up_no_other(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many of them there are, and though they came first."""
    ids = finished(life, 5)
    with life.ledger.write() as unit:
        unit.session.execute(text("UPDATE work_item SET state = 'failed' WHERE instance_id < 5"))
    monkeypatch.setattr(retention, "MOST_TO_FORGET", 2)
    assert life.retention.forget() == 1
    assert kept(life) == set(ids[:4])


def test_a_ledger_that_is_away_is_no_fault_of_a_row(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(life, 2)
    write = life.ledger.write

    def away() -> Any:
        raise LedgerError("the ledger's database answered: no answer")

    monkeypatch.setattr(life.ledger, "write", away)
    with capture_logs() as lines:
        for _ in range(4):
            with pytest.raises(LedgerError):
                life.retention.forget()
    assert lines == []
    monkeypatch.setattr(life.ledger, "write", write)
    assert life.retention.forget() == 2


def test_a_row_that_the_ledger_refuses_keeps_no_other(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = finished(life, 3)
    forget = keeping.forget

    def refused(unit: Any, instances: dict[int, str], times: Any) -> list[str]:
        if ids[0] in instances:
            raise LedgerError("it was refused") from DataError("", {}, Exception("too long"))
        return forget(unit, instances, times)

    monkeypatch.setattr(keeping, "forget", refused)
    assert life.retention.forget() == 2
    assert kept(life) == {ids[0]}


def test_only_files_that_no_row_names_are_taken_away_again(life: Life) -> None:
    """By a worker whose results were not recorded."""
    life.receive("1.2.4.1")
    ((named,),) = life.rows(select(InstanceRow.path))
    left = life.spool.result_path("1.2.9.1")
    life.spool.write_atomic(left, b"x")
    names = [named, life.spool.name(left)]
    retention.remove_unnamed(life.ledger, life.spool, names)
    assert not left.exists()
    assert life.spool.path(named).exists()


def test_while_the_ledger_is_away_files_stay(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    left = life.spool.result_path("1.2.9.1")
    life.spool.write_atomic(left, b"x")

    def away() -> Any:
        raise LedgerError("the ledger's database answered: no answer")

    monkeypatch.setattr(life.ledger, "read", away)
    retention.remove_unnamed(life.ledger, life.spool, [life.spool.name(left)])
    assert left.exists()


def test_a_sweep_that_fails_does_not_stop_forgetting(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(life, 3)

    def poisoned(shard: int) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(life.upkeep.retention, "sweep_orphans", poisoned)
    life.upkeep.retention.forget()
    assert kept(life) == set()


def test_an_orphan_that_cannot_be_judged_stays_and_the_others_go(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies: list[Path] = []
    for uid in ("1.2.4.1", "1.2.4.2"):
        life.receive(uid)
        ((name,),) = life.rows(select(InstanceRow.path).where(InstanceRow.sop_instance_uid == uid))
        copy = life.spool.instance_path(uid)
        life.spool.write_atomic(copy, life.spool.path(name).read_bytes())
        age(copy)
        copies.append(copy)
    sweep = life.upkeep.retention
    copy_of = sweep._copy_of

    def judge(name: str) -> Any:
        if "/1.2.4.1-" in name:
            raise ZeroDivisionError("PHI MARKER")
        return copy_of(name)

    monkeypatch.setattr(sweep, "_copy_of", judge)
    with capture_logs() as lines:
        assert sum(sweep.sweep_orphans(shard) for shard in range(SHARDS)) == 1
    assert [copy.exists() for copy in copies] == [True, False]
    assert [line["file"] for line in lines if line["event"] == "file.fault"] == [
        life.spool.name(copies[0])
    ]


def test_a_file_that_cannot_be_proven_is_one_fault_of_the_proof(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.receive_series(4)

    opened = stored.opened

    def poisoned(spool: Any, one: Any) -> Any:
        if one.sop_instance_uid == "1.2.4.2":
            raise ZeroDivisionError("PHI MARKER")
        return opened(spool, one)

    monkeypatch.setattr(stored, "opened", poisoned)
    report = reconcile(life.ledger, life.settings, Scope(), spool=life.spool)
    assert report.spool is not None
    assert report.spool.checked == 4
    faults = {each["sop_instance_uid"]: each["fault"] for each in report.spool.faults}
    assert "ZeroDivisionError at " in faults["1.2.4.2"]
    assert "MARKER" not in str(faults)
