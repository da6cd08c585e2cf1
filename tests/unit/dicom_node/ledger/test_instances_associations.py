"""Associations in the ledger: who opened one, how it ended, and whose a killed intake's are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import select

from dicom_node.ledger import instances
from dicom_node.ledger.instances import InstanceAnswer, NewInstance
from dicom_node.ledger.tables import AssociationRow, AuditRow, InstanceRow
from dicom_node.spool.stored import ObjectKind, StoredObject
from tests.support.ledgers import Life

STORED = StoredObject(
    ObjectKind.INSTANCE, "1.2", "1.2.4.1", "1.2.840.10008.1.2.1", "a" * 64, "first"
)


def opened(life: Life, name: str, intake: str = "here:1") -> str:
    with life.ledger.write() as unit:
        instances.open_association(
            unit, association_id=name, calling="CT1", called="NODE", address="10.0.0.1",
            intake=intake,
        )  # fmt: skip
    return name


def association(life: Life, name: str) -> AssociationRow:
    with life.ledger.read() as session:
        return session.get_one(AssociationRow, name)


def audit(life: Life, like: str) -> list[tuple[Any, ...]]:
    rows = life.rows(
        select(AuditRow.event, AuditRow.association_id, AuditRow.instance_id, AuditRow.detail)
        .where(AuditRow.event.like(like))
        .order_by(AuditRow.id)
    )
    return [tuple(row) for row in rows]


def test_who_opened_an_association_is_kept_and_audited(life: Life) -> None:
    row = association(life, opened(life, "a"))
    assert (row.calling_ae_title, row.called_ae_title) == ("CT1", "NODE")
    assert (row.address, row.intake) == ("10.0.0.1", "here:1")
    assert (row.opened_at, row.closed_at, row.outcome) == (life.clock.at, None, None)
    said = {"calling": "CT1", "called": "NODE", "address": "10.0.0.1"}
    assert audit(life, "association:%") == [("association:scp:opened", "a", None, said)]


def test_an_association_ends_once_and_no_other_with_it(life: Life) -> None:
    for name in ("a", "b"):
        opened(life, name)
    life.clock.advance(3)
    ended = life.clock.at
    life.release("a")
    life.clock.advance(3)
    with life.ledger.write() as unit:
        instances.close_association(unit, "a", "aborted")
    first, other = association(life, "a"), association(life, "b")
    assert (first.closed_at, first.outcome) == (ended, "released")
    assert (other.closed_at, other.outcome) == (None, None)
    assert audit(life, "%closed")[0] == (
        "association:scp:closed", "a", None, {"outcome": "released"},
    )  # fmt: skip


def test_an_intake_that_starts_ends_what_it_left_open_and_nothing_of_others(life: Life) -> None:
    for name, intake in (("a", "here:1"), ("b", "here:2"), ("c", "here:1"), ("d", "here:1")):
        opened(life, name, intake)
    life.release("c")
    with life.ledger.write() as unit:
        assert instances.close_orphans(unit, "here:1") == 2
        assert instances.close_orphans(unit, "here:1") == 0
    outcomes = {name: association(life, name).outcome for name in "abcd"}
    assert outcomes == {"a": "killed", "b": None, "c": "released", "d": "killed"}


def test_what_was_received_is_kept_and_audited_as_it_came(life: Life) -> None:
    opened(life, "a")
    life.clock.advance(3)
    new = NewInstance(STORED, 1000, "a")
    with life.ledger.write() as unit:
        (found,) = instances.admit(unit, [new], refuse_conflicts=True)
    ((row,),) = life.rows(select(InstanceRow))
    assert found.row_id == row.id
    assert StoredObject.of(ObjectKind.INSTANCE, row) == new.stored
    assert (row.size, row.association_id) == (1000, "a")
    assert (row.received_at, row.state, row.tries) == (life.clock.at, "received", 0)
    said = {"sop_instance_uid": "1.2.4.1", "sha256": "a" * 64}
    assert audit(life, "instance:%") == [("instance:intake:stored", "a", row.id, said)]


def test_a_conflict_is_audited_with_what_was_answered(life: Life) -> None:
    opened(life, "a")
    new = NewInstance(STORED, 1000, "a")
    other = NewInstance(replace(STORED, sha256="b" * 64, path="other"), 1000, "a")
    with life.ledger.write() as unit:
        instances.admit(unit, [new], refuse_conflicts=True)
        (refused,) = instances.admit(unit, [other], refuse_conflicts=True)
        (kept,) = instances.admit(unit, [other], refuse_conflicts=False)
    assert (refused.answer, kept.answer) == (InstanceAnswer.REFUSED, InstanceAnswer.KEPT_ASIDE)
    said = {"sop_instance_uid": "1.2.4.1", "sha256": "b" * 64}
    assert audit(life, "%conflict") == [
        ("instance:intake:conflict", "a", None, said | {"answer": "refused"}),
        ("instance:intake:conflict", "a", kept.row_id, said | {"answer": "quarantined"}),
    ]
