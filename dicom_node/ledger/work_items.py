"""Work items in the ledger; every change of state goes through `transition`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import insert, select, update

from dicom_node.errors import IllegalTransition
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.states import WorkEvent, WorkState, after
from dicom_node.ledger.tables import WorkItemRow
from dicom_node.ledger.unit_of_work import UnitOfWork

NO_ROUTE = "-"
"""Route name of the work item that accounts for an instance which no route wants."""


def _storable(reason: str | None) -> str | None:
    """A reason without what no database takes: NUL and lone surrogates."""
    if reason is None:
        return None
    return reason.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


def add(
    unit: UnitOfWork,
    instance_id: int,
    route: str,
    state: WorkState,
    *,
    reason: str | None = None,
    batch_id: int | None = None,
) -> int:
    """Insert a work item in its first state (planned, passed or failed); returns its id."""
    reason = _storable(reason)
    events = {
        WorkState.PLANNED: AuditEvent.WORK_PLANNED,
        WorkState.PASSED: AuditEvent.WORK_PASSED,
        WorkState.FAILED: AuditEvent.WORK_UNPLANNABLE,
    }
    statement = (
        insert(WorkItemRow)
        .values(
            instance_id=instance_id,
            route=route,
            batch_id=batch_id,
            state=state.value,
            reason=reason,
            planned_at=unit.at,
            ended_at=unit.at if state.terminal else None,
        )
        .returning(WorkItemRow.id)
    )
    work_item_id = int(unit.session.execute(statement).scalar_one())
    detail = {"route": route} | ({"reason": reason} if reason else {})
    unit.record(
        events[state], detail, instance_id=instance_id, work_item_id=work_item_id, batch_id=batch_id
    )
    return work_item_id


def transition(
    unit: UnitOfWork,
    ids: Iterable[int],
    event: WorkEvent,
    *,
    audit: AuditEvent,
    reason: str | None = None,
    batch_id: int | None = None,
) -> None:
    """Apply `event` to work items, all or none. One that starts has a try more.

    Raises
    ------
    IllegalTransition
        If the transition table has no such change for the state that an item is in.
    """
    wanted = sorted(set(ids))
    if not wanted:
        return
    reason = _storable(reason)
    rows = unit.session.execute(
        select(WorkItemRow.id, WorkItemRow.state, WorkItemRow.instance_id)
        .where(WorkItemRow.id.in_(wanted))
        .order_by(WorkItemRow.id)
        .with_for_update()
    ).all()
    targets: dict[WorkState, list[int]] = {}
    for work_item_id, state, instance_id in rows:
        target = after(WorkState(state), event)
        if target is None:
            raise IllegalTransition(f"work item {work_item_id} is {state}; cannot {event.value}")
        targets.setdefault(target, []).append(work_item_id)
        unit.record(
            audit,
            {"reason": reason} if reason else None,
            instance_id=instance_id,
            work_item_id=work_item_id,
            batch_id=batch_id,
        )
    counted = {"tries": WorkItemRow.tries + 1} if event is WorkEvent.START else {}
    for target, members in targets.items():
        unit.session.execute(
            update(WorkItemRow)
            .where(WorkItemRow.id.in_(members))
            .values(
                state=target.value,
                reason=reason,
                ended_at=unit.at if target.terminal else None,
                **counted,
            )
        )


def of_batch(unit: UnitOfWork, batch_id: int, states: Sequence[WorkState]) -> list[int]:
    """Ids of a batch's items in any of `states`."""
    return list(
        unit.session.execute(
            select(WorkItemRow.id)
            .where(WorkItemRow.batch_id == batch_id)
            .where(WorkItemRow.state.in_([state.value for state in states]))
        ).scalars()
    )


def take_off_try(unit: UnitOfWork, ids: Iterable[int]) -> None:
    """Take off the last try of work items that it says nothing about."""
    unit.session.execute(
        update(WorkItemRow)
        .where(WorkItemRow.id.in_(sorted(ids)), WorkItemRow.tries > 0)
        .values(tries=WorkItemRow.tries - 1)
    )


def end(unit: UnitOfWork, work_item_id: int, state: WorkState, reason: str) -> None:
    """End a planned item ``passed`` or ``failed`` without work.

    Raises
    ------
    IllegalTransition
        If the item is not planned.
    """
    passed = state is WorkState.PASSED
    transition(
        unit,
        [work_item_id],
        WorkEvent.PASS if passed else WorkEvent.FAIL,
        audit=AuditEvent.WORK_PASSED if passed else AuditEvent.WORK_UNPLANNABLE,
        reason=reason,
    )
