"""Batches: filled while a study arrives, worked once, taken back from the dead."""

from __future__ import annotations

import itertools
import threading
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from dicom_node.bell.outbox import Queue
from dicom_node.errors import LedgerError
from dicom_node.ledger import batches, recall
from dicom_node.ledger.tables import AuditRow, BatchRow, DeliveryRow, ResultRow, WorkItemRow
from dicom_node.settings import Settings
from model_store.ref import ModelRef
from tests.support.batches import claim, item_states
from tests.support.ledgers import LEASE, TWO_ROUTES, Life


def batch_sizes(life: Life, route: str = "ct") -> list[tuple[str, int]]:
    rows = life.rows(
        select(BatchRow.state, BatchRow.count).where(BatchRow.route == route).order_by(BatchRow.id)
    )
    return [(row.state, row.count) for row in rows]


def test_a_full_batch_leaves_at_once_and_the_rest_when_the_association_ends(life: Life) -> None:
    life.associate()
    life.receive_series(7)
    life.planner.plan()
    life.planner.close_batches()
    assert batch_sizes(life) == [("due", 3), ("due", 3), ("open", 1)]
    life.release()
    life.planner.close_batches()
    assert batch_sizes(life) == [("due", 3), ("due", 3), ("due", 1)]
    assert [ring.queue for ring in life.bell.rings] == [Queue.INFER] * 2  # one a transaction


def test_the_rest_leaves_after_a_quiet_time_though_the_association_stays(life: Life) -> None:
    life.associate()
    life.receive_series(2)
    life.planner.plan()
    life.clock.advance(4.9)
    life.planner.close_batches()
    assert batch_sizes(life) == [("open", 2)]
    life.clock.advance(0.2)
    life.planner.close_batches()
    assert batch_sizes(life) == [("due", 2)]


def test_the_rest_waits_for_what_was_received_but_is_not_planned_yet(life: Life) -> None:
    life.associate()
    life.receive_series(1)
    life.planner.plan()
    life.receive("1.2.4.2")
    life.release()
    life.planner.close_batches()
    assert batch_sizes(life) == [("open", 1)]
    life.planner.plan()
    life.planner.close_batches()
    assert batch_sizes(life) == [("due", 2)]


def test_the_rest_does_not_wait_for_what_another_association_brings(life: Life) -> None:
    life.associate()
    life.associate("b")
    life.receive_series(1)
    life.planner.plan()
    life.receive("1.2.5.1", series="1.2.5", association="b")
    life.release()
    life.planner.close_batches()
    assert batch_sizes(life) == [("due", 1)]


def test_a_late_instance_makes_one_more_batch_of_the_same_series(life: Life) -> None:
    life.associate()
    life.receive_series(3)
    life.denoise_all()
    life.receive("1.2.4.99")
    life.denoise_all()
    assert batch_sizes(life) == [("done", 3), ("done", 1)]
    batch_series = {row.series_uid for row in life.rows(select(BatchRow.series_uid))}
    assert batch_series == {"1.2.4"}


def test_only_one_of_two_workers_gets_a_batch(life: Life) -> None:
    life.associate()
    life.receive_series(30)
    life.planner.plan()
    due = life.due_batches()
    won: list[int] = []
    start = threading.Barrier(2)

    def work(worker: str) -> None:
        start.wait()
        for batch_id in due:
            if life.claim(batch_id, worker) is not None:
                won.append(batch_id)

    threads = [threading.Thread(target=work, args=(f"w:{i}",)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == sorted(due)


def test_two_planners_plan_each_instance_once(life: Life) -> None:
    """Also where their series are mixed, in any order."""
    life.associate()
    series = [f"1.2.{number}" for number in range(10, 14)]
    for number, each in itertools.product(range(1, 26), series):
        life.receive(f"{each}.{number}", series=each)
    planners = [life.planner, life.another_planner(), life.another_planner()]
    faults: list[BaseException] = []
    start = threading.Barrier(len(planners))

    def plan(index: int) -> None:
        start.wait()
        try:
            while planners[index].plan():
                pass
        except LedgerError as error:
            faults.append(error)

    threads = [threading.Thread(target=plan, args=(i,)) for i in range(len(planners))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    while life.planner.plan():
        pass
    assert item_states(life) == {"planned": 200}
    assert sum(count for _, count in batch_sizes(life)) == 100


def test_a_moved_alias_leaves_planned_work_alone(life: Life) -> None:
    life.associate()
    life.receive_series(2)
    life.planner.plan()
    life.models.aliases["production"] = "2.0.0"
    life.receive("1.2.4.3")
    life.denoise_all()
    versions = {
        (row.model_version, row.count)
        for row in life.rows(
            select(BatchRow.model_version, BatchRow.count).where(BatchRow.route == "ct")
        )
    }
    assert versions == {("1.0.0", 2), ("2.0.0", 1)}


def test_what_a_worker_recorded_before_it_died_is_not_done_again(life: Life) -> None:
    life.associate()
    life.receive_series(3)
    life.planner.plan()
    first = life.due_batches()[0]
    dead = claim(life, first, "w:1")
    life.record(dead, dead.items[:2])
    life.clock.advance(LEASE.total_seconds() + 1)
    life.upkeep.catch_up()
    again = claim(life, first, "w:2")
    assert [item.work_item_id for item in again.items] == [dead.items[2].work_item_id]
    with pytest.raises(LedgerError, match="taken back"):
        life.record(dead, dead.items[2:])
    life.record(again)
    life.finish(again)
    assert len(life.rows(select(ResultRow.id))) == 3
    assert len(life.rows(select(DeliveryRow.id))) == 6


def test_a_worker_that_lost_its_batch_does_not_hold_its_own_next_claim(life: Life) -> None:
    life.associate()
    life.receive_series(3)
    life.planner.plan()
    first = life.due_batches()[0]
    lost = claim(life, first, "w:1")
    life.clock.advance(LEASE.total_seconds() + 1)
    life.upkeep.catch_up()
    again = claim(life, first, "w:1")
    with pytest.raises(LedgerError, match="taken back"):
        life.record(lost)
    with life.ledger.write() as unit:
        assert not batches.renew(unit, lost, LEASE)
        assert batches.renew(unit, again, LEASE)


def test_a_worker_has_its_batch_until_its_lease_has_run_out(life: Life) -> None:
    life.associate()
    life.receive_series(3)
    life.planner.plan()
    batch = claim(life, life.due_batches()[0])
    life.clock.advance(LEASE.total_seconds() - 1)
    life.upkeep.catch_up()
    life.record(batch)
    life.finish(batch)
    assert item_states(life) == {"denoised": 3, "planned": 3}


def test_an_orderly_stop_is_no_try(life: Life) -> None:
    life.associate()
    life.receive_series(3)
    life.planner.plan()
    first = life.due_batches()[0]
    for _ in range(10):
        batch = claim(life, first)
        with life.ledger.write() as unit:
            batches.give_back(unit, batch, after=None, why="stopped")
    again = claim(life, first)
    assert again.attempts == 1
    assert [item.tries for item in again.items] == [1, 1, 1]


def test_a_batch_given_back_for_later_waits(life: Life) -> None:
    life.associate()
    life.receive_series(3)
    life.planner.plan()
    first = life.due_batches()[0]
    batch = claim(life, first)
    with life.ledger.write() as unit:
        batches.give_back(unit, batch, after=timedelta(seconds=5), why="the disk is full")
    assert life.claim(first) is None
    life.clock.advance(6)
    assert claim(life, first).attempts == 2


def test_a_batch_whose_items_all_ended_ends(life: Life) -> None:
    life.associate()
    life.receive_series(3)
    life.planner.plan()
    first = life.due_batches()[0]
    batch = claim(life, first)
    with life.ledger.write() as unit:
        batches.fail_running(unit, batch, "so")
        batches.finish(unit, batch)
    assert item_states(life) == {"failed": 3, "planned": 3}
    audit = life.rows(
        select(AuditRow.detail, AuditRow.batch_id).where(AuditRow.event == "work:worker:fail")
    )
    assert [tuple(row) for row in audit] == [({"reason": "so"}, first)] * 3


def test_a_persons_retry_takes_the_model_and_route_of_now(life: Life) -> None:
    life.associate()
    life.receive_series(3)
    life.planner.plan()
    for batch_id in life.due_batches():
        batch = claim(life, batch_id)
        with life.ledger.write() as unit:
            batches.fail_running(unit, batch, "so")
            batches.finish(unit, batch)
    life.models.aliases["production"] = "2.0.0"
    ids = [row.id for row in life.rows(select(WorkItemRow.id))]
    with life.ledger.write() as unit:
        assert recall.retry(unit, ids).planned == 6
    life.denoise_all()
    life.deliver_all()
    while life.due_parcels():
        life.deliver_all()
    assert item_states(life) == {"delivered": 6}
    versions = sorted(row.model_version for row in life.rows(select(ResultRow.model_version)))
    assert versions == ["1.0.0"] * 3 + ["2.0.0"] * 3


def test_many_items_can_be_retried_at_once(life: Life) -> None:
    """More than a database takes parameters in one statement."""
    with life.ledger.write() as unit:
        assert recall.retry(unit, list(range(1, 70_000))) == recall.RecallCounts(0, 0, 0)


def test_a_batch_is_full_by_size_too(life: Life) -> None:
    life.associate()
    life.receive_series(2)
    life.planner.plan()
    with life.ledger.write() as unit:
        unit.session.execute(update(BatchRow).values(size=48 * 2**20))
    life.receive("1.2.4.3")
    life.planner.plan()
    assert batch_sizes(life) == [("due", 3)]


@pytest.mark.parametrize(("size", "state"), [(9, "open"), (10, "due"), (11, "due")])
def test_a_batch_that_just_reaches_its_size_is_full(life: Life, size: int, state: str) -> None:
    life.associate()
    with life.ledger.write() as unit:
        for each in (10, size):
            batches.join(
                unit, series_uid="1.2.4", route="ct", model=ModelRef("toy", "1.0.0", "1" * 64),
                plan={}, association_id="a", size=each, most_instances=9, most_bytes=20,
            )  # fmt: skip
    assert batch_sizes(life) == [(state, 2)]


def test_what_is_planned_otherwise_since_goes_into_a_batch_of_its_own(life: Life) -> None:
    """A person has changed the strength of a route while a study arrives."""
    life.associate()
    life.receive("1.2.4.1")
    life.planner.plan()
    routes = [TWO_ROUTES["routes"][0], TWO_ROUTES["routes"][1] | {"strength": 0.75}]
    life.settings = Settings(storage={"path": life.folder}, **(TWO_ROUTES | {"routes": routes}))
    life.receive("1.2.4.2")
    life.another_planner().plan()
    assert batch_sizes(life, "ct") == [("open", 2)]
    assert batch_sizes(life, "soft") == [("open", 1)] * 2
    plans = life.rows(select(BatchRow.plan).where(BatchRow.route == "soft").order_by(BatchRow.id))
    assert [plan["strength"] for (plan,) in plans] == [0.5, 0.75]
