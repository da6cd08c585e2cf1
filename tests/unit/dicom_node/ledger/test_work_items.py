"""Work items that end without work, and what is written of them."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from dicom_node.errors import IllegalTransition
from dicom_node.ledger import work_items
from dicom_node.ledger.states import WorkState
from dicom_node.ledger.tables import AuditRow, WorkItemRow
from tests.support.ledgers import Life


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
