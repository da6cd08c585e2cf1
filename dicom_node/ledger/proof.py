"""What the ledger claims, in the form in which it can be proven or disproven."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Final

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from dicom_node.ledger.states import DeliveryState, InstanceState, WorkState
from dicom_node.ledger.tables import (
    AuditRow,
    BatchRow,
    DeliveryRow,
    InstanceRow,
    ResultRow,
    WorkItemRow,
)
from dicom_node.spool.stored import ObjectKind, StoredObject

_MANY: Final = 500
_OPEN: Final = tuple(state.value for state in WorkState if not state.terminal)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which received instances a proof is about; absent bounds do not limit.

    Attributes
    ----------
    study_uid
        Only this study.
    since, until
        Received from this time on, and before this time; aware.
    """

    study_uid: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_part(self) -> bool:
        """Whether it leaves anything out."""
        return any(bound is not None for bound in (self.study_uid, self.since, self.until))


@dataclass(frozen=True, slots=True)
class ResultSeries:
    """Delivered results of one series at one destination."""

    destination: str
    study_uid: str | None
    series_uid: str
    count: int


def _of(scope: Scope) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if scope.study_uid is not None:
        conditions.append(InstanceRow.study_uid == scope.study_uid)
    if scope.since is not None:
        conditions.append(InstanceRow.received_at >= scope.since)
    if scope.until is not None:
        conditions.append(InstanceRow.received_at < scope.until)
    return conditions


def instances(session: Session, scope: Scope) -> int:
    """Count the accepted instances."""
    statement = select(func.count(InstanceRow.id)).where(*_of(scope))
    return int(session.execute(statement).scalar_one())


def work_items(session: Session, scope: Scope) -> dict[str, int]:
    """Count the work items in each state."""
    statement = (
        select(WorkItemRow.state, func.count())
        .join(InstanceRow, InstanceRow.id == WorkItemRow.instance_id)
        .group_by(WorkItemRow.state)
    )
    counted = {state: count for state, count in session.execute(statement.where(*_of(scope)))}
    return {state.value: counted.get(state.value, 0) for state in WorkState}


def without_work(session: Session, scope: Scope) -> list[dict[str, Any]]:
    """Instances without any work item: not planned yet, or, if planned, not accounted for."""
    statement = (
        select(
            InstanceRow.study_uid,
            InstanceRow.sop_instance_uid,
            InstanceRow.state,
            InstanceRow.received_at.label("since"),
        )
        .where(~select(WorkItemRow.id).where(WorkItemRow.instance_id == InstanceRow.id).exists())
        .order_by(InstanceRow.id)
    )
    return [
        dict(row) | {"planned": row["state"] == InstanceState.PLANNED.value}
        for row in session.execute(statement.where(*_of(scope))).mappings()
    ]


def unfinished(session: Session, scope: Scope) -> list[dict[str, Any]]:
    """Work items in no terminal state, with the time of their last change."""
    last_change = (
        select(func.max(AuditRow.at))
        .where(AuditRow.work_item_id == WorkItemRow.id)
        .scalar_subquery()
    )
    statement = (
        _items()
        .add_columns(func.coalesce(last_change, WorkItemRow.planned_at).label("since"))
        .where(WorkItemRow.state.in_(_OPEN))
    )
    return [dict(row) for row in session.execute(statement.where(*_of(scope))).mappings()]


def failed(session: Session, scope: Scope) -> list[dict[str, Any]]:
    """Work items that wait for a person, with their reasons."""
    statement = (
        _items()
        .add_columns(WorkItemRow.reason, WorkItemRow.ended_at.label("since"))
        .where(WorkItemRow.state == WorkState.FAILED.value)
    )
    return [dict(row) for row in session.execute(statement.where(*_of(scope))).mappings()]


def _items() -> Any:
    return (
        select(
            InstanceRow.study_uid,
            InstanceRow.sop_instance_uid,
            WorkItemRow.route,
            WorkItemRow.state,
        )
        .join(InstanceRow, InstanceRow.id == WorkItemRow.instance_id)
        .order_by(WorkItemRow.id)
    )


def contradictions(session: Session, scope: Scope) -> Iterator[dict[str, Any]]:
    """Items called delivered that some destination of their route has no delivered result for."""
    # Counted by case, not by a condition: its index would be chosen, which holds nearly all rows.
    delivered = func.sum(case((DeliveryRow.state == DeliveryState.DELIVERED.value, 1), else_=0))
    statement = (
        _items()
        .add_columns(WorkItemRow.batch_id, delivered.label("deliveries"))
        .outerjoin(ResultRow, ResultRow.work_item_id == WorkItemRow.id)
        .outerjoin(DeliveryRow, DeliveryRow.result_id == ResultRow.id)
        .where(WorkItemRow.state == WorkState.DELIVERED.value)
        .group_by(WorkItemRow.id, InstanceRow.id)
        .execution_options(yield_per=1000)
    )
    wanted: dict[int | None, int] = {}
    for row in session.execute(statement.where(*_of(scope))).mappings():
        batch_id = row["batch_id"]
        if batch_id not in wanted:
            plan = session.execute(
                select(BatchRow.plan).where(BatchRow.id == batch_id)
            ).scalar_one_or_none()
            wanted[batch_id] = max(1, len(set((plan or {}).get("destinations", ()))))
        if row["deliveries"] != wanted[batch_id]:
            found = {name: value for name, value in row.items() if name != "batch_id"}
            yield found | {"destinations": wanted[batch_id]}


def deliveries(session: Session, scope: Scope) -> dict[str, dict[str, int]]:
    """Count deliveries by destination and state."""
    statement = (
        _deliveries(DeliveryRow.destination, DeliveryRow.state, func.count())
        .group_by(DeliveryRow.destination, DeliveryRow.state)
        .order_by(DeliveryRow.destination)
    )
    found: dict[str, dict[str, int]] = {}
    for destination, state, count in session.execute(statement.where(*_of(scope))):
        found.setdefault(destination, {one.value: 0 for one in DeliveryState})[state] = count
    return found


def delivered_series(session: Session, scope: Scope, destination: str) -> list[ResultSeries]:
    """Series of the results that the destination has taken."""
    statement = (
        _deliveries(DeliveryRow.destination, InstanceRow.study_uid, ResultRow.series_uid)
        .add_columns(func.count(func.distinct(ResultRow.sop_instance_uid)))
        .where(DeliveryRow.destination == destination)
        .where(DeliveryRow.state == DeliveryState.DELIVERED.value)
        .group_by(DeliveryRow.destination, InstanceRow.study_uid, ResultRow.series_uid)
        .order_by(InstanceRow.study_uid, ResultRow.series_uid)
    )
    return [ResultSeries(*row) for row in session.execute(statement.where(*_of(scope)))]


def delivered_uids(
    session: Session, scope: Scope, series: ResultSeries
) -> dict[str, datetime | None]:
    """Return SOP Instance UID -> time of the destination's answer, of a series' results.

    The way there is from the study on; neither the state nor an order is asked for, because
    their indexes would lead through the whole ledger, once a series.
    """
    statement = (
        _deliveries(ResultRow.sop_instance_uid, DeliveryRow.answered_at, DeliveryRow.state)
        .where(DeliveryRow.destination == series.destination)
        .where(ResultRow.series_uid == series.series_uid)
        .where(InstanceRow.study_uid == series.study_uid)
    )
    rows = session.execute(statement.where(*_of(scope)))
    return {uid: at for uid, at, state in rows if state == DeliveryState.DELIVERED.value}


def _deliveries(*columns: Any) -> Any:
    return (
        select(*columns)
        .select_from(DeliveryRow)
        .join(ResultRow, ResultRow.id == DeliveryRow.result_id)
        .join(WorkItemRow, WorkItemRow.id == ResultRow.work_item_id)
        .join(InstanceRow, InstanceRow.id == WorkItemRow.instance_id)
    )


def instance_files(session: Session, scope: Scope, after: int) -> list[tuple[int, StoredObject]]:
    """Files of instances with ids above `after`, by id, not more than some hundred at a time."""
    statement = (
        select(InstanceRow)
        .where(InstanceRow.id > after, InstanceRow.path.is_not(None))
        .order_by(InstanceRow.id)
        .limit(_MANY)
    )
    rows = session.execute(statement.where(*_of(scope))).scalars()
    return [(row.id, StoredObject.of(ObjectKind.INSTANCE, row)) for row in rows]


def result_files(session: Session, scope: Scope, after: int) -> list[tuple[int, StoredObject]]:
    """Files of results, as `instance_files`."""
    statement = (
        select(ResultRow)
        .join(WorkItemRow, WorkItemRow.id == ResultRow.work_item_id)
        .join(InstanceRow, InstanceRow.id == WorkItemRow.instance_id)
        .where(ResultRow.id > after, ResultRow.path.is_not(None))
        .order_by(ResultRow.id)
        .limit(_MANY)
    )
    rows = session.execute(statement.where(*_of(scope))).scalars()
    return [(row.id, StoredObject.of(ObjectKind.RESULT, row)) for row in rows]


def unnamed(session: Session, paths: Collection[str]) -> set[str]:
    """Return those of `paths`, relative to the spool, that no row refers to.

    Rows are looked up by the UID in a file's name first, which is indexed; only paths that are
    not found so are looked for in every row.
    """
    left = set(paths)
    for table in (InstanceRow, ResultRow):
        uids = {PurePosixPath(path).stem.partition("-")[0] for path in left}
        for part in _parts(sorted(uids)):
            named = select(table.path).where(table.sop_instance_uid.in_(part))
            left -= set(session.execute(named).scalars())
    for part in _parts(sorted(left)):
        for table in (InstanceRow, ResultRow):
            left -= set(session.execute(select(table.path).where(table.path.in_(part))).scalars())
    return left


def _parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for at in range(0, len(values), _MANY):
        yield values[at : at + _MANY]


def still_names(session: Session, row_id: int, stored: StoredObject) -> bool:
    """Whether the row still names this file; retention may just have removed it."""
    table = InstanceRow if stored.kind is ObjectKind.INSTANCE else ResultRow
    statement = select(table.path).where(table.id == row_id)
    return session.execute(statement).scalar_one_or_none() == stored.path
