"""What administrators ask the ledger."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, case, func, not_, select
from sqlalchemy.orm import Session

from dicom_node.ledger.states import DeliveryState, InstanceState, ParcelState, WorkState
from dicom_node.ledger.tables import (
    AssociationRow,
    AuditRow,
    DeliveryRow,
    InstanceRow,
    ParcelRow,
    ResultRow,
    WorkItemRow,
)

UNREADABLE: Final = "(unreadable)"
"""What stands in place of a Study Instance UID for instances that have none that can be read."""

NOT_PLANNED: Final = "(not yet planned)"
"""The same for those that nobody has read yet: upkeep does when it plans them."""

_UNREAD: Final = and_(
    InstanceRow.study_uid.is_(None), InstanceRow.state == InstanceState.RECEIVED.value
)


def _of_study(study_uid: str) -> ColumnElement[bool]:
    if study_uid == NOT_PLANNED:
        return _UNREAD
    if study_uid == UNREADABLE:
        return and_(InstanceRow.study_uid.is_(None), not_(_UNREAD))
    return InstanceRow.study_uid == study_uid


def _count(state: WorkState) -> Any:
    return func.sum(case((WorkItemRow.state == state.value, 1), else_=0)).label(state.value)


def studies(session: Session, *, limit: int, state: str | None = None) -> list[dict[str, Any]]:
    """Newest studies first, with the number of work items in each state."""
    counts = [_count(state_) for state_ in WorkState]
    unread = case((_UNREAD, 1), else_=0)
    statement = (
        select(
            InstanceRow.study_uid,
            unread.label("unread"),
            func.count(func.distinct(InstanceRow.series_uid)).label("series"),
            func.count(func.distinct(InstanceRow.id)).label("instances"),
            func.max(InstanceRow.received_at).label("last_received"),
            *counts,
        )
        .outerjoin(WorkItemRow, WorkItemRow.instance_id == InstanceRow.id)
        .group_by(InstanceRow.study_uid, "unread")
        .order_by(func.max(InstanceRow.received_at).desc())
        .limit(limit)
    )
    if state is not None:
        statement = statement.having(_count(WorkState(state)).element > 0)
    rows = [dict(row) for row in session.execute(statement).mappings()]
    for row in rows:
        unread_one = row.pop("unread")
        row["study_uid"] = row["study_uid"] or (NOT_PLANNED if unread_one else UNREADABLE)
    return rows


def work_items(session: Session, study_uid: str) -> list[dict[str, Any]]:
    """Every work item of a study, with what became of it."""
    statement = (
        select(
            WorkItemRow.id.label("item"),
            InstanceRow.series_uid,
            InstanceRow.sop_instance_uid,
            WorkItemRow.route,
            WorkItemRow.state,
            WorkItemRow.reason,
            ResultRow.sop_instance_uid.label("result"),
            ResultRow.model_name,
            ResultRow.model_version,
        )
        .join(InstanceRow, InstanceRow.id == WorkItemRow.instance_id)
        .outerjoin(ResultRow, ResultRow.work_item_id == WorkItemRow.id)
        .where(_of_study(study_uid))
        .order_by(WorkItemRow.id)
    )
    return [dict(row) for row in session.execute(statement).mappings()]


def series(session: Session, study_uid: str) -> list[dict[str, Any]]:
    """Series of a study: work items by state, routes, models and reasons."""
    statement = (
        select(
            InstanceRow.series_uid,
            InstanceRow.modality,
            WorkItemRow.route,
            WorkItemRow.state,
            WorkItemRow.reason,
            func.count().label("instances"),
            func.min(InstanceRow.received_at).label("first_received"),
            func.max(WorkItemRow.ended_at).label("last_ended"),
            func.max(ResultRow.series_uid).label("result_series"),
            func.max(ResultRow.model_name).label("model"),
            func.max(ResultRow.model_version).label("version"),
        )
        .join(WorkItemRow, WorkItemRow.instance_id == InstanceRow.id)
        .outerjoin(ResultRow, ResultRow.work_item_id == WorkItemRow.id)
        .where(_of_study(study_uid))
        .group_by(
            InstanceRow.series_uid, InstanceRow.modality, WorkItemRow.route, WorkItemRow.state,
            WorkItemRow.reason,
        )
        .order_by(InstanceRow.series_uid, WorkItemRow.route)
    )  # fmt: skip
    return [dict(row) for row in session.execute(statement).mappings()]


def item_ids(
    session: Session, study_uid: str | None, states: tuple[WorkState, ...]
) -> list[tuple[int, int, bool]]:
    """Work items (id, instance id, has a result) of a study, or of all, in any of `states`."""
    statement = (
        select(WorkItemRow.id, WorkItemRow.instance_id, ResultRow.id)
        .join(InstanceRow, InstanceRow.id == WorkItemRow.instance_id)
        .outerjoin(ResultRow, ResultRow.work_item_id == WorkItemRow.id)
        .where(WorkItemRow.state.in_([state.value for state in states]))
        .order_by(WorkItemRow.id)
    )
    if study_uid is not None:
        statement = statement.where(_of_study(study_uid))
    return [(item, instance, result is not None) for item, instance, result in
            session.execute(statement)]  # fmt: skip


def item_counts(session: Session, study_uid: str | None) -> dict[WorkState, int]:
    """Count the work items of a study, or of all, by the states that there are."""
    statement = (
        select(WorkItemRow.state, func.count())
        .join(InstanceRow, InstanceRow.id == WorkItemRow.instance_id)
        .group_by(WorkItemRow.state)
    )
    if study_uid is not None:
        statement = statement.where(_of_study(study_uid))
    counted = {state: count for state, count in session.execute(statement)}
    return {state: counted[state.value] for state in WorkState if state.value in counted}


def destinations(session: Session) -> dict[str, dict[str, Any]]:
    """Deliveries by destination: waiting, delivered, failed, and when it is tried next."""
    found: dict[str, dict[str, Any]] = {}
    counted = session.execute(
        select(DeliveryRow.destination, DeliveryRow.state, func.count()).group_by(
            DeliveryRow.destination, DeliveryRow.state
        )
    )
    for name, state, count in counted:
        found.setdefault(name, dict.fromkeys(DeliveryState, 0))[state] = count
    for name, counts in found.items():
        counts["last_answer"] = session.execute(
            select(DeliveryRow.message)
            .where(DeliveryRow.destination == name, DeliveryRow.message != "")
            .where(DeliveryRow.state == DeliveryState.WAITING.value)
            .order_by(DeliveryRow.answered_at.desc())
            .limit(1)
        ).scalar_one_or_none()
    tried = session.execute(
        select(ParcelRow.destination, func.min(ParcelRow.due_at))
        .where(ParcelRow.state == ParcelState.DUE.value)
        .group_by(ParcelRow.destination)
    )
    for name, due_at in tried:
        found.setdefault(name, dict.fromkeys(DeliveryState, 0))["next_try"] = due_at
    return found


def dead_letters(session: Session, destination: str | None) -> list[dict[str, Any]]:
    """Deliveries that failed for good and wait for a person."""
    statement = (
        select(
            DeliveryRow.id.label("delivery"),
            DeliveryRow.destination,
            ResultRow.sop_instance_uid.label("result"),
            DeliveryRow.status,
            DeliveryRow.message,
            DeliveryRow.answered_at,
        )
        .join(ResultRow, ResultRow.id == DeliveryRow.result_id)
        .where(DeliveryRow.state == DeliveryState.FAILED.value)
        .order_by(DeliveryRow.id)
    )
    if destination is not None:
        statement = statement.where(DeliveryRow.destination == destination)
    return [
        dict(row) | {"status": None if row["status"] is None else f"0x{row['status']:04X}"}
        for row in session.execute(statement).mappings()
    ]


def audit(
    session: Session,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    study_uid: str | None = None,
    limit: int,
    after: int | None = None,
) -> list[dict[str, Any]]:
    """Audit events in order, each with the UIDs of what it is about.

    Parameters
    ----------
    limit : int
        How many.
    after : int, optional
        Id of the event that the first ones to follow are wanted of; absent, the newest are.
    """
    statement = (
        select(
            AuditRow.id, AuditRow.at, AuditRow.event, AuditRow.association_id, AuditRow.batch_id,
            AuditRow.work_item_id, AuditRow.delivery_id, AuditRow.detail,
            InstanceRow.sop_instance_uid,
            InstanceRow.study_uid,
            AssociationRow.calling_ae_title, AssociationRow.address,
            ResultRow.sop_instance_uid.label("result_sop_instance_uid"),
            ResultRow.model_name, ResultRow.model_version, ResultRow.model_sha256,
            ResultRow.engine, ResultRow.settings,
        )
        .outerjoin(AssociationRow, AssociationRow.id == AuditRow.association_id)
        .outerjoin(DeliveryRow, DeliveryRow.id == AuditRow.delivery_id)
        .outerjoin(
            ResultRow,
            (ResultRow.id == DeliveryRow.result_id)
            | (ResultRow.work_item_id == AuditRow.work_item_id),
        )
        .outerjoin(WorkItemRow, WorkItemRow.id == ResultRow.work_item_id)
        .outerjoin(
            InstanceRow,
            InstanceRow.id == func.coalesce(AuditRow.instance_id, WorkItemRow.instance_id),
        )
        .order_by(AuditRow.id.desc() if after is None else AuditRow.id)
    )  # fmt: skip
    if since is not None:
        statement = statement.where(AuditRow.at >= since)
    if until is not None:
        statement = statement.where(AuditRow.at < until)
    if study_uid is not None:
        statement = statement.where(_of_study(study_uid))
    if after is not None:
        statement = statement.where(AuditRow.id > after)
    rows = session.execute(statement.limit(limit)).mappings().all()
    return [dict(row) for row in (reversed(rows) if after is None else rows)]


def last_audit(session: Session) -> int:
    """Id of the newest audit event; 0 if there is none."""
    return session.execute(select(func.max(AuditRow.id))).scalar_one() or 0
