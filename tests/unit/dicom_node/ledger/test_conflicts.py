"""Conflicts: a person closes them, the instance that came first stays."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from dicom_node.errors import FailItem
from dicom_node.ledger import conflicts, recall
from dicom_node.ledger.tables import InstanceRow, WorkItemRow
from tests.support.ledgers import Life


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
        life.storage.remove(life.storage.root / path)
    first = [row.id for row in life.rows(select(WorkItemRow.id).order_by(WorkItemRow.id).limit(2))]
    with life.ledger.write() as unit:
        assert recall.retry(unit, first).redelivered == 2
    assert life.retention.forget() == 2
    assert len(life.rows(select(InstanceRow.id).where(InstanceRow.path.is_not(None)))) == 1
