"""The ledger's clock is set: nothing waits for the old time, and nothing is given up for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.tables import AuditRow, BatchRow, InstanceRow, ParcelRow
from dicom_node.upkeep.timekeeping import Clock
from tests.support.databases import life_in
from tests.support.ledgers import LEASE, Life

HOURS = 3600.0
START = datetime(2026, 1, 1, tzinfo=UTC)


class Hands:
    """A clock and the time that passes beside it."""

    def __init__(self) -> None:
        self.shows = START
        self.passed = 0.0
        self.held_up = 0.0

    def pass_time(self, seconds: float) -> None:
        self.shows += timedelta(seconds=seconds)
        self.passed += seconds

    def now(self) -> datetime:
        shown = self.shows
        self.pass_time(self.held_up)
        return shown

    def clock(self) -> Clock:
        return Clock(self.now, lambda: self.passed)


@pytest.mark.parametrize("seconds", [-2 * HOURS, -6, 6, 2 * HOURS])
def test_a_clock_that_was_set_has_jumped_once(seconds: float) -> None:
    hands = Hands()
    clock = hands.clock()
    assert not clock.jumped()
    hands.pass_time(1000)
    assert not clock.jumped()
    hands.pass_time(1)
    hands.shows += timedelta(seconds=seconds)
    assert clock.jumped() == timedelta(seconds=seconds)
    hands.pass_time(1)
    assert not clock.jumped()


def test_a_clock_that_is_kept_in_step_has_not_jumped() -> None:
    hands = Hands()
    clock = hands.clock()
    for step in (0.4, -0.4, 3, -3):
        clock.jumped()
        hands.shows += timedelta(seconds=step)
        assert not clock.jumped()


def test_a_process_that_is_held_up_while_it_looks_sees_no_jump() -> None:
    hands = Hands()
    clock = hands.clock()
    for held_up in (0, 300, 0, 300, 300, 0):
        hands.held_up = held_up
        assert not clock.jumped()


@pytest.fixture
def life(either_database: str | None, tmp_path: Path) -> Iterator[Life]:
    life = life_in(either_database, tmp_path / "node")
    yield life
    life.close()


def jumps(life: Life) -> list[float]:
    events = select(AuditRow.detail).where(AuditRow.event == AuditEvent.CLOCK_JUMPED.value)
    return [detail["seconds"] for (detail,) in life.rows(events) if "host" not in detail]


def column(life: Life, what: Any) -> list[Any]:
    return [value for (value,) in life.rows(select(what).order_by(what.class_.id))]


def to_do(life: Life, what: Any) -> list[Any]:
    """The values of rows that are not done."""
    return [value for (value,) in life.rows(select(what).where(what.class_.state != "done"))]


@pytest.fixture
def at_work(life: Life) -> Life:
    """A batch with a worker, parcels on their way and waiting, and one more series arriving."""
    life.associate()
    life.receive_series(3, series="1.2.4")
    life.denoise_all()
    first, *_ = life.due_parcels("pacs")
    sent = life.take(first)
    assert sent is not None
    life.postpone(sent, sent.deliveries[0].delivery_id)
    life.end_try(sent, retry_after=300)
    assert life.take(life.due_parcels("archive")[0]) is not None
    life.receive_series(3, series="1.2.5")
    life.receive_series(2, series="1.2.6")
    while life.planner.plan():
        pass
    assert life.claim(life.due_batches()[0]) is not None
    life.upkeep.catch_up()
    return life


@pytest.mark.parametrize("upkeeps", [1, 3])
def test_set_back_two_hours_nothing_waits_for_the_old_time(at_work: Life, upkeeps: int) -> None:
    life = at_work
    others = [life.another_upkeep() for _ in range(upkeeps)]
    for upkeep in others:
        upkeep.catch_up()
    life.clock.jump(-2 * HOURS)
    for upkeep in others:
        upkeep.catch_up()
    now = life.clock()
    for table in (BatchRow, ParcelRow):
        assert all(due is None or due <= now for due in to_do(life, table.due_at))
    for at in (BatchRow.opened_at, BatchRow.last_item_at, ParcelRow.first_due_at,
               InstanceRow.received_at):  # fmt: skip
        assert all(each is None or each <= now for each in to_do(life, at))
    assert jumps(life) == [-2 * HOURS]
    # The dead are found out after a lease, as ever, and quiet series go out.
    life.clock.advance(LEASE.total_seconds() + 121)
    for upkeep in others:
        upkeep.catch_up()
    assert life.planner.close_batches() == 2
    assert "running" not in column(life, BatchRow.state)
    assert "sending" not in column(life, ParcelRow.state)


@pytest.mark.parametrize("upkeeps", [1, 3])
def test_set_forward_nobody_loses_a_lease_and_nothing_is_given_up(
    at_work: Life, upkeeps: int
) -> None:
    life = at_work
    others = [life.another_upkeep() for _ in range(upkeeps)]
    for upkeep in others:
        upkeep.catch_up()
    states = column(life, BatchRow.state), column(life, ParcelRow.state)
    due = column(life, ParcelRow.first_due_at)
    opened = column(life, BatchRow.opened_at)
    life.clock.jump(100 * HOURS)
    for upkeep in others:
        upkeep.catch_up()
    assert (column(life, BatchRow.state), column(life, ParcelRow.state)) == states
    by = timedelta(hours=100)
    assert column(life, ParcelRow.first_due_at) == [each and each + by for each in due]
    still = [state != "done" for state in states[0]]
    assert column(life, BatchRow.opened_at) == [
        at + by if moved else at for at, moved in zip(opened, still, strict=True)
    ]
    assert jumps(life) == [100 * HOURS]
    first, *_ = life.due_parcels("pacs")
    parcel = life.take(first)
    assert parcel is not None
    life.postpone(parcel, parcel.deliveries[0].delivery_id)
    life.end_try(parcel)
    assert "failed" not in column(life, ParcelRow.state)
    # A holder that is dead all the same is found out after a lease.
    life.clock.advance(LEASE.total_seconds() + 121)
    life.upkeep.catch_up()
    assert "running" not in column(life, BatchRow.state)


def test_a_machine_that_stood_still_while_others_worked_sees_no_jump(at_work: Life) -> None:
    """One of a cluster that was moved to other hardware: the ledger's time did pass."""
    life = at_work
    for _ in range(60):
        life.clock.jump(60)
        life.associate(f"a{life.clock.at:%H%M%S}")
    life.upkeep.catch_up()
    assert jumps(life) == []
    assert "running" not in column(life, BatchRow.state)


def test_set_back_and_right_again_is_two_jumps(at_work: Life) -> None:
    life = at_work
    for seconds in (-2 * HOURS, 2 * HOURS):
        life.clock.jump(seconds)
        life.upkeep.catch_up()
        life.clock.advance(1)
        life.upkeep.catch_up()
    assert jumps(life) == [-2 * HOURS, 2 * HOURS]
    assert "running" in column(life, BatchRow.state)


def test_an_hour_that_passes_is_no_jump(at_work: Life) -> None:
    life = at_work
    life.clock.advance(HOURS)
    life.upkeep.catch_up()
    assert jumps(life) == []
    assert "running" not in column(life, BatchRow.state)


def test_set_back_while_no_upkeep_ran(at_work: Life) -> None:
    life = at_work
    life.clock.jump(-2 * HOURS)
    life.another_upkeep().start()
    assert jumps(life) == [pytest.approx(-2 * HOURS, abs=60)]
    assert life.due_parcels("pacs")
    life.another_upkeep().start()
    assert len(jumps(life)) == 1


def test_at_the_start_nothing_waits_beyond_its_bound(at_work: Life) -> None:
    life = at_work
    years = life.clock() + timedelta(days=4000)
    with life.ledger.write() as unit:
        unit.session.execute(update(ParcelRow).values(due_at=years))
        unit.session.execute(update(BatchRow).where(BatchRow.state == "running")
                             .values(lease_until=years))  # fmt: skip
    assert life.due_parcels() == []
    life.another_upkeep().start()
    assert life.due_parcels()
    life.clock.advance(LEASE.total_seconds() + 1)
    life.upkeep.catch_up()
    assert "running" not in column(life, BatchRow.state)
    assert jumps(life) == []


def test_what_waits_for_its_next_try_waits_on_over_a_start(at_work: Life) -> None:
    life = at_work
    before = column(life, ParcelRow.due_at)
    life.another_upkeep().start()
    assert column(life, ParcelRow.due_at) == before


def test_nothing_is_removed_on_the_day_after_a_clock_was_set_forward(at_work: Life) -> None:
    life = at_work
    for parcel_id in life.due_parcels("archive"):
        life.take(parcel_id)
    kept = len([path for path in column(life, InstanceRow.path) if path])
    life.upkeep.catch_up()
    life.clock.jump(1000 * HOURS)
    assert not life.upkeep.forget_old()
    life.clock.advance(23 * HOURS)
    assert not life.upkeep.forget_old()
    assert len([path for path in column(life, InstanceRow.path) if path]) == kept


def test_a_jump_that_could_not_be_settled_is_settled_later(
    at_work: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = at_work
    life.clock.jump(-2 * HOURS)
    with monkeypatch.context() as patched:
        patched.setattr(life.ledger, "write", _away)
        with pytest.raises(ConnectionError):
            life.upkeep.catch_up()
    assert jumps(life) == []
    life.clock.advance(5)
    life.upkeep.catch_up()
    assert jumps(life) == [-2 * HOURS]


def _away() -> Any:
    raise ConnectionError
