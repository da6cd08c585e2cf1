"""Work items: what they are when they begin, how they change, and what is written of it."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from dicom_node.errors import IllegalTransition
from dicom_node.ledger import work_items
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.states import WorkEvent, WorkState
from dicom_node.ledger.tables import AuditRow, InstanceRow, WorkItemRow
from tests.support.ledgers import Life, reversed_where_unordered


@pytest.fixture
def planned(life: Life) -> int:
    """A planned work item."""
    life.associate()
    life.receive("1.2.4.1")
    life.planner.plan()
    return int(life.rows(select(WorkItemRow.id).order_by(WorkItemRow.id))[0].id)


@pytest.mark.parametrize(
    ("state", "event"),
    [("passed", "work:planning:passed"), ("failed", "work:planning:failed")],
)
def test_a_planned_item_ends_as_it_was_said(
    life: Life, planned: int, state: str, event: str
) -> None:
    life.clock.advance(7)
    with life.ledger.write() as unit:
        work_items.end(unit, planned, WorkState(state), "so")
    (found,) = life.rows(
        select(WorkItemRow.state, WorkItemRow.reason, WorkItemRow.ended_at).where(
            WorkItemRow.id == planned
        )
    )
    assert tuple(found) == (state, "so", life.clock())
    last = life.rows(
        select(AuditRow.event, AuditRow.detail, AuditRow.work_item_id).order_by(AuditRow.id)
    )[-1]
    assert tuple(last) == (event, {"reason": "so"}, planned)


def test_what_has_ended_does_not_end_again(life: Life, planned: int) -> None:
    with life.ledger.write() as unit:
        work_items.end(unit, planned, WorkState.PASSED, "so")
    with pytest.raises(IllegalTransition), life.ledger.write() as unit:
        work_items.end(unit, planned, WorkState.FAILED, "or so")


def rows(life: Life) -> list[WorkItemRow]:
    return [row for (row,) in life.rows(select(WorkItemRow).order_by(WorkItemRow.id))]


def instance_id(life: Life) -> int:
    return int(life.rows(select(InstanceRow.id))[0].id)


@pytest.mark.parametrize(
    ("state", "reason", "event"),
    [
        ("planned", None, "work:planning:planned"),
        ("passed", "no route", "work:planning:passed"),
        ("failed", "unreadable", "work:planning:failed"),
    ],
)
def test_an_item_begins_as_it_was_said(
    life: Life, planned: int, state: str, reason: str | None, event: str
) -> None:
    batch = rows(life)[0].batch_id
    life.clock.advance(3)
    with life.ledger.write() as unit:
        added = work_items.add(
            unit, instance_id(life), "other", WorkState(state), reason=reason, batch_id=batch
        )
    row = rows(life)[-1]
    assert (row.id, row.instance_id, row.route) == (added, instance_id(life), "other")
    assert (row.state, row.reason, row.batch_id, row.tries) == (state, reason, batch, 0)
    assert row.planned_at == life.clock.at
    assert row.ended_at == (None if state == "planned" else life.clock.at)
    last = life.rows(
        select(AuditRow.event, AuditRow.detail, AuditRow.instance_id, AuditRow.work_item_id,
               AuditRow.batch_id).order_by(AuditRow.id)
    )[-1]  # fmt: skip
    detail = {"route": "other"} | ({"reason": reason} if reason else {})
    assert tuple(last) == (event, detail, instance_id(life), added, batch)


def test_a_change_is_of_the_items_that_were_named_and_audited_for_each(
    life: Life, planned: int
) -> None:
    other = rows(life)[1]
    life.clock.advance(3)
    before = len(life.rows(select(AuditRow.id)))
    with life.ledger.write() as unit:
        work_items.transition(
            unit, [planned, planned], WorkEvent.START, audit=AuditEvent.WORK_START, batch_id=7
        )
    assert [(row.state, row.tries, row.reason, row.ended_at) for row in rows(life)] == [
        ("running", 1, None, None), ("planned", 0, None, None),
    ]  # fmt: skip
    with life.ledger.write() as unit:
        work_items.transition(
            unit, [planned, other.id], WorkEvent.FAIL, audit=AuditEvent.WORK_FAIL, reason="so"
        )
    assert [(row.state, row.tries, row.reason, row.ended_at) for row in rows(life)] == [
        ("failed", 1, "so", life.clock.at), ("failed", 0, "so", life.clock.at),
    ]  # fmt: skip
    audit = life.rows(
        select(AuditRow.event, AuditRow.detail, AuditRow.instance_id, AuditRow.work_item_id,
               AuditRow.batch_id).order_by(AuditRow.id)
    )[before:]  # fmt: skip
    assert [tuple(row) for row in audit] == [
        ("work:worker:start", None, instance_id(life), planned, 7),
        ("work:worker:fail", {"reason": "so"}, instance_id(life), planned, None),
        ("work:worker:fail", {"reason": "so"}, instance_id(life), other.id, None),
    ]


def test_what_happens_to_many_is_audited_in_their_order(life: Life, planned: int) -> None:
    reversed_where_unordered(life.ledger.engine)
    ids = [row.id for row in rows(life)]
    with life.ledger.write() as unit:
        work_items.transition(unit, ids, WorkEvent.START, audit=AuditEvent.WORK_START)
    audit = life.rows(
        select(AuditRow.work_item_id)
        .where(AuditRow.event == "work:worker:start")
        .order_by(AuditRow.id)
    )
    assert [row.work_item_id for row in audit] == ids


def test_what_was_taken_up_again_has_ended_no_more_and_says_no_reason(
    life: Life, planned: int
) -> None:
    with life.ledger.write() as unit:
        work_items.end(unit, planned, WorkState.FAILED, "so")
    with life.ledger.write() as unit:
        work_items.transition(unit, [planned], WorkEvent.RETRY, audit=AuditEvent.WORK_RETRY)
    first = rows(life)[0]
    assert (first.state, first.reason, first.ended_at) == ("planned", None, None)


def test_a_change_happens_to_all_or_none(life: Life, planned: int) -> None:
    other = rows(life)[1].id
    with life.ledger.write() as unit:
        work_items.end(unit, other, WorkState.PASSED, "so")
    before = len(life.rows(select(AuditRow.id)))
    with (
        pytest.raises(IllegalTransition, match=rf"item {other} is passed; cannot start"),
        life.ledger.write() as unit,
    ):
        work_items.transition(unit, [planned, other], WorkEvent.START, audit=AuditEvent.WORK_START)
    assert [row.state for row in rows(life)] == ["planned", "passed"]
    assert len(life.rows(select(AuditRow.id))) == before


def test_what_a_reason_quotes_can_be_written(life: Life, planned: int) -> None:
    """NUL and lone surrogates have no place in a database; they are in images."""
    with life.ledger.write() as unit:
        work_items.end(unit, planned, WorkState.FAILED, "a\0b\ud800c")
        work_items.add(unit, instance_id(life), "other", WorkState.FAILED, reason="a\0b\ud800c")
    assert [row.reason for row in rows(life)] == ["a b?c", None, "a b?c"]


def test_a_try_is_taken_off_those_named_that_have_one(life: Life, planned: int) -> None:
    """An item of an earlier release may run without a try counted."""
    life.receive("1.2.4.2")
    life.planner.plan()
    ids = [row.id for row in rows(life)]
    with life.ledger.write() as unit:
        for row_id, tries in zip(ids, (2, 0, 1, 1), strict=True):
            unit.session.get_one(WorkItemRow, row_id).tries = tries
    with life.ledger.write() as unit:
        work_items.take_off_try(unit, ids[:3])
    assert [row.tries for row in rows(life)] == [1, 0, 0, 1]
