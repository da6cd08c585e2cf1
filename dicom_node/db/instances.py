"""Associations and instances in the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, cast

from sqlalchemy import Table, bindparam, insert, select, update

from dicom_node.audit.events import AuditEvent
from dicom_node.db.prepared import Prepared
from dicom_node.db.tables import AssociationRow, InstanceRow
from dicom_node.db.unit_of_work import UnitOfWork
from dicom_node.domain.work import InstanceState


@dataclass(frozen=True, slots=True)
class NewInstance:
    """An instance whose bytes are durable in the spool."""

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    sha256: str
    size: int
    path: str
    association_id: str


class Admitted(Enum):
    """What the ledger made of an instance."""

    STORED = "stored"
    RESENT = "resent"
    QUARANTINED = "quarantined"
    REFUSED = "refused"


_STATES: Final = {
    Admitted.STORED: InstanceState.RECEIVED,
    Admitted.QUARANTINED: InstanceState.CONFLICT,
}
"""State of the row that is new."""

_EVENTS: Final = {
    Admitted.STORED: AuditEvent.INSTANCE_STORED,
    Admitted.RESENT: AuditEvent.INSTANCE_RESENT,
    Admitted.QUARANTINED: AuditEvent.INSTANCE_CONFLICT,
    Admitted.REFUSED: AuditEvent.INSTANCE_CONFLICT,
}

_INSTANCE: Final = cast(Table, InstanceRow.__table__)
_SAME_UID: Final = Prepared(
    select(_INSTANCE.c.id, _INSTANCE.c.sha256).where(
        _INSTANCE.c.sop_instance_uid == bindparam("uid")
    )
)
_INSERT: Final = Prepared(
    insert(_INSTANCE).returning(_INSTANCE.c.id),
    [*NewInstance.__slots__, "received_at", "state", "tries"],
)
_PUT_BACK: Final = (
    update(_INSTANCE)
    .where(_INSTANCE.c.id == bindparam("row_id"))
    .values(path=bindparam("new_path"))
)


def open_association(
    unit: UnitOfWork, *, association_id: str, calling: str, called: str, address: str, intake: str
) -> None:
    """Record that a peer opened an association with the intake process named `intake`."""
    unit.session.execute(
        insert(AssociationRow).values(
            id=association_id,
            calling_ae_title=calling,
            called_ae_title=called,
            address=address,
            intake=intake,
            opened_at=unit.at,
        )
    )
    unit.record(
        AuditEvent.ASSOCIATION_OPENED,
        {"calling": calling, "called": called, "address": address},
        association_id=association_id,
    )


def close_association(unit: UnitOfWork, association_id: str, outcome: str) -> None:
    """Record the end of an association."""
    unit.session.execute(
        update(AssociationRow)
        .where(AssociationRow.id == association_id, AssociationRow.closed_at.is_(None))
        .values(closed_at=unit.at, outcome=outcome)
    )
    unit.record(AuditEvent.ASSOCIATION_CLOSED, {"outcome": outcome}, association_id=association_id)


def close_orphans(unit: UnitOfWork, intake: str) -> int:
    """Close associations that `intake` left open when it was killed; for its start."""
    left = unit.session.execute(
        select(AssociationRow.id).where(
            AssociationRow.closed_at.is_(None), AssociationRow.intake == intake
        )
    ).scalars()
    ids = list(left)
    for association_id in ids:
        close_association(unit, association_id, "killed")
    return len(ids)


def admit(
    unit: UnitOfWork, instances: Sequence[NewInstance], *, refuse_conflicts: bool
) -> list[Admitted]:
    """Record received instances, in order; returns what became of each.

    The same SOP Instance UID with the same bytes is a resend and changes nothing. With other
    bytes it is a conflict: recorded in any case, and kept aside or refused.
    """
    if not instances:
        return []
    known: dict[str, dict[str, int]] = {}
    answers: list[Admitted] = []
    there: list[dict[str, Any]] = []
    for instance in instances:
        uid = instance.sop_instance_uid
        if uid not in known:
            rows = _SAME_UID.execute(unit.connection, {"uid": uid})
            known[uid] = {row.sha256: row.id for row in rows}
        versions = known[uid]
        answer = _judge(instance, versions, refuse_conflicts)
        if answer in _STATES:
            versions[instance.sha256] = _insert(unit, instance, _STATES[answer])
        row_id = versions.get(instance.sha256)
        if answer is Admitted.RESENT:
            there.append({"row_id": row_id, "new_path": instance.path})
        _record(unit, instance, answer, row_id)
        answers.append(answer)
    if there:
        unit.connection.execute(_PUT_BACK, there)
    return answers


def _insert(unit: UnitOfWork, instance: NewInstance, state: InstanceState) -> int:
    row = {name: getattr(instance, name) for name in NewInstance.__slots__}
    row |= {"received_at": unit.at, "state": state.value, "tries": 0}
    return int(_INSERT.execute(unit.connection, row).scalar_one())


def _judge(instance: NewInstance, versions: Mapping[str, int], refuse_conflicts: bool) -> Admitted:
    if instance.sha256 in versions:
        return Admitted.RESENT
    if not versions:
        return Admitted.STORED
    return Admitted.REFUSED if refuse_conflicts else Admitted.QUARANTINED


def _record(unit: UnitOfWork, instance: NewInstance, answer: Admitted, row_id: int | None) -> None:
    detail = {"sop_instance_uid": instance.sop_instance_uid, "sha256": instance.sha256}
    event = _EVENTS[answer]
    if event is AuditEvent.INSTANCE_CONFLICT:
        detail["answer"] = answer.value
    unit.record(event, detail, association_id=instance.association_id, instance_id=row_id)
