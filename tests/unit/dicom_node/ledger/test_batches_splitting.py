"""A batch that workers die of is split, so that what kills them stands alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from dicom_node.bell.outbox import Queue, Ring
from dicom_node.ledger import batches
from dicom_node.ledger.tables import AuditRow, BatchRow, InstanceRow, WorkItemRow
from tests.support.batches import claim
from tests.support.ledgers import LEASE, Life


@pytest.fixture
def worn(life: Life) -> tuple[Life, int]:
    """A batch of three that workers were lost with as often as may be."""
    life.associate()
    life.receive_series(3)
    life.planner.plan()
    first = life.due_batches()[0]
    for _ in range(life.settings.workers.attempts):
        claim(life, first)
        life.clock.advance(LEASE.total_seconds() + 1)
        life.upkeep.catch_up()
    life.bell.rings.clear()
    return life, first


def batch_rows(life: Life, *ids: int) -> list[Any]:
    with life.ledger.read() as session:
        return [session.get_one(BatchRow, each) for each in ids]


def members(life: Life, route: str = "ct") -> list[Any]:
    statement = select(WorkItemRow, InstanceRow).join(
        InstanceRow, InstanceRow.id == WorkItemRow.instance_id
    )
    return life.rows(statement.where(WorkItemRow.route == route).order_by(WorkItemRow.id))


def test_each_part_is_what_the_whole_was_but_of_one_item(worn: tuple[Life, int]) -> None:
    life, first = worn
    assert life.claim(first) is None
    (whole,) = batch_rows(life, first)
    assert (whole.state, whole.done_at) == ("done", life.clock.at)
    found = members(life)
    parts = batch_rows(life, *(item.batch_id for item, _ in found))
    assert len({part.id for part in parts} | {first}) == 4
    for part, (_, instance) in zip(parts, found, strict=True):
        assert (part.state, part.due_at) == ("due", life.clock.at)
        assert (part.count, part.size) == (1, instance.size)
        assert part.last_item_at == life.clock.at
        for name in (
            "series_uid", "route", "model_name", "model_version", "model_sha256", "plan",
            "plan_sha256", "association_id", "opened_at", "arrival",
        ):  # fmt: skip
            assert getattr(part, name) == getattr(whole, name), name
    assert life.bell.rings == [Ring(Queue.INFER, parts[0].id)]


def test_each_part_has_one_try_left(worn: tuple[Life, int]) -> None:
    life, first = worn
    assert life.claim(first) is None
    parts = [item.batch_id for item, _ in members(life)]
    for part in parts:
        batch = claim(life, part)
        assert batch.attempts == life.settings.workers.attempts
        assert [item.tries for item in batch.items] == [batch.attempts]
        with life.ledger.write() as unit:
            batches.give_back(unit, batch, after=timedelta(0), why="so")
        assert life.claim(part) is None
    assert {item.state for item, _ in members(life)} == {"failed"}
    assert {row.state for row in batch_rows(life, *parts)} == {"done"}


def test_what_is_split_stays_planned_and_is_audited_when_it_fails(worn: tuple[Life, int]) -> None:
    life, first = worn
    life.claim(first)
    assert {item.state for item, _ in members(life)} == {"planned"}
    (last, _) = members(life)[-1]
    batch = claim(life, last.batch_id)
    with life.ledger.write() as unit:
        batches.give_back(unit, batch, after=timedelta(0), why="so")
    assert life.claim(last.batch_id) is None
    failed = life.rows(
        select(AuditRow.work_item_id, AuditRow.batch_id).where(AuditRow.event == "work:worker:fail")
    )
    assert [tuple(row) for row in failed] == [(last.id, last.batch_id)]


def test_a_batch_with_nothing_left_to_do_ends(life: Life) -> None:
    """Workers were lost with it after each of its items had ended."""
    life.associate()
    life.receive_series(3)
    life.planner.plan()
    first = life.due_batches()[0]
    life.record(claim(life, first))
    for _ in range(life.settings.workers.attempts):
        life.clock.advance(LEASE.total_seconds() + 1)
        life.upkeep.catch_up()
        again = life.claim(first)
        assert again is None or again.items == ()
    assert [row.state for row in batch_rows(life, first)] == ["done"]
    assert len(life.due_parcels()) == 2
