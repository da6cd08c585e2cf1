"""Leases: who holds a batch or a parcel, for how long, and what nobody holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from dicom_node.errors import LedgerError
from dicom_node.ledger import batches, parcels, recall
from dicom_node.ledger.tables import AuditRow, BatchRow, ParcelRow, WorkItemRow
from tests.support.ledgers import LEASE, Life, reversed_where_unordered

Table = type[BatchRow | ParcelRow]


@pytest.fixture
def busy(life: Life) -> Life:
    """Four batches are due, and a parcel for each of two destinations and two batches."""
    life.associate()
    life.receive_series(3, "1.2.4")
    life.denoise_all()
    life.receive_series(6, "1.2.5")
    life.planner.plan()
    return life


def lease(life: Life, table: Table, row_id: int) -> tuple[str, str | None, datetime | None]:
    ((state, worker, until),) = life.rows(
        select(table.state, table.worker, table.lease_until).where(table.id == row_id)
    )
    return state, worker, until


def holders(life: Life) -> tuple[list[str], list[str]]:
    with life.ledger.read() as session:
        return batches.holders(session), parcels.holders(session)


def claim_batches(life: Life, *workers: str) -> list[Any]:
    return [
        life.claim(due, worker) for due, worker in zip(life.due_batches(), workers, strict=False)
    ]


def test_a_claim_lasts_as_long_as_it_was_given(busy: Life) -> None:
    (batch,) = claim_batches(busy, "w:1")
    parcel = busy.take(busy.due_parcels("pacs")[0], "d:1")
    assert parcel is not None
    until = busy.clock.at + LEASE
    assert lease(busy, BatchRow, batch.batch_id) == ("running", "w:1", until)
    assert lease(busy, ParcelRow, parcel.parcel_id) == ("sending", "d:1", until)
    busy.clock.advance(10)
    with busy.ledger.write() as unit:
        assert batches.renew(unit, batch, timedelta(seconds=7))
        assert parcels.renew(unit, parcel, timedelta(seconds=7))
    until = busy.clock.at + timedelta(seconds=7)
    assert lease(busy, BatchRow, batch.batch_id) == ("running", "w:1", until)
    assert lease(busy, ParcelRow, parcel.parcel_id) == ("sending", "d:1", until)


def test_nobody_holds_what_has_ended(busy: Life) -> None:
    (batch,) = claim_batches(busy, "w:1")
    parcel = busy.take(busy.due_parcels("pacs")[0])
    assert parcel is not None
    busy.record(batch)
    busy.finish(batch)
    for each in parcel.deliveries:
        busy.answer(parcel, each.delivery_id)
    busy.end_try(parcel)
    assert lease(busy, BatchRow, batch.batch_id) == ("done", None, None)
    assert lease(busy, ParcelRow, parcel.parcel_id) == ("done", None, None)
    with busy.ledger.write() as unit:
        assert not batches.renew(unit, batch, LEASE)
        assert not parcels.renew(unit, parcel, LEASE)


def test_a_batch_says_when_it_was_done(busy: Life) -> None:
    (batch,) = claim_batches(busy, "w:1")
    busy.clock.advance(11)
    busy.record(batch)
    busy.finish(batch)
    done = busy.rows(select(BatchRow.done_at).where(BatchRow.id == batch.batch_id))
    assert done == [(busy.clock.at,)]


def test_nobody_holds_what_was_given_back(busy: Life) -> None:
    (batch,) = claim_batches(busy, "w:1")
    parcel = busy.take(busy.due_parcels("pacs")[0])
    assert parcel is not None
    with busy.ledger.write() as unit:
        batches.give_back(unit, batch, after=timedelta(seconds=5), why="so")
    busy.end_try(parcel)
    assert lease(busy, BatchRow, batch.batch_id) == ("due", None, None)
    assert lease(busy, ParcelRow, parcel.parcel_id) == ("due", None, None)


def test_holders_are_those_at_work_each_named_once(busy: Life) -> None:
    assert holders(busy) == ([], [])
    mine, _, hers = claim_batches(busy, "w:1", "w:1", "w:2")
    pacs, archive = busy.due_parcels("pacs")[0], busy.due_parcels("archive")[0]
    first = busy.take(pacs, "d:1", limit=2)
    assert first is not None
    second = busy.take(archive, "d:2")
    assert second is not None
    assert [sorted(each) for each in holders(busy)] == [["w:1", "w:2"], ["d:1", "d:2"]]
    busy.record(hers)
    busy.finish(hers)
    busy.end_try(second)
    assert holders(busy) == (["w:1"], ["d:1"])
    busy.record(mine)
    busy.finish(mine)
    assert holders(busy) == (["w:1"], ["d:1"])


def test_what_nobody_holds_though_it_runs_stops_nobody_who_looks_for_the_gone(busy: Life) -> None:
    """A ledger that somebody has put right by hand; the lease runs out all the same."""
    (batch,) = claim_batches(busy, "w:1")
    with busy.ledger.write() as unit:
        unit.session.execute(update(BatchRow).values(worker=None))
    assert holders(busy) == ([], [])
    busy.upkeep.catch_up()
    assert lease(busy, BatchRow, batch.batch_id)[0] == "running"
    busy.clock.advance(LEASE.total_seconds() + 1)
    busy.upkeep.catch_up()
    assert lease(busy, BatchRow, batch.batch_id)[0] == "due"


def test_only_who_has_claimed_it_holds_it(busy: Life) -> None:
    (batch,) = claim_batches(busy, "w:1")
    parcel = busy.take(busy.due_parcels("pacs")[0], "d:1")
    assert parcel is not None
    with busy.ledger.write() as unit:
        assert not batches.renew(unit, replace(batch, worker="w:2"), LEASE)
        assert not parcels.renew(unit, replace(parcel, worker="d:2"), LEASE)
        with pytest.raises(LedgerError, match="taken back"):
            batches.held(unit, replace(batch, worker="w:2"))


def test_a_lease_that_is_prolonged_is_nobody_elses(busy: Life) -> None:
    first, second = claim_batches(busy, "w:1", "w:1")
    parcel = busy.take(busy.due_parcels("pacs")[0], "d:1")
    other = busy.take(busy.due_parcels("archive")[0], "d:1")
    assert parcel is not None
    assert other is not None
    before = busy.clock.at + LEASE
    with busy.ledger.write() as unit:
        batches.renew(unit, first, LEASE * 3)
        parcels.renew(unit, parcel, LEASE * 3)
    assert lease(busy, BatchRow, second.batch_id)[2] == before
    assert lease(busy, ParcelRow, other.parcel_id)[2] == before


def test_a_sender_of_before_a_persons_retry_does_not_hold_the_parcel_of_after(busy: Life) -> None:
    """Its tries are counted anew, so that both claims are the first."""
    due = busy.due_parcels("pacs")[0]
    lost = busy.take(due, "d:1")
    assert lost is not None
    busy.clock.advance(LEASE.total_seconds() + 1)
    busy.upkeep.catch_up()
    busy.deliver_all(delivered=False)
    failed = busy.rows(select(WorkItemRow.id).where(WorkItemRow.state == "failed"))
    with busy.ledger.write() as unit:
        recall.retry(unit, [row.id for row in failed])
    now = busy.take(due, "d:3")
    assert now is not None
    assert now.attempts == lost.attempts == 1
    with busy.ledger.write() as unit:
        assert not parcels.renew(unit, lost, LEASE)
    with pytest.raises(LedgerError, match="taken back"):
        busy.end_try(lost)
    busy.end_try(now)


def test_one_workers_giving_back_leaves_the_work_of_another_running(busy: Life) -> None:
    first, second = claim_batches(busy, "w:1", "w:2")
    with busy.ledger.write() as unit:
        batches.give_back(unit, first, after=None, why="stopped")
    states = {
        batch: state
        for batch, state in busy.rows(
            select(WorkItemRow.batch_id, WorkItemRow.state)
            .where(WorkItemRow.batch_id.in_([first.batch_id, second.batch_id]))
            .distinct()
        )
    }
    assert states == {first.batch_id: "planned", second.batch_id: "running"}


TAKE_BACK: list[Callable[..., list[int]]] = [batches.take_back_expired, parcels.take_back_expired]


@pytest.mark.parametrize("take_back", TAKE_BACK)
def test_a_lease_runs_out_after_its_last_moment(
    busy: Life, take_back: Callable[..., list[int]]
) -> None:
    claim_batches(busy, "w:1", "w:2")
    parcel = busy.take(busy.due_parcels("pacs")[0], "d:1")
    assert parcel is not None
    busy.clock.advance(LEASE.total_seconds())
    with busy.ledger.write() as unit:
        assert take_back(unit) == []
    busy.clock.advance(0.001)
    with busy.ledger.write() as unit:
        assert len(take_back(unit)) == (2 if take_back is TAKE_BACK[0] else 1)
        assert take_back(unit) == []


def test_what_the_gone_held_is_taken_back_and_what_others_hold_is_not(busy: Life) -> None:
    gone, alive = claim_batches(busy, "w:1", "w:2")
    lost = busy.take(busy.due_parcels("pacs")[0], "w:1")
    sent = busy.take(busy.due_parcels("archive")[0], "w:2")
    assert lost is not None
    assert sent is not None
    with busy.ledger.write() as unit:
        assert batches.take_back_expired(unit, worker="w:1") == [gone.batch_id]
        assert parcels.take_back_expired(unit, worker="w:1") == [lost.parcel_id]
    with busy.ledger.write() as unit:
        assert batches.renew(unit, alive, LEASE)
        assert parcels.renew(unit, sent, LEASE)
        assert not batches.renew(unit, gone, LEASE)
        assert not parcels.renew(unit, lost, LEASE)
    audit = busy.rows(
        select(AuditRow.event, AuditRow.detail, AuditRow.batch_id).where(
            AuditRow.event.like("%taken-back")
        )
    )
    assert [tuple(row) for row in audit] == [
        ("batch:upkeep:taken-back", {"worker": "w:1"}, gone.batch_id),
        ("parcel:upkeep:taken-back", {"parcel": lost.parcel_id, "worker": "w:1",
                                      "destination": "pacs", "losses": 1}, None),
    ]  # fmt: skip


def test_what_is_taken_back_is_due_and_rung_for(busy: Life) -> None:
    claim_batches(busy, "w:1")
    busy.take(busy.due_parcels("pacs")[0], "d:1")
    for take_back in TAKE_BACK:
        busy.bell.rings.clear()
        busy.clock.advance(LEASE.total_seconds() + 1)
        with busy.ledger.write() as unit:
            (taken,) = take_back(unit)
        assert [ring.ledger_id for ring in busy.bell.rings] == [taken]
    assert busy.rows(select(BatchRow.id).where(BatchRow.state == "running")) == []
    assert busy.rows(select(ParcelRow.id).where(ParcelRow.state == "sending")) == []


def test_all_that_was_lost_is_taken_back_though_one_of_it_has_nothing_left(life: Life) -> None:
    """Its sender died between the last answer and the end of its try."""
    reversed_where_unordered(life.ledger.engine)
    life.associate()
    for series in ("1.2.4", "1.2.5"):
        life.receive_series(1, series)
    life.denoise_all()
    first, second = (life.take(each, limit=2) for each in life.due_parcels("pacs")[:2])
    assert first is not None
    assert second is not None
    for each in first.deliveries:
        life.answer(first, each.delivery_id)
    life.clock.advance(LEASE.total_seconds() + 1)
    with life.ledger.write() as unit:
        assert parcels.take_back_expired(unit) == [first.parcel_id, second.parcel_id]
    assert lease(life, ParcelRow, first.parcel_id) == ("done", None, None)
    assert lease(life, ParcelRow, second.parcel_id) == ("due", None, None)
