"""Associations and instances in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from sqlalchemy import insert, select, update

from dicom_node.audit.events import AuditEvent
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
    uids = {instance.sop_instance_uid for instance in instances}
    known: dict[str, dict[str, int]] = {}
    for row_id, uid, sha256 in unit.session.execute(
        select(InstanceRow.id, InstanceRow.sop_instance_uid, InstanceRow.sha256).where(
            InstanceRow.sop_instance_uid.in_(uids)
        )
    ):
        known.setdefault(uid, {})[sha256] = row_id
    return [_admit_one(unit, instance, known, refuse_conflicts) for instance in instances]


def _admit_one(
    unit: UnitOfWork,
    instance: NewInstance,
    known: dict[str, dict[str, int]],
    refuse_conflicts: bool,
) -> Admitted:
    versions = known.setdefault(instance.sop_instance_uid, {})
    detail = {"sop_instance_uid": instance.sop_instance_uid, "sha256": instance.sha256}
    ids = {"association_id": instance.association_id}
    if instance.sha256 in versions:
        row_id = versions[instance.sha256]
        unit.session.execute(
            update(InstanceRow).where(InstanceRow.id == row_id).values(path=instance.path)
        )
        unit.record(AuditEvent.INSTANCE_RESENT, detail, instance_id=row_id, **ids)
        return Admitted.RESENT
    conflict = bool(versions)
    if conflict and refuse_conflicts:
        unit.record(AuditEvent.INSTANCE_CONFLICT, {**detail, "answer": "refused"}, **ids)
        return Admitted.REFUSED
    state = InstanceState.CONFLICT if conflict else InstanceState.RECEIVED
    row_id = int(
        unit.session.execute(
            insert(InstanceRow)
            .values(
                sop_instance_uid=instance.sop_instance_uid,
                sop_class_uid=instance.sop_class_uid,
                transfer_syntax_uid=instance.transfer_syntax_uid,
                sha256=instance.sha256,
                size=instance.size,
                path=instance.path,
                association_id=instance.association_id,
                received_at=unit.at,
                state=state.value,
            )
            .returning(InstanceRow.id)
        ).scalar_one()
    )
    versions[instance.sha256] = row_id
    if conflict:
        unit.record(
            AuditEvent.INSTANCE_CONFLICT, {**detail, "answer": "quarantined"},
            instance_id=row_id, **ids,
        )  # fmt: skip
        return Admitted.QUARANTINED
    unit.record(AuditEvent.INSTANCE_STORED, detail, instance_id=row_id, **ids)
    return Admitted.STORED
