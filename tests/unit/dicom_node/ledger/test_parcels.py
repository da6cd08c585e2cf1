"""Parcels and deliveries: what a destination does concerns only its own."""

from __future__ import annotations

import re
import threading
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from dicom_node.errors import LedgerError
from dicom_node.ledger import answers, parcels, recall
from dicom_node.ledger.parcels import ClaimedParcel
from dicom_node.ledger.tables import AuditRow, DeliveryRow, ParcelRow, WorkItemRow
from tests.support.batches import item_states
from tests.support.ledgers import LEASE, Life, reversed_where_unordered


@pytest.fixture
def denoised(life: Life) -> Life:
    """Two series of three instances, denoised by two routes; nothing is sent yet."""
    life.associate()
    for series in ("1.2.4", "1.2.5"):
        life.receive_series(3, series)
    life.denoise_all()
    life.bell.rings.clear()
    return life


def delivery_states(life: Life, parcel: ClaimedParcel) -> list[str]:
    return [
        row.state
        for row in life.rows(
            select(DeliveryRow.state)
            .where(DeliveryRow.parcel_id == parcel.parcel_id)
            .order_by(DeliveryRow.id)
        )
    ]


def take(life: Life, parcel_id: int, worker: str = "d:1", limit: int = 1) -> ClaimedParcel:
    parcel = life.take(parcel_id, worker, limit)
    assert parcel is not None
    return parcel


def test_an_item_is_delivered_when_every_destination_has_it(denoised: Life) -> None:
    for parcel_id in denoised.due_parcels("pacs"):
        parcel = take(denoised, parcel_id)
        for each in parcel.deliveries:
            denoised.answer(parcel, each.delivery_id)
        denoised.end_try(parcel)
    assert item_states(denoised) == {"delivered": 6, "denoised": 6}
    denoised.deliver_all()
    assert item_states(denoised) == {"delivered": 12}


def test_a_refusal_waits_for_a_person_who_sends_only_what_was_refused(denoised: Life) -> None:
    for parcel_id in denoised.due_parcels("archive"):
        parcel = take(denoised, parcel_id)
        for each in parcel.deliveries:
            denoised.answer(parcel, each.delivery_id, delivered=False, status=0xC000)
        denoised.end_try(parcel)
    denoised.deliver_all()
    assert item_states(denoised) == {"delivered": 6, "failed": 6}
    failed = [
        r.id for r in denoised.rows(select(WorkItemRow.id).where(WorkItemRow.state == "failed"))
    ]
    with denoised.ledger.write() as unit:
        assert recall.retry(unit, failed).redelivered == 6
    assert denoised.due_parcels("pacs") == []
    denoised.deliver_all()
    assert item_states(denoised) == {"delivered": 12}


def test_a_destination_gets_no_more_parcels_at_a_time_than_its_limit(denoised: Life) -> None:
    first, second, *_ = denoised.due_parcels("pacs")
    parcel = take(denoised, first, limit=1)
    assert parcel.attempts == 1
    assert denoised.take(second, "d:2", limit=1) is None
    assert denoised.take(second, "d:2", limit=2) is not None
    denoised.end_try(parcel)


def test_a_destination_that_is_away_delays_only_its_own(denoised: Life) -> None:
    archive = denoised.due_parcels("archive")
    pacs = denoised.due_parcels("pacs")
    parcel = take(denoised, archive[0])
    denoised.postpone(parcel, parcel.deliveries[0].delivery_id)
    denoised.end_try(parcel, retry_after=60)
    assert denoised.due_parcels("archive") == []
    assert denoised.take(archive[0]) is None
    assert denoised.take(4711) is None
    assert denoised.due_parcels("pacs") == pacs
    denoised.clock.advance(61)
    assert denoised.due_parcels("archive") == archive


def test_a_destination_that_answers_again_gets_at_once_what_waits(denoised: Life) -> None:
    archive = denoised.due_parcels("archive")
    parcel = take(denoised, archive[0])
    denoised.end_try(parcel, retry_after=600)
    with denoised.ledger.write() as unit:
        unit.session.execute(
            update(ParcelRow).where(ParcelRow.id == archive[0]).values(due_at=unit.at)
        )
    parcel = take(denoised, archive[0])
    for each in parcel.deliveries:
        denoised.answer(parcel, each.delivery_id)
    denoised.end_try(parcel)
    assert denoised.due_parcels("archive") == archive[1:]


def test_what_nobody_takes_for_three_days_becomes_a_dead_letter(denoised: Life) -> None:
    for _ in range(3):
        for parcel_id in denoised.due_parcels("archive"):
            parcel = denoised.take(parcel_id)
            if parcel is not None:
                for each in parcel.deliveries:
                    denoised.postpone(parcel, each.delivery_id)
                denoised.end_try(parcel, retry_after=1)
        denoised.clock.advance(37 * 3600)
    dead = denoised.rows(select(DeliveryRow).where(DeliveryRow.state == "failed"))
    assert dead
    for (row,) in dead:
        assert re.match(r"given up after (1 try|3 tries) in 74 h; last: no answer;", row.message)
        assert "when archive takes it" in row.message
        assert "study retry" in row.message
    rows = denoised.rows(select(AuditRow.delivery_id, AuditRow.detail))
    audited = {row.delivery_id for row in rows if (row.detail or {}).get("state") == "failed"}
    assert {row[0].id for row in dead} <= audited


def test_a_parcel_of_a_dead_sender_is_sent_by_another(denoised: Life) -> None:
    first = denoised.due_parcels("pacs")[0]
    lost = take(denoised, first, "d:1")
    denoised.answer(lost, lost.deliveries[0].delivery_id)
    denoised.clock.advance(LEASE.total_seconds() + 1)
    denoised.upkeep.catch_up()
    again = take(denoised, first, "d:2")
    assert len(again.deliveries) == len(lost.deliveries) - 1
    with pytest.raises(LedgerError, match="taken back"):
        denoised.end_try(lost)


def test_two_claims_of_one_process_are_kept_apart(denoised: Life) -> None:
    """Threads of one sender share a name; the one whose lease ran out holds nothing any more."""
    first = denoised.due_parcels("pacs")[0]
    lost = take(denoised, first, "d:1")
    denoised.clock.advance(LEASE.total_seconds() + 1)
    denoised.upkeep.catch_up()
    again = take(denoised, first, "d:1")
    with pytest.raises(LedgerError, match="taken back"):
        denoised.end_try(lost)
    for each in again.deliveries:
        denoised.answer(again, each.delivery_id)
    denoised.end_try(again)
    assert delivery_states(denoised, again) == ["delivered"] * len(again.deliveries)


@pytest.mark.parametrize("later", [True, False])
def test_a_second_answer_changes_nothing(denoised: Life, later: bool) -> None:
    for destination in ("pacs", "archive"):
        for parcel_id in denoised.due_parcels(destination):
            parcel = take(denoised, parcel_id)
            for each in parcel.deliveries:
                denoised.answer(parcel, each.delivery_id)
            denoised.end_try(parcel)
    denoised.answer(parcel, parcel.deliveries[0].delivery_id, delivered=later)
    denoised.postpone(parcel, parcel.deliveries[0].delivery_id)
    assert delivery_states(denoised, parcel) == ["delivered"] * len(parcel.deliveries)
    said = denoised.rows(select(DeliveryRow.message, DeliveryRow.attempts))
    assert {tuple(row) for row in said} == {("said", 0)}
    assert item_states(denoised) == {"delivered": 12}


def test_both_destinations_may_answer_at_once(denoised: Life) -> None:
    """However the last two answers for an item interleave, one of them ends the item."""
    here = take(denoised, denoised.due_parcels("pacs")[0])
    elsewhere = [take(denoised, each, limit=9) for each in denoised.due_parcels("archive")]
    uids = {each.result.sop_instance_uid for each in here.deliveries}
    there = next(
        each
        for each in elsewhere
        if uids & {one.result.sop_instance_uid for one in each.deliveries}
    )
    uid = here.deliveries[0].result.sop_instance_uid
    other = next(each for each in there.deliveries if each.result.sop_instance_uid == uid)
    answered = threading.Event()

    def answer_there() -> None:
        denoised.answer(there, other.delivery_id)
        answered.set()

    thread = threading.Thread(target=answer_there)
    with denoised.ledger.write() as unit:
        answers.answered(
            unit, here, here.deliveries[0].delivery_id,
            delivered=True, status=0, message="said", lease=LEASE,
        )  # fmt: skip
        unit.session.flush()
        thread.start()
        answered.wait(1)
    thread.join()
    assert item_states(denoised) == {"delivered": 1, "denoised": 11}


def test_tries_of_one_destination_may_end_at_once(life: Life) -> None:
    """No two ends of a try wait for each other's rows."""
    life.associate()
    for number in range(12):
        life.receive_series(1, f"1.2.{number + 10}")
    life.denoise_all()
    faults: list[BaseException] = []
    due = life.due_parcels("pacs")
    start = threading.Barrier(4)

    def carry(mine: list[int]) -> None:
        start.wait()
        for parcel_id in mine:
            try:
                parcel = life.take(parcel_id, f"d:{parcel_id}", 99)
                if parcel is not None:
                    life.end_try(parcel, retry_after=0.001)
            except LedgerError as error:
                faults.append(error)

    threads = [threading.Thread(target=carry, args=(due[i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_the_lease_of_a_long_transfer_can_be_prolonged(denoised: Life) -> None:
    parcel = take(denoised, denoised.due_parcels("pacs")[0])
    for _ in range(3):
        denoised.clock.advance(LEASE.total_seconds() - 1)
        with denoised.ledger.write() as unit:
            parcels.renew(unit, parcel, timedelta(seconds=60))
        denoised.upkeep.catch_up()
    ((state, until),) = denoised.rows(
        select(ParcelRow.state, ParcelRow.lease_until).where(ParcelRow.id == parcel.parcel_id)
    )
    assert (state, until) == ("sending", denoised.clock.at + timedelta(seconds=60))
    denoised.clock.advance(61)
    denoised.upkeep.catch_up()
    assert parcel.parcel_id in denoised.due_parcels("pacs")


def test_what_broke_its_transfer_goes_behind_the_others(denoised: Life) -> None:
    """So that an object that breaks associations does not hold them up."""
    reversed_where_unordered(denoised.ledger.engine)
    first = denoised.due_parcels("pacs")[0]
    parcel = take(denoised, first)
    one, two, three = (each.delivery_id for each in parcel.deliveries)
    assert one < two < three
    denoised.postpone(parcel, one)
    denoised.postpone(parcel, three, tried=False)
    denoised.end_try(parcel, retry_after=1)
    denoised.clock.advance(2)
    assert [each.delivery_id for each in take(denoised, first).deliveries] == [two, three, one]


def test_what_was_lost_together_is_tried_apart_from_the_second_loss_on(denoised: Life) -> None:
    """One of them may be what ends the senders."""
    both = denoised.due_parcels("pacs")[:2]
    for delays in ([0, 0], [0, 20]):
        for parcel_id in both:
            take(denoised, parcel_id, limit=2)
        denoised.clock.advance(LEASE.total_seconds() + 1)
        denoised.upkeep.catch_up()
        due = denoised.rows(
            select(ParcelRow.due_at).where(ParcelRow.id.in_(both)).order_by(ParcelRow.id)
        )
        assert [at - denoised.clock() for (at,) in due] == [timedelta(seconds=s) for s in delays]


def lose(life: Life, parcel_id: int) -> ClaimedParcel | None:
    """A sender takes a parcel and dies."""
    parcel = life.take(parcel_id)
    life.clock.advance(LEASE.total_seconds() + 1)
    life.upkeep.catch_up()
    return parcel


def test_a_parcel_that_kills_every_sender_is_given_up(denoised: Life) -> None:
    first, *others = denoised.due_parcels("pacs")
    for _ in range(50):
        if lose(denoised, first) is None:
            break
    dead = denoised.rows(select(DeliveryRow).where(DeliveryRow.parcel_id == first))
    assert {row[0].state for row in dead} == {"failed"}
    assert all("sender stopped" in row[0].message for row in dead)
    assert all("study retry" in row[0].message for row in dead)
    assert denoised.due_parcels("pacs") == others
    denoised.deliver_all()
    assert {row.state for row in denoised.rows(select(ParcelRow.state))} == {"done"}
    assert item_states(denoised) == {"failed": 3, "delivered": 9}


def test_only_the_object_that_kills_senders_is_given_up(denoised: Life) -> None:
    first = denoised.due_parcels("pacs")[0]
    killer = denoised.rows(
        select(DeliveryRow.id).where(DeliveryRow.parcel_id == first).order_by(DeliveryRow.id)
    )[0].id
    for _ in range(50):
        parcel = denoised.take(first)
        if parcel is None:
            break
        if any(each.delivery_id == killer for each in parcel.deliveries):
            denoised.clock.advance(LEASE.total_seconds() + 1)
            denoised.upkeep.catch_up()
            continue
        for each in parcel.deliveries:
            denoised.answer(parcel, each.delivery_id)
        denoised.end_try(parcel)
    rows = denoised.rows(select(DeliveryRow).where(DeliveryRow.parcel_id == first))
    assert {row[0].id for row in rows if row[0].state == "failed"} == {killer}
    assert {row[0].state for row in rows if row[0].id != killer} == {"delivered"}
    denoised.deliver_all()
    denoised.deliver_all()
    (item,) = denoised.rows(select(WorkItemRow).where(WorkItemRow.state == "failed"))
    assert "pacs" in item[0].reason
    with denoised.ledger.write() as unit:
        assert recall.retry(unit, [item[0].id]).redelivered == 1
    again = take(denoised, first)
    assert [each.delivery_id for each in again.deliveries] == [killer]
    denoised.answer(again, killer)
    denoised.end_try(again)
    assert {row.state for row in denoised.rows(
        select(DeliveryRow.state).where(DeliveryRow.parcel_id == first)
    )} == {"delivered"}  # fmt: skip


def test_a_sender_that_dies_now_and_then_fails_nothing(denoised: Life) -> None:
    first = denoised.due_parcels("pacs")[0]
    for _ in range(8):
        lose(denoised, first)
        parcel = take(denoised, first)
        for each in parcel.deliveries:
            denoised.postpone(parcel, each.delivery_id)
        denoised.end_try(parcel)
        denoised.clock.advance(6)
    assert set(delivery_states(denoised, parcel)) == {"waiting"}
