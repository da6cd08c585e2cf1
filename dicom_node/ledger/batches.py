"""Batches in the ledger: opened while a study arrives, claimed and finished by workers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import ColumnElement, and_, exists, func, select
from sqlalchemy.orm import Session

from dicom_node.errors import LedgerError
from dicom_node.ledger import leases, parcels, plans, work_items
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.ringing import make_due
from dicom_node.ledger.states import BatchState, InstanceState, WorkEvent, WorkState
from dicom_node.ledger.tables import (
    AssociationRow,
    BatchRow,
    InstanceRow,
    WorkItemRow,
)
from dicom_node.ledger.unit_of_work import UnitOfWork
from dicom_node.spool.stored import ObjectKind, StoredObject
from model_store.ref import ModelRef


@dataclass(frozen=True, slots=True)
class ClaimedItem:
    """One work item of a claimed batch; `tries` counts this one too."""

    work_item_id: int
    sop_instance_uid: str
    source: StoredObject
    planned_at: datetime
    tries: int


@dataclass(frozen=True, slots=True)
class ClaimedBatch:
    """A batch that one worker has taken, with the items that are still to do."""

    batch_id: int
    series_uid: str
    route: str
    model: ModelRef
    plan: Mapping[str, Any]
    worker: str
    attempts: int
    opened_at: datetime
    items: tuple[ClaimedItem, ...]


def join(
    unit: UnitOfWork,
    *,
    series_uid: str,
    route: str,
    model: ModelRef,
    plan: Mapping[str, Any],
    association_id: str,
    size: int,
    most_instances: int,
    most_bytes: int,
) -> int:
    """Add one instance to the open batch of its series, route, model version and plan.

    A batch that is full becomes due at once. Returns the batch's id.
    """
    open_rows = unit.session.execute(
        select(BatchRow)
        .where(BatchRow.series_uid == series_uid, BatchRow.route == route)
        .where(BatchRow.state == BatchState.OPEN.value)
        .where(BatchRow.model_sha256 == model.sha256)
        .order_by(BatchRow.id)
        .with_for_update()
    ).scalars()
    row = next((each for each in open_rows if each.plan == dict(plan)), None)
    if row is None:
        row = BatchRow(
            series_uid=series_uid,
            route=route,
            model_name=model.name,
            model_version=model.version,
            model_sha256=model.sha256,
            plan=dict(plan),
            state=BatchState.OPEN.value,
            count=0,
            size=0,
            association_id=association_id,
            opened_at=unit.at,
            last_item_at=unit.at,
            attempts=0,
            arrival=_arrival(unit, series_uid),
        )
        row.plan_sha256 = plans.plan_sha256(row)
        unit.session.add(row)
    row.count += 1
    row.size += size
    row.association_id = association_id
    row.last_item_at = unit.at
    unit.session.flush()
    row.arrival = row.arrival or row.id
    if row.count >= most_instances or row.size >= most_bytes:
        make_due(unit, row)
    return row.id


def _arrival(unit: UnitOfWork, series_uid: str) -> int:
    """Place of a series in the order of arrival; 0 for one that has no batch yet."""
    first = select(func.min(BatchRow.id)).where(BatchRow.series_uid == series_uid)
    return unit.session.execute(first).scalar_one() or 0


def close_ready(unit: UnitOfWork, quiet: timedelta) -> int:
    """Make open batches due whose association has ended, or to which nothing was added lately.

    Returns
    -------
    int
        Number of batches closed.
    """
    rows = unit.session.execute(
        select(BatchRow)
        .where(_is_ready(unit.at, quiet))
        .order_by(BatchRow.id)
        .with_for_update(skip_locked=True)
    ).scalars()
    count = 0
    for row in rows:
        make_due(unit, row)
        count += 1
    return count


def any_ready(session: Session, at: datetime, quiet: timedelta) -> bool:
    """Whether `close_ready` has anything to do; for a look before a transaction that writes."""
    found = session.execute(select(BatchRow.id).where(_is_ready(at, quiet)).limit(1))
    return found.first() is not None


def _is_ready(at: datetime, quiet: timedelta) -> ColumnElement[bool]:
    ended = exists().where(
        AssociationRow.id == BatchRow.association_id, AssociationRow.closed_at.is_not(None)
    )
    arriving = exists().where(
        InstanceRow.association_id == BatchRow.association_id,
        InstanceRow.state == InstanceState.RECEIVED.value,
    )
    return and_(
        BatchRow.state == BatchState.OPEN.value,
        (BatchRow.last_item_at <= at - quiet) | (ended & ~arriving),
    )


def claim(
    unit: UnitOfWork, batch_id: int, worker: str, lease: timedelta, most_attempts: int
) -> ClaimedBatch | None:
    """Take a due batch; None if somebody else has it, it is done, or it is not due yet.

    A batch whose workers died `most_attempts` times is split into batches of one item, so that
    the item that kills workers stands alone; alone, it fails.
    """
    row = unit.session.execute(
        select(BatchRow)
        .where(BatchRow.id == batch_id)
        .where(BatchRow.state == BatchState.DUE.value, BatchRow.due_at <= unit.at)
        .with_for_update()
    ).scalar_one_or_none()
    if row is None:
        return None
    items = unit.session.execute(
        select(WorkItemRow, InstanceRow)
        .join(InstanceRow, InstanceRow.id == WorkItemRow.instance_id)
        .where(WorkItemRow.batch_id == batch_id, WorkItemRow.state == WorkState.PLANNED.value)
        .order_by(WorkItemRow.id)
    ).all()
    if not plans.is_as_planned(row):
        structlog.get_logger("ledger").error(
            "batch.changed", batch=batch_id, items=len(items), reason=plans.CHANGED
        )
        _fail(unit, row, [item.id for item, _ in items], plans.CHANGED)
        return None
    if row.attempts >= most_attempts:
        _give_up(unit, row, [(item, instance.size) for item, instance in items])
        return None
    row.state = BatchState.RUNNING.value
    row.worker = worker
    row.attempts += 1
    row.lease_until = unit.at + lease
    tries = {item.id: item.tries + 1 for item, _ in items}
    work_items.transition(
        unit,
        list(tries),
        WorkEvent.START,
        audit=AuditEvent.WORK_START,
        batch_id=batch_id,
    )
    return ClaimedBatch(
        batch_id=row.id,
        series_uid=row.series_uid,
        route=row.route,
        model=ModelRef(row.model_name, row.model_version, row.model_sha256),
        plan=row.plan,
        worker=worker,
        attempts=row.attempts,
        opened_at=row.opened_at,
        items=tuple(
            ClaimedItem(
                item.id,
                instance.sop_instance_uid,
                StoredObject.of(ObjectKind.INSTANCE, instance),
                item.planned_at,
                tries[item.id],
            )
            for item, instance in items
        ),
    )


def _fail(unit: UnitOfWork, row: BatchRow, items: Sequence[int], reason: str) -> None:
    work_items.transition(
        unit, items, WorkEvent.FAIL, audit=AuditEvent.WORK_FAIL, reason=reason, batch_id=row.id
    )
    _done(unit, row)


def _give_up(unit: UnitOfWork, row: BatchRow, items: Sequence[tuple[WorkItemRow, int]]) -> None:
    if len(items) > 1:
        for item, size in items:
            single = BatchRow(
                series_uid=row.series_uid,
                route=row.route,
                model_name=row.model_name,
                model_version=row.model_version,
                model_sha256=row.model_sha256,
                plan=row.plan,
                plan_sha256=row.plan_sha256,
                state=BatchState.DUE.value,
                count=1,
                size=size,
                association_id=row.association_id,
                opened_at=row.opened_at,
                last_item_at=unit.at,
                attempts=row.attempts - 1,
                arrival=row.arrival,
            )
            unit.session.add(single)
            unit.session.flush()
            item.batch_id = single.id
            item.tries = single.attempts
            make_due(unit, single)
    elif items:
        ((item, _),) = items
        tries = "1 try" if row.attempts == 1 else f"{row.attempts} tries"
        work_items.transition(
            unit,
            [item.id],
            WorkEvent.FAIL,
            audit=AuditEvent.WORK_FAIL,
            reason=f"given up after {tries}; last: "
            f"{item.reason or 'the worker gave no sign'}; see the workers' log, repair the "
            "cause, then 'dicom-node study retry'",
            batch_id=row.id,
        )
    _done(unit, row)


def _is_held(batch: ClaimedBatch) -> ColumnElement[bool]:
    return leases.is_held(BatchRow, batch.batch_id, batch, BatchState.RUNNING)


def renew(unit: UnitOfWork, batch: ClaimedBatch, lease: timedelta) -> bool:
    """Prolong the lease; False if the batch was taken back in the meantime."""
    return leases.renew(unit, BatchRow, _is_held(batch), lease)


def held(unit: UnitOfWork, batch: ClaimedBatch) -> BatchRow:
    """Lock the batch for its worker.

    Raises
    ------
    LedgerError
        If the batch was taken back; what the worker did since is dropped.
    """
    row = unit.session.execute(
        select(BatchRow).where(_is_held(batch)).with_for_update()
    ).scalar_one_or_none()
    if row is None:
        raise LedgerError(f"batch {batch.batch_id} was taken back from this worker")
    return row


def finish(unit: UnitOfWork, batch: ClaimedBatch) -> None:
    """End a held batch: its parcels become due."""
    _done(unit, held(unit, batch))


def _done(unit: UnitOfWork, row: BatchRow) -> None:
    row.state = BatchState.DONE.value
    row.done_at = unit.at
    row.lease_until = None
    row.worker = None
    parcels.close(unit, row.id)


def give_back(
    unit: UnitOfWork,
    batch: ClaimedBatch,
    *,
    after: timedelta | None,
    why: str,
    counted: bool = True,
    at_fault: Collection[int] = (),
) -> None:
    """Return a held batch: what is not finished is planned again, due now or `after` a while.

    With `after` None, an orderly stop, the try does not count, nor where it is not `counted`; of
    the work items `at_fault` it counts in any case.
    """
    row = held(unit, batch)
    released = _release(unit, row, why)
    if after is None or not counted:
        row.attempts -= 1
        work_items.take_off_try(unit, set(released) - set(at_fault))
    make_due(unit, row, at=unit.at + after if after else None)


def take_back_expired(unit: UnitOfWork, *, worker: str | None = None) -> list[int]:
    """Take batches back whose lease has run out, or that a dead `worker` held."""
    condition = BatchRow.lease_until < unit.at if worker is None else BatchRow.worker == worker
    rows = unit.session.execute(
        select(BatchRow)
        .where(BatchRow.state == BatchState.RUNNING.value, condition)
        .with_for_update(skip_locked=True)
    ).scalars()
    taken: list[int] = []
    for row in rows:
        unit.record(AuditEvent.BATCH_TAKEN_BACK, {"worker": row.worker}, batch_id=row.id)
        _release(unit, row, "the worker gave no sign")
        make_due(unit, row)
        taken.append(row.id)
    return taken


def holders(session: Session) -> list[str]:
    """Names of the workers that hold batches."""
    return leases.holders(session, BatchRow, BatchState.RUNNING)


def _release(unit: UnitOfWork, row: BatchRow, why: str) -> list[int]:
    running = work_items.of_batch(unit, row.id, [WorkState.RUNNING])
    work_items.transition(
        unit, running, WorkEvent.RELEASE, audit=AuditEvent.WORK_RELEASE, reason=why, batch_id=row.id
    )
    return running


def fail_running(unit: UnitOfWork, batch: ClaimedBatch, reason: str) -> None:
    """Fail every item of a held batch that has not ended."""
    row = held(unit, batch)
    running = work_items.of_batch(unit, row.id, [WorkState.RUNNING])
    work_items.transition(
        unit, running, WorkEvent.FAIL, audit=AuditEvent.WORK_FAIL, reason=reason, batch_id=row.id
    )
