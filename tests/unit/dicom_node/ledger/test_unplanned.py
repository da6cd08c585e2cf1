"""Instances that wait for planning: one planner has each, and its tries are counted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from dicom_node.ledger import unplanned
from dicom_node.ledger.tables import InstanceRow
from tests.support.ledgers import Life, reversed_where_unordered

LEASE = timedelta(minutes=10)
IDS = [1, 2, 3]


@pytest.fixture
def received(life: Life) -> Life:
    """Three instances."""
    reversed_where_unordered(life.ledger.engine)
    life.associate()
    life.receive_series(3)
    return life


def waiting(life: Life, limit: int = 9) -> list[tuple[int, int]]:
    with life.ledger.read() as session:
        return unplanned.waiting(session, session.at, limit)


def take(life: Life, worker: str, *ids: int) -> list[int]:
    with life.ledger.write() as unit:
        return [row.id for row in unplanned.take(unit, ids, worker, LEASE)]


def held(life: Life, worker: str) -> list[int]:
    with life.ledger.write() as unit:
        return [row.id for row in unplanned.held(unit, IDS, worker)]


def let_go(life: Life, worker: str, *, counted: bool, seconds: float | None = None) -> None:
    until = None if seconds is None else life.clock.at + timedelta(seconds=seconds)
    with life.ledger.write() as unit:
        for row in unplanned.held(unit, IDS, worker):
            unplanned.let_go(row, counted=counted, until=until)


def test_the_first_that_came_wait_first(received: Life) -> None:
    assert waiting(received) == [(1, 0), (2, 0), (3, 0)]
    assert waiting(received, 2) == [(1, 0), (2, 0)]


def test_of_two_planners_that_saw_the_same_each_instance_goes_to_one(received: Life) -> None:
    assert take(received, "p:1", 1, 2) == [1, 2]
    assert take(received, "p:2", 1, 2, 3) == [3]
    assert held(received, "p:1") == [1, 2]
    assert held(received, "p:2") == [3]
    assert waiting(received) == []


def test_what_a_planner_has_is_free_again_when_its_lease_has_run_out(received: Life) -> None:
    take(received, "p:1", 1)
    received.clock.advance(LEASE.total_seconds() - 0.001)
    assert waiting(received) == [(2, 0), (3, 0)]
    received.clock.advance(0.001)
    assert waiting(received) == [(1, 1), (2, 0), (3, 0)]
    assert take(received, "p:2", 1) == [1]
    assert held(received, "p:1") == []


@pytest.mark.parametrize(("counted", "tries"), [(True, 2), (False, 1)])
def test_a_try_that_says_nothing_of_the_instance_does_not_count(
    received: Life, counted: bool, tries: int
) -> None:
    for count in (True, counted):
        take(received, "p:1", 1)
        let_go(received, "p:1", counted=count)
    assert waiting(received) == [(1, tries), (2, 0), (3, 0)]
    assert held(received, "p:1") == []


def test_one_that_was_let_go_until_later_waits_for_nobody_before(received: Life) -> None:
    take(received, "p:1", 1)
    let_go(received, "p:1", counted=True, seconds=5)
    assert waiting(received) == [(2, 0), (3, 0)]
    received.clock.advance(5)
    assert waiting(received) == [(1, 1), (2, 0), (3, 0)]


def test_what_the_dead_had_is_free_with_its_tries_and_what_others_have_is_not(
    received: Life,
) -> None:
    take(received, "p:1", 1, 2)
    take(received, "p:2", 3)
    with received.ledger.write() as unit:
        assert unplanned.take_back(unit, "p:1") == 2
        assert unplanned.take_back(unit, "p:1") == 0
    assert waiting(received) == [(1, 1), (2, 1)]
    assert held(received, "p:2") == [3]


def test_planners_are_named_once_while_they_have_something(received: Life) -> None:
    def planners() -> list[str]:
        with received.ledger.read() as session:
            return sorted(unplanned.planners(session))

    assert planners() == []
    take(received, "p:1", 1, 2)
    take(received, "p:2", 3)
    assert planners() == ["p:1", "p:2"]
    let_go(received, "p:1", counted=False)
    assert planners() == ["p:2"]
    with received.ledger.write() as unit:
        unit.session.execute(update(InstanceRow).values(state="planned"))
    assert planners() == []


def test_a_conflict_waits_until_it_is_accounted_for(received: Life) -> None:
    received.receive("1.2.4.1", version=1)
    assert waiting(received)[-1] == (4, 0)
    with received.ledger.write() as unit:
        (row,) = unplanned.take(unit, [4], "p:1", LEASE)
        assert row.state == "conflict"
    with received.ledger.read() as session:
        assert unplanned.planners(session) == ["p:1"]
    received.clock.advance(LEASE.total_seconds())
    assert received.planner.plan() == 4
    assert waiting(received) == []
    with received.ledger.write() as unit:
        assert unplanned.take(unit, [*IDS, 4], "p:1", LEASE) == []
        assert unplanned.held(unit, [*IDS, 4], "p:1") == []


def test_nothing_stands_against_what_was_planned(received: Life) -> None:
    take(received, "p:1", 1, 2, 3)
    with received.ledger.write() as unit:
        for row in unplanned.held(unit, [1], "p:1"):
            unplanned.planned(row)
    rows = received.rows(
        select(InstanceRow.tries, InstanceRow.worker, InstanceRow.lease_until).order_by(
            InstanceRow.id
        )
    )
    until = received.clock.at + LEASE
    assert [tuple(row) for row in rows] == [(0, None, None), *[(1, "p:1", until)] * 2]
