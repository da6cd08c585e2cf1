"""Whose file a row names, whatever comes in one group or at one moment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import event, select, update

from dicom_node.ledger import instances
from dicom_node.ledger.instances import InstanceAnswer, InstanceEntry, NewInstance
from dicom_node.ledger.tables import AuditRow, InstanceRow
from dicom_node.spool.stored import ObjectKind, StoredObject
from tests.support.ledgers import Life

NEW = NewInstance(
    StoredObject(ObjectKind.INSTANCE, "1.2", "1.2.4.1", "1.2.840.10008.1.2.1", "a" * 64, "first"),
    1000,
    "a",
)


def like(one: NewInstance, instead_of: str | None = None, **stored: Any) -> NewInstance:
    """The same, but for what its row is to say."""
    return replace(one, stored=replace(one.stored, **stored), instead_of=instead_of)


def admit(life: Life, *new: NewInstance, refuse: bool = False) -> list[InstanceEntry]:
    with life.ledger.write() as unit:
        return instances.admit(unit, new, refuse_conflicts=refuse)


def paths(answers: list[InstanceEntry]) -> list[str | None]:
    return [None if each.stored is None else each.stored.path for each in answers]


def rows(life: Life) -> list[tuple[str, str | None]]:
    statement = select(InstanceRow.state, InstanceRow.path).order_by(InstanceRow.id)
    return [tuple(row) for row in life.rows(statement)]


def test_a_resend_is_told_the_file_that_the_row_has(life: Life) -> None:
    life.associate()
    first, again = admit(life, NEW, like(NEW, path="second"))
    assert (first.answer, again.answer) == (InstanceAnswer.STORED, InstanceAnswer.RESENT)
    assert paths([first, again]) == ["first", "first"]
    assert rows(life) == [("received", "first")]
    assert paths(admit(life, like(NEW, path="third"))) == ["first"]


def test_a_row_without_a_file_takes_the_first_that_comes(life: Life) -> None:
    life.associate()
    admit(life, NEW)
    with life.ledger.write() as unit:
        unit.session.execute(update(InstanceRow).values(path=None))
    answers = admit(life, like(NEW, path="second"), like(NEW, path="third"))
    assert paths(answers) == ["second", "second"]
    assert rows(life) == [("received", "second")]


def test_only_the_file_that_was_seen_to_be_wrong_is_replaced_and_by_one(life: Life) -> None:
    life.associate()
    admit(life, NEW)
    second = like(NEW, path="second", instead_of="first")
    third = like(NEW, path="third", instead_of="first")
    assert paths(admit(life, second, third)) == ["second", "second"]
    assert paths(admit(life, like(third, "first", path="fourth"))) == ["second"]
    assert rows(life) == [("received", "second")]


def test_other_bytes_are_a_conflict_with_a_file_of_their_own(life: Life) -> None:
    life.associate()
    other = like(NEW, sha256="b" * 64, path="other")
    answers = admit(life, NEW, other, like(other, path="again"))
    assert [each.answer for each in answers] == [
        InstanceAnswer.STORED, InstanceAnswer.KEPT_ASIDE, InstanceAnswer.RESENT,
    ]  # fmt: skip
    assert paths(answers) == ["first", "other", "other"]
    assert rows(life) == [("received", "first"), ("conflict", "other")]


def test_what_is_refused_has_no_row(life: Life) -> None:
    life.associate()
    (_, refused) = admit(life, NEW, like(NEW, sha256="b" * 64, path="other"), refuse=True)
    assert (refused.answer, refused.row_id, refused.stored) == (InstanceAnswer.REFUSED, None, None)
    assert rows(life) == [("received", "first")]


def test_answers_and_audit_are_in_the_order_of_reception(life: Life) -> None:
    life.associate()
    group = [like(NEW, sop_instance_uid=f"1.2.4.{n}", path=f"p{n}") for n in (3, 1, 2)]
    assert paths(admit(life, *group)) == ["p3", "p1", "p2"]
    stored = life.rows(select(AuditRow.detail).where(AuditRow.event.like("%stored")))
    assert [detail["sop_instance_uid"] for (detail,) in stored] == ["1.2.4.3", "1.2.4.1", "1.2.4.2"]


def test_only_its_own_row_names_a_file(life: Life) -> None:
    """Not another UID's that has the same bytes."""
    life.associate()
    admit(life, NEW, like(NEW, sop_instance_uid="1.2.4.2", path="other"))
    with life.ledger.read() as session:
        assert instances.names(session, NEW)
        for wrong in ({"path": "other"}, {"sop_instance_uid": "1.2.4.3"}, {"sha256": "b" * 64}):
            assert not instances.names(session, like(NEW, **wrong))


def test_files_are_taken_in_the_order_of_rows_whatever_their_uids(life: Life) -> None:
    """So that no two groups wait for each other's rows."""
    life.associate()
    group = [like(NEW, sop_instance_uid=f"1.2.4.{n}", path=f"p{n}") for n in (3, 1, 2)]
    for at in (2, 0, 1):
        admit(life, group[at])
    with life.ledger.write() as unit:
        unit.session.execute(update(InstanceRow).values(path=None))
    taken: list[str] = []

    def seen(_c: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith("UPDATE instance"):
            named = values.values() if isinstance(values, dict) else values
            taken.extend(value for value in named if str(value).startswith("q"))

    event.listen(life.ledger.engine, "before_cursor_execute", seen)
    answers = admit(
        life, *(like(one, path=str(one.stored.path).replace("p", "q")) for one in group)
    )
    event.remove(life.ledger.engine, "before_cursor_execute", seen)
    assert paths(answers) == ["q3", "q1", "q2"]
    assert taken == ["q2", "q3", "q1"]
    assert rows(life) == [("received", path) for path in taken]
