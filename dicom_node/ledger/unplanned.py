"""Instances that wait for planning: taken by one planner, each try counted before it begins.

A planner that dies leaves its name on what it held. Its count stays, so that what killed it is
looked at alone the next time, and not for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session

from dicom_node.ledger.states import InstanceState
from dicom_node.ledger.tables import InstanceRow, WorkItemRow
from dicom_node.ledger.unit_of_work import UnitOfWork

_TO_PLAN: Final = or_(
    InstanceRow.state == InstanceState.RECEIVED.value,
    and_(
        InstanceRow.state == InstanceState.CONFLICT.value,
        ~select(WorkItemRow.id).where(WorkItemRow.instance_id == InstanceRow.id).exists(),
    ),
)


def waiting(session: Session, at: datetime, limit: int) -> list[tuple[int, int]]:
    """Ids of the first instances that may be planned now, each with the tries it has behind it."""
    found = session.execute(
        select(InstanceRow.id, InstanceRow.tries)
        .where(_TO_PLAN, _is_free(at))
        .order_by(InstanceRow.id)
        .limit(limit)
    )
    return [(row.id, row.tries) for row in found]


def newest(session: Session, limit: int) -> list[tuple[str, str]]:
    """SOP Instance UID and file of the instances that came last of those that are to be planned."""
    found = session.execute(
        select(InstanceRow.sop_instance_uid, InstanceRow.path)
        .where(_TO_PLAN, InstanceRow.path.is_not(None))
        .order_by(InstanceRow.id.desc())
        .limit(limit)
    )
    return [(row.sop_instance_uid, row.path) for row in found]


def count(session: Session) -> int:
    """How many instances are to be planned."""
    return session.execute(select(func.count(InstanceRow.id)).where(_TO_PLAN)).scalar_one()


def take(unit: UnitOfWork, ids: Sequence[int], worker: str, lease: timedelta) -> list[InstanceRow]:
    """Take those of the instances that nobody else has taken, and count a try of each."""
    free = (
        select(InstanceRow.id)
        .where(InstanceRow.id.in_(ids), _TO_PLAN, _is_free(unit.at))
        .order_by(InstanceRow.id)
        .with_for_update(skip_locked=True)
    )
    taken = unit.session.execute(
        update(InstanceRow)
        .where(InstanceRow.id.in_(free))
        .values(tries=InstanceRow.tries + 1, worker=worker, lease_until=unit.at + lease)
        .returning(InstanceRow),
        execution_options={"synchronize_session": False},
    ).scalars()
    return sorted(taken, key=lambda row: row.id)


def held(unit: UnitOfWork, ids: Sequence[int], worker: str) -> list[InstanceRow]:
    """Those of the instances that this planner still has, locked, in order."""
    return list(
        unit.session.execute(
            select(InstanceRow)
            .where(InstanceRow.id.in_(ids), InstanceRow.worker == worker, _TO_PLAN)
            .order_by(InstanceRow.id)
            .with_for_update()
        ).scalars()
    )


def let_go(row: InstanceRow, *, counted: bool, until: datetime | None = None) -> None:
    """Return an instance, to be looked at again, `until` a time at the earliest."""
    row.worker = None
    row.lease_until = until
    if not counted:
        row.tries -= 1


def planned(row: InstanceRow) -> None:
    """Nothing stands against an instance that was planned."""
    row.worker = None
    row.lease_until = None
    row.tries = 0


def take_back(unit: UnitOfWork, worker: str) -> int:
    """Return what a dead planner held, its tries counted; the number of instances."""
    returned = unit.session.execute(
        update(InstanceRow)
        .where(InstanceRow.worker == worker)
        .values(worker=None, lease_until=None),
        execution_options={"synchronize_session": False},
    )
    return int(returned.rowcount)  # type: ignore[attr-defined]


def planners(session: Session) -> list[str]:
    """Names of the processes that hold instances."""
    found = session.execute(
        select(InstanceRow.worker)
        .where(InstanceRow.state.in_([InstanceState.RECEIVED.value, InstanceState.CONFLICT.value]))
        .where(InstanceRow.worker.is_not(None))
        .distinct()
    ).scalars()
    return [worker for worker in found if worker]


def _is_free(at: datetime) -> ColumnElement[bool]:
    return or_(InstanceRow.lease_until.is_(None), InstanceRow.lease_until <= at)
