"""Batches that end without results: whose fault it was, and what is said of it."""

from __future__ import annotations

import itertools
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select
from structlog.testing import capture_logs

from dicom_node.ledger import batches
from dicom_node.ledger.tables import AuditRow, BatchRow, WorkItemRow
from tests.support.batches import claim, item_states
from tests.support.ledgers import LEASE, TWO_ROUTES, Life


def test_only_the_item_that_kills_workers_fails(life: Life) -> None:
    life.associate()
    uids = life.receive_series(3)
    life.planner.plan()
    poison = uids[1]
    for _ in range(200):
        life.upkeep.catch_up()
        for batch_id in life.due_batches():
            batch = life.claim(batch_id)
            if batch is None:
                continue
            items = list(batch.items)
            life.record(
                batch, list(itertools.takewhile(lambda i: i.sop_instance_uid != poison, items))
            )
            if all(item.sop_instance_uid != poison for item in items):
                life.finish(batch)
        life.clock.advance(LEASE.total_seconds() + 1)
    life.deliver_all()
    while life.due_parcels():
        life.deliver_all()
    assert item_states(life) == {"delivered": 4, "failed": 2}
    failed = life.rows(select(WorkItemRow.reason).where(WorkItemRow.state == "failed"))
    assert all(
        "given up after 3 tries; last: the worker gave no sign" in row.reason for row in failed
    )
    assert {row.state for row in life.rows(select(BatchRow.state))} == {"done"}


def test_what_is_given_up_says_what_its_last_worker_said(life: Life) -> None:
    life.associate()
    life.receive_series(1)
    life.planner.plan()
    life.clock.advance(10)
    life.planner.close_batches()
    first = life.due_batches()[0]
    for number in range(1, 4):
        batch = claim(life, first)
        assert [item.tries for item in batch.items] == [number]
        with life.ledger.write() as unit:
            batches.give_back(unit, batch, after=timedelta(seconds=5), why="the disk is full")
        life.clock.advance(6)
    assert life.claim(first) is None
    (failed,) = life.rows(select(WorkItemRow.reason).where(WorkItemRow.state == "failed"))
    assert failed.reason.startswith("given up after 3 tries; last: the disk is full; see")
    audit = life.rows(
        select(AuditRow.event, AuditRow.detail, AuditRow.batch_id)
        .where(AuditRow.event.in_(["work:worker:release", "work:worker:fail"]))
        .order_by(AuditRow.id)
    )
    assert [(event, detail["reason"], batch) for event, detail, batch in audit] == [
        *[("work:worker:release", "the disk is full", first)] * 3,
        ("work:worker:fail", failed.reason, first),
    ]


def test_where_one_try_is_all_there_is_it_is_said_so(tmp_path: Path) -> None:
    life = Life(tmp_path / "node", tree=TWO_ROUTES | {"workers": {"attempts": 1}})
    life.associate()
    life.receive_series(1)
    life.planner.plan()
    life.clock.advance(10)
    life.planner.close_batches()
    first = life.due_batches()[0]
    claim(life, first)
    life.clock.advance(LEASE.total_seconds() + 1)
    life.upkeep.catch_up()
    assert life.claim(first) is None
    (failed,) = life.rows(select(WorkItemRow.reason).where(WorkItemRow.state == "failed"))
    assert failed.reason.startswith("given up after 1 try; ")
    life.close()


def test_a_batch_whose_plan_was_changed_in_the_ledger_fails_and_says_so(life: Life) -> None:
    life.associate()
    life.receive_series(3)
    life.planner.plan()
    first, other = life.due_batches()
    with life.ledger.write() as unit:
        row = unit.session.get_one(BatchRow, first)
        row.plan = row.plan | {"strength": 0.1}
    with capture_logs() as lines:
        assert life.claim(first) is None
    assert [(line["event"], line["log_level"], line["batch"]) for line in lines] == [
        ("batch.changed", "error", first)
    ]
    assert life.claim(other) is not None
    failed = life.rows(
        select(AuditRow.event, AuditRow.detail, AuditRow.batch_id)
        .where(AuditRow.event == "work:worker:fail")
    )  # fmt: skip
    reasons = life.rows(select(WorkItemRow.reason).where(WorkItemRow.state == "failed"))
    assert [(row.detail["reason"], row.batch_id) for row in failed] == [
        (reason, first) for (reason,) in reasons
    ]
    assert len(failed) == 3
    assert "plan" in failed[0].detail["reason"]
    assert life.rows(select(BatchRow.state).where(BatchRow.id == first)) == [("done",)]
