"""Conflicts: a person closes them, the instance that came first stays."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from dicom_node.errors import FailItem
from dicom_node.ledger import conflicts, recall
from dicom_node.ledger.tables import AuditRow, InstanceRow, WorkItemRow
from tests.support.ledgers import Life, reversed_where_unordered


@pytest.fixture
def disputed(life: Life) -> int:
    """Two instances, and a second version of one of them; the id of the conflict."""
    life.associate()
    life.receive_series(2)
    life.receive("1.2.4.1", version=1)
    life.planner.plan()
    ((conflict,),) = life.rows(select(InstanceRow.id).where(InstanceRow.state == "conflict"))
    return int(conflict)


def test_a_conflict_ends_passed_and_nothing_else_changes(life: Life, disputed: int) -> None:
    before = life.rows(select(InstanceRow.path).where(InstanceRow.id != disputed))
    with life.ledger.write() as unit:
        done = conflicts.discard(unit, [disputed])
    assert (done.count, len(done.paths)) == (1, 1)
    assert life.rows(select(InstanceRow.path).where(InstanceRow.id != disputed)) == before
    ((item, state),) = life.rows(
        select(WorkItemRow.id, WorkItemRow.state).where(WorkItemRow.instance_id == disputed)
    )
    assert state == "passed"
    with life.ledger.write() as unit:
        assert recall.retry(unit, [item]).left == 1


def test_that_a_person_discarded_it_is_recorded(life: Life, disputed: int) -> None:
    ((sha256,),) = life.rows(select(InstanceRow.sha256).where(InstanceRow.id == disputed))
    with life.ledger.write() as unit:
        conflicts.discard(unit, [disputed])
    events = life.rows(
        select(AuditRow.instance_id, AuditRow.detail).where(
            AuditRow.event == "instance:person:discarded"
        )
    )
    assert [tuple(row) for row in events] == [(disputed, {"sha256": sha256})]


def test_what_came_first_is_no_conflict_and_stays(life: Life, disputed: int) -> None:
    ids = [row.id for row in life.rows(select(InstanceRow.id).where(InstanceRow.id != disputed))]
    for first in ids:
        with pytest.raises(FailItem, match=f"no conflict {first}"), life.ledger.write() as unit:
            conflicts.discard(unit, [first])
    assert None not in [row.path for row in life.rows(select(InstanceRow.path))]


def test_conflicts_are_listed_as_they_came_each_beside_what_came_first(
    life: Life, disputed: int
) -> None:
    life.receive("1.2.4.2", version=1)
    life.receive("1.2.4.1", version=2)
    life.planner.plan()
    reversed_where_unordered(life.ledger.engine)
    with life.ledger.read() as session:
        found = conflicts.listed(session)
    assert [row["conflict"] for row in found] == [disputed, disputed + 1, disputed + 2]
    assert [row["sop_instance_uid"] for row in found] == ["1.2.4.1", "1.2.4.2", "1.2.4.1"]
    came_first = dict(
        life.rows(
            select(InstanceRow.sop_instance_uid, InstanceRow.sha256).where(
                InstanceRow.state == "planned"
            )
        )
    )
    for row in found:
        assert row["first_sha256"] == came_first[row["sop_instance_uid"]] != row["sha256"]


def test_one_wrong_number_discards_nothing(life: Life, disputed: int) -> None:
    with (
        pytest.raises(FailItem, match=f"no conflict {disputed + 1}"),
        life.ledger.write() as unit,
    ):
        conflicts.discard(unit, [disputed, disputed + 1])
    with life.ledger.read() as session:
        assert [each["conflict"] for each in conflicts.listed(session)] == [disputed]


def test_a_conflict_that_expired_is_still_closed_by_a_person(life: Life, disputed: int) -> None:
    with life.ledger.write() as unit:
        unit.session.get_one(InstanceRow, disputed).path = None
    with life.ledger.read() as session:
        (found,) = conflicts.listed(session)
    assert not found["bytes_kept"]
    with life.ledger.write() as unit:
        assert conflicts.discard(unit, [disputed]).paths == ()
    with life.ledger.read() as session:
        assert conflicts.listed(session) == []


def test_what_ended_long_ago_is_forgotten_and_what_is_recalled_is_not(life: Life) -> None:
    life.associate()
    life.receive_series(3)
    life.denoise_all()
    while life.due_parcels():
        life.deliver_all()
    life.clock.advance(73 * 3600)
    for (path,) in life.rows(select(InstanceRow.path)):
        life.spool.remove(life.spool.root / path)
    first = [row.id for row in life.rows(select(WorkItemRow.id).order_by(WorkItemRow.id).limit(2))]
    with life.ledger.write() as unit:
        assert recall.retry(unit, first).redelivered == 2
    assert life.retention.forget() == 2
    assert len(life.rows(select(InstanceRow.id).where(InstanceRow.path.is_not(None)))) == 1


def test_what_failed_elsewhere_still_waits_for_a_person(life: Life, disputed: int) -> None:
    life.receive("1.2.5.1", series="1.2.5", data=b"no DICOM at all")
    life.receive("1.2.4.2", version=1)
    life.planner.plan()
    failed = select(WorkItemRow.instance_id).where(WorkItemRow.state == "failed")
    others = {row.instance_id for row in life.rows(failed)} - {disputed}
    assert len(others) == 2
    with life.ledger.write() as unit:
        conflicts.discard(unit, [disputed])
    assert {row.instance_id for row in life.rows(failed)} == others


def test_what_was_discarded_says_so_and_names_no_file(life: Life, disputed: int) -> None:
    with life.ledger.write() as unit:
        (path,) = conflicts.discard(unit, [disputed, disputed]).paths
    assert life.spool.path(path).exists(), "whoever called it removes it"
    assert life.rows(select(InstanceRow.path).where(InstanceRow.id == disputed)) == [(None,)]
    ((reason,),) = life.rows(select(WorkItemRow.reason).where(WorkItemRow.state == "passed"))
    assert "a person discarded what was kept aside" in reason
    ((detail,),) = life.rows(select(AuditRow.detail).where(AuditRow.event == "work:person:dismiss"))
    assert detail == {"reason": reason}


def test_a_conflict_that_was_closed_and_came_again_is_closed_again(
    life: Life, disputed: int
) -> None:
    for _ in range(2):
        with life.ledger.write() as unit:
            assert len(conflicts.discard(unit, [disputed]).paths) == 1
        life.receive("1.2.4.1", version=1)
    items = life.rows(select(WorkItemRow.state).where(WorkItemRow.instance_id == disputed))
    assert [row.state for row in items] == ["passed"]


def test_what_is_discarded_together_is_recorded_in_the_order_of_reception(
    life: Life, disputed: int
) -> None:
    life.receive("1.2.4.2", version=1)
    life.planner.plan()
    reversed_where_unordered(life.ledger.engine)
    with life.ledger.write() as unit:
        conflicts.discard(unit, [disputed + 1, disputed])
    events = life.rows(
        select(AuditRow.instance_id)
        .where(AuditRow.event == "instance:person:discarded")
        .order_by(AuditRow.id)
    )
    assert [row.instance_id for row in events] == [disputed, disputed + 1]
