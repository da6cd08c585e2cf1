"""Associations and instances in the ledger."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, cast

from sqlalchemy import Table, bindparam, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.prepared import PreparedStatement
from dicom_node.ledger.states import InstanceState
from dicom_node.ledger.tables import AssociationRow, InstanceRow
from dicom_node.ledger.unit_of_work import UnitOfWork
from dicom_node.spool.stored import ObjectKind, StoredObject


@dataclass(frozen=True, slots=True)
class NewInstance:
    """An instance whose bytes are durable in the spool.

    Attributes
    ----------
    stored
        What its row is to say, with a name that nobody else has; see
        `dicom_node.spool.spool.Spool`.
    size
        Bytes of the data set.
    instead_of
        A name that a row may have and whose file is gone or wrong: the row takes the new one.
    """

    stored: StoredObject
    size: int
    association_id: str
    instead_of: str | None = None


class InstanceAnswer(Enum):
    """What the ledger made of an instance."""

    STORED = "stored"
    RESENT = "resent"
    KEPT_ASIDE = "quarantined"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class InstanceEntry:
    """What the ledger made of an instance, and the object that it names now.

    Attributes
    ----------
    stored
        What the row says, with the name of the file that it has: the new one's, or an older one's;
        None where no row has these bytes.
    """

    answer: InstanceAnswer
    row_id: int | None
    stored: StoredObject | None


_STATES: Final = {
    InstanceAnswer.STORED: InstanceState.RECEIVED,
    InstanceAnswer.KEPT_ASIDE: InstanceState.CONFLICT,
}
"""State of the row that is new."""

_EVENTS: Final = {
    InstanceAnswer.STORED: AuditEvent.INSTANCE_STORED,
    InstanceAnswer.RESENT: AuditEvent.INSTANCE_RESENT,
    InstanceAnswer.KEPT_ASIDE: AuditEvent.INSTANCE_CONFLICT,
    InstanceAnswer.REFUSED: AuditEvent.INSTANCE_CONFLICT,
}

_INSTANCE: Final = cast(Table, InstanceRow.__table__)
_SAME_UID: Final = PreparedStatement(
    select(
        _INSTANCE.c.id,
        _INSTANCE.c.sop_class_uid,
        _INSTANCE.c.sop_instance_uid,
        _INSTANCE.c.transfer_syntax_uid,
        _INSTANCE.c.sha256,
        _INSTANCE.c.path,
    ).where(_INSTANCE.c.sop_instance_uid == bindparam("uid"))
)
_STORED: Final = (
    "sop_instance_uid", "sop_class_uid", "transfer_syntax_uid", "sha256", "path",
)  # fmt: skip
_WRITTEN: Final = (*_STORED, "size", "association_id", "received_at", "state", "tries")
_INSERT: Final = {
    # Another intake may have inserted the same in the meantime: then no row comes back.
    "postgresql": PreparedStatement(
        postgresql.insert(_INSTANCE).on_conflict_do_nothing().returning(_INSTANCE.c.id), _WRITTEN
    ),
    "sqlite": PreparedStatement(
        sqlite.insert(_INSTANCE).on_conflict_do_nothing().returning(_INSTANCE.c.id), _WRITTEN
    ),
}
_TAKE: Final = (
    update(_INSTANCE)
    .where(_INSTANCE.c.id == bindparam("row_id"))
    .where(or_(_INSTANCE.c.path.is_(None), _INSTANCE.c.path == bindparam("instead_of")))
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
) -> list[InstanceEntry]:
    """Record received instances; returns what became of each, in their order.

    The same SOP Instance UID with the same bytes is a resend. Its row keeps the file that it has;
    one that has none, or that of `NewInstance.instead_of`, takes the new one. With other bytes it
    is a conflict: recorded in any case, and kept aside or refused. Of several processes that
    record a UID at once, one takes it.
    """
    found: dict[int, InstanceEntry] = {}
    # In one order, so that no two transactions wait for each other: by UID, then by row.
    for at in sorted(range(len(instances)), key=lambda at: instances[at].stored.sop_instance_uid):
        found[at] = _admit(unit, instances[at], refuse_conflicts)
    for at in sorted(found, key=lambda at: found[at].row_id or 0):
        found[at] = _with_file(unit, instances[at], found[at])
    answers = [found[at] for at in range(len(instances))]
    for instance, answer in zip(instances, answers, strict=True):
        _record(unit, instance, answer)
    return answers


def names(session: Session, instance: NewInstance) -> bool:
    """Whether a row names the instance's file."""
    path = session.execute(
        select(InstanceRow.path)
        .where(InstanceRow.sop_instance_uid == instance.stored.sop_instance_uid)
        .where(InstanceRow.sha256 == instance.stored.sha256)
    ).scalar_one_or_none()
    return path == instance.stored.path


def _admit(unit: UnitOfWork, instance: NewInstance, refuse_conflicts: bool) -> InstanceEntry:
    while True:
        rows = _versions(unit, instance.stored.sop_instance_uid)
        answer = _judge(instance, rows, refuse_conflicts)
        if answer not in _STATES:
            row_id, stored = rows.get(instance.stored.sha256, (None, None))
            return InstanceEntry(answer, row_id, stored)
        row_id = _insert(unit, instance, _STATES[answer])
        if row_id is not None:
            return InstanceEntry(answer, row_id, instance.stored)


def _versions(unit: UnitOfWork, uid: str) -> dict[str, tuple[int, StoredObject]]:
    """The rows of a UID by the hash of their bytes."""
    rows = _SAME_UID.execute(unit.connection, {"uid": uid})
    return {row.sha256: (row.id, StoredObject.of(ObjectKind.INSTANCE, row)) for row in rows}


def _with_file(unit: UnitOfWork, instance: NewInstance, found: InstanceEntry) -> InstanceEntry:
    """Let the row of a resend take its file, if it has none, or one that is known to be wrong."""
    if found.stored is None or found.stored.path not in (None, instance.instead_of):
        return found
    taken = unit.connection.execute(
        _TAKE,
        {
            "row_id": found.row_id,
            "instead_of": instance.instead_of,
            "new_path": instance.stored.path,
        },
    )
    if taken.rowcount:
        return replace(found, stored=replace(found.stored, path=instance.stored.path))
    _, stored = _versions(unit, instance.stored.sop_instance_uid)[instance.stored.sha256]
    return replace(found, stored=stored)


def _insert(unit: UnitOfWork, instance: NewInstance, state: InstanceState) -> int | None:
    row = {name: getattr(instance.stored, name) for name in _STORED}
    row |= {"size": instance.size, "association_id": instance.association_id}
    row |= {"received_at": unit.at, "state": state.value, "tries": 0}
    insert_one = _INSERT[unit.connection.dialect.name]
    inserted: int | None = insert_one.execute(unit.connection, row).scalar_one_or_none()
    return inserted


def _judge(instance: NewInstance, hashes: Container[str], refuse_conflicts: bool) -> InstanceAnswer:
    if instance.stored.sha256 in hashes:
        return InstanceAnswer.RESENT
    if not hashes:
        return InstanceAnswer.STORED
    return InstanceAnswer.REFUSED if refuse_conflicts else InstanceAnswer.KEPT_ASIDE


def _record(unit: UnitOfWork, instance: NewInstance, found: InstanceEntry) -> None:
    detail = {
        "sop_instance_uid": instance.stored.sop_instance_uid,
        "sha256": instance.stored.sha256,
    }
    event = _EVENTS[found.answer]
    if event is AuditEvent.INSTANCE_CONFLICT:
        detail["answer"] = found.answer.value
    unit.record(event, detail, association_id=instance.association_id, instance_id=found.row_id)
