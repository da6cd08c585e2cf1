"""What a person has planned again, and what several planners or a refusing ledger make of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import DataError
from structlog.testing import capture_logs

from dicom_node.errors import LedgerError
from dicom_node.ledger import recall, unplanned, work_items
from dicom_node.ledger.tables import AuditRow, BatchRow, InstanceRow, WorkItemRow
from dicom_node.ledger.unit_of_work import UnitOfWork
from dicom_node.settings import Settings
from tests.support.ledgers import TWO_ROUTES, Life


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    life = Life(tmp_path / "node", tree=TWO_ROUTES)
    life.associate()
    yield life
    life.close()


def items(life: Life) -> dict[str, tuple[str, str | None]]:
    rows = life.rows(select(WorkItemRow.route, WorkItemRow.state, WorkItemRow.reason))
    return {row.route: (row.state, row.reason) for row in rows}


def again(life: Life, routes: list[Any]) -> None:
    """A person changes the routes and has what failed planned again."""
    failed = life.rows(select(WorkItemRow.id).where(WorkItemRow.state == "failed"))
    with life.ledger.write() as unit:
        assert recall.retry(unit, [row.id for row in failed]).planned == len(failed)
    life.settings = Settings(storage={"path": life.folder}, **(TWO_ROUTES | {"routes": routes}))
    assert life.another_planner().plan() == 1


@pytest.fixture
def failed(life: Life) -> Life:
    """Both routes failed, for want of their model."""
    life.models.known.clear()
    life.receive("1.2.4.1")
    life.planner.plan()
    assert {state for state, _ in items(life).values()} == {"failed"}
    return life


def test_a_route_that_is_no_more_ends_for_its_own_reason_alone(failed: Life) -> None:
    again(failed, TWO_ROUTES["routes"][:1])
    found = items(failed)
    assert found["ct"][0] == "failed"
    assert "no model toy" in str(found["ct"][1])
    assert found["soft"] == ("passed", "route 'soft' no longer wants it")


def test_where_nothing_is_known_of_the_image_any_more_all_its_items_fail(failed: Life) -> None:
    next((failed.folder / "instances").glob("*/1.2.4.1-*")).unlink()
    again(failed, TWO_ROUTES["routes"])
    found = items(failed)
    assert {state for state, _ in found.values()} == {"failed"}
    assert {"no longer in the spool" in str(reason) for _, reason in found.values()} == {True}


def test_a_route_that_is_new_gets_an_item_beside_those_planned_again(failed: Life) -> None:
    failed.models.known.add("toy")
    again(failed, [*TWO_ROUTES["routes"], TWO_ROUTES["routes"][1] | {"name": "late"}])
    assert items(failed) == {name: ("planned", None) for name in ("ct", "soft", "late")}
    batches = dict(failed.rows(select(WorkItemRow.route, WorkItemRow.batch_id)))
    assert dict(failed.rows(select(BatchRow.route, BatchRow.id))) == batches


def test_items_that_have_ended_are_left_when_the_image_is_planned_again(failed: Life) -> None:
    failed.models.known.add("toy")
    with failed.ledger.write() as unit:
        unit.session.execute(
            update(WorkItemRow)
            .where(WorkItemRow.route == "soft")
            .values(state="passed", reason="so")
        )
    again(failed, TWO_ROUTES["routes"])
    assert items(failed) == {"ct": ("planned", None), "soft": ("passed", "so")}


def test_a_conflict_says_what_it_is_and_where_both_are_shown(life: Life) -> None:
    life.receive("1.2.4.1")
    life.receive("1.2.4.1", version=1)
    with capture_logs() as lines:
        life.planner.plan()
    state, reason = items(life)["-"]
    assert state == "failed"
    assert "same SOP Instance UID and other bytes" in str(reason)
    assert "study conflicts" in str(reason)
    assert [(line["route"], line["reason"], line["items"]) for line in lines] == [("-", reason, 1)]
    ((detail,),) = life.rows(
        select(AuditRow.detail).where(AuditRow.event == "work:planning:failed")
    )
    assert detail == {"route": "-", "reason": reason}
    known = life.rows(select(InstanceRow.study_uid, InstanceRow.series_uid, InstanceRow.modality))
    assert [tuple(row) for row in known] == [("1.2.3", "1.2.4", "CT")] * 2


def test_what_another_planner_took_since_the_look_is_not_counted(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.receive_series(3)
    take = unplanned.take

    def late(unit: UnitOfWork, ids: Any, worker: str, lease: Any) -> Any:
        unit.session.execute(update(InstanceRow).values(worker="p:1", lease_until=unit.at + lease))
        return take(unit, ids, worker, lease)

    monkeypatch.setattr(unplanned, "take", late)
    assert life.planner.plan() == 0
    assert items(life) == {}
    assert {row.tries for row in life.rows(select(InstanceRow.tries))} == {0}


@pytest.mark.parametrize("refused", [True, False], ids=["by the ledger", "by nobody's thought"])
def test_of_a_group_only_the_one_that_cannot_be_written_is_at_fault(
    life: Life, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    life.receive_series(4)
    add = work_items.add

    def failing(unit: UnitOfWork, instance_id: int, route: str, *args: Any, **more: Any) -> int:
        if instance_id == 3 and route != work_items.NO_ROUTE:
            if refused:
                raise LedgerError("it was refused") from DataError("", {}, Exception("too long"))
            raise TypeError("PHI MARKER")
        return add(unit, instance_id, route, *args, **more)

    monkeypatch.setattr(work_items, "add", failing)
    with capture_logs() as lines:
        planned = []
        for _ in range(5):
            planned.append(life.planner.plan())
            life.clock.advance(30)
    assert planned[:2] == [0, 3], "together, then one by one"
    faults = [line for line in lines if line["event"] == "instance.fault"]
    assert {line["instance"] for line in faults} == {3}
    states = dict(
        life.rows(
            select(WorkItemRow.instance_id, WorkItemRow.state).where(WorkItemRow.route != "soft")
        )
    )
    assert states == {1: "planned", 2: "planned", 3: "failed", 4: "planned"}


def test_a_decision_that_was_not_asked_for_any_more_is_not_written(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planner was held up for longer than its lease, and another had the image since."""
    life.receive_series(2)
    held = unplanned.held

    def late(unit: UnitOfWork, ids: Any, worker: str) -> Any:
        unit.session.execute(update(InstanceRow).where(InstanceRow.id == 1).values(worker="p:1"))
        return held(unit, ids, worker)

    monkeypatch.setattr(unplanned, "held", late)
    assert life.planner.plan() == 1
    rows = life.rows(select(WorkItemRow.instance_id).distinct())
    assert [row.instance_id for row in rows] == [2]
