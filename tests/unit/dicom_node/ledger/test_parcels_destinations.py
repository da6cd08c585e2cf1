"""What a destination's answers mean for the other parcels that wait for it, and for no other."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update

from dicom_node.ledger import parcels
from dicom_node.ledger.parcels import ClaimedParcel
from dicom_node.ledger.states import ParcelState
from dicom_node.ledger.tables import AuditRow, BatchRow, DeliveryRow, ParcelRow, WorkItemRow
from tests.support.ledgers import GIVE_UP, Life

AGAIN = timedelta(seconds=60)


@pytest.fixture
def sendable(life: Life) -> Life:
    """Two batches for both destinations, two more for one; nothing is sent yet."""
    life.associate()
    for series in ("1.2.4", "1.2.5"):
        life.receive_series(2, series)
    life.denoise_all()
    return life


def take(life: Life, destination: str, which: int = 0) -> ClaimedParcel:
    ids = [
        row.id
        for row in life.rows(
            select(ParcelRow.id).where(ParcelRow.destination == destination).order_by(ParcelRow.id)
        )
    ]
    parcel = life.take(ids[which], limit=9)
    assert parcel is not None
    return parcel


def end(
    life: Life,
    parcel: ClaimedParcel,
    *,
    faulty: Collection[int] = (),
    give_up: timedelta = GIVE_UP,
    after: timedelta = AGAIN,
) -> int:
    with life.ledger.write() as unit:
        return parcels.finish(unit, parcel, retry_after=after, give_up_after=give_up, faulty=faulty)


def due(life: Life, destination: str) -> list[float | None]:
    """Seconds until each parcel is due; None of those that are not."""
    rows = life.rows(
        select(ParcelRow.state, ParcelRow.due_at)
        .where(ParcelRow.destination == destination)
        .order_by(ParcelRow.id)
    )
    return [
        (at - life.clock.at).total_seconds() if state == ParcelState.DUE.value else None
        for state, at in rows
    ]


def later(life: Life, parcel_id: int, seconds: float) -> datetime:
    at = life.clock.at + timedelta(seconds=seconds)
    with life.ledger.write() as unit:
        unit.session.execute(update(ParcelRow).where(ParcelRow.id == parcel_id).values(due_at=at))
    return at


def test_where_it_is_away_all_that_is_due_there_waits_and_nothing_elsewhere(sendable: Life) -> None:
    parcel = take(sendable, "archive")
    assert end(sendable, parcel) == 0
    assert due(sendable, "archive") == [60, 60]
    assert due(sendable, "pacs") == [0] * 4


def test_what_is_due_later_still_is_not_brought_forward_by_a_failure(sendable: Life) -> None:
    first, second = take(sendable, "archive"), take(sendable, "archive", 1)
    assert end(sendable, first, after=AGAIN * 5) == 0
    assert end(sendable, second) == 0
    assert due(sendable, "archive") == [300, 60]


def test_where_it_answers_again_all_that_waits_there_is_due_and_nothing_elsewhere(
    sendable: Life,
) -> None:
    carried, waiting = take(sendable, "archive"), take(sendable, "archive", 1)
    end(sendable, waiting)
    end(sendable, take(sendable, "pacs"))
    assert due(sendable, "archive") == [None, 60]
    assert due(sendable, "pacs") == [60] * 4
    for each in carried.deliveries:
        sendable.answer(carried, each.delivery_id)
    assert end(sendable, carried) == 0
    assert due(sendable, "archive") == [None, 0]
    assert due(sendable, "pacs") == [60] * 4


def test_what_has_been_due_for_a_while_keeps_its_place_when_others_are_brought_forward(
    sendable: Life,
) -> None:
    carried = take(sendable, "archive")
    sendable.clock.advance(30)
    for each in carried.deliveries:
        sendable.answer(carried, each.delivery_id)
    end(sendable, carried)
    assert due(sendable, "archive") == [None, -30]


def due_at(life: Life, parcel_id: int) -> datetime:
    ((at,),) = life.rows(select(ParcelRow.due_at).where(ParcelRow.id == parcel_id))
    return at


def test_what_is_on_its_way_or_done_is_neither_held_back_nor_brought_forward(
    sendable: Life,
) -> None:
    """However many are done: no row of theirs is written again."""
    carried, other = take(sendable, "pacs"), take(sendable, "pacs", 1)
    done = take(sendable, "pacs", 2)
    for each in done.deliveries:
        sendable.answer(done, each.delivery_id)
    end(sendable, done)
    before = [due_at(sendable, each.parcel_id) for each in (other, done)]
    end(sendable, carried)
    assert due(sendable, "pacs") == [60, None, None, 60]
    assert [due_at(sendable, each.parcel_id) for each in (other, done)] == before
    before = [later(sendable, each.parcel_id, 600) for each in (other, done)]
    sendable.clock.advance(61)
    again = take(sendable, "pacs")
    for each in again.deliveries:
        sendable.answer(again, each.delivery_id)
    end(sendable, again)
    assert due(sendable, "pacs") == [None, None, None, -1]
    assert [due_at(sendable, each.parcel_id) for each in (other, done)] == before


def test_what_failed_by_its_own_fault_says_nothing_about_its_destination(sendable: Life) -> None:
    parcel = take(sendable, "archive")
    assert end(sendable, parcel, faulty=[each.delivery_id for each in parcel.deliveries]) == 0
    assert due(sendable, "archive") == [60, 0]


def test_one_that_failed_by_its_destinations_fault_says_it_though_another_did_by_its_own(
    sendable: Life,
) -> None:
    parcel = take(sendable, "archive")
    assert end(sendable, parcel, faulty=[parcel.deliveries[0].delivery_id]) == 0
    assert due(sendable, "archive") == [60, 60]


def test_the_losses_of_what_was_tried_are_forgotten_unless_it_was_at_fault(sendable: Life) -> None:
    with sendable.ledger.write() as unit:
        unit.session.execute(update(DeliveryRow).values(losses=2))
    parcel = take(sendable, "archive")
    first, second = (each.delivery_id for each in parcel.deliveries)
    end(sendable, parcel, faulty=[first])
    losses = dict(sendable.rows(select(DeliveryRow.id, DeliveryRow.losses)))
    assert (losses[first], losses[second]) == (2, 0)
    assert set(losses.values()) == {0, 2}


def lost(life: Life, parcel_id: int, losses: int) -> None:
    with life.ledger.write() as unit:
        unit.session.execute(
            update(ParcelRow).where(ParcelRow.id == parcel_id).values(losses=losses)
        )


@pytest.mark.parametrize(("losses", "handed_out"), [(0, 2), (1, 2), (2, 1), (3, 1)])
def test_after_two_lost_senders_one_delivery_is_sent_at_a_time(
    sendable: Life, losses: int, handed_out: int
) -> None:
    first = sendable.due_parcels("pacs")[0]
    lost(sendable, first, losses)
    parcel = take(sendable, "pacs")
    assert len(parcel.deliveries) == handed_out
    assert parcel.alone is (handed_out == 1)
    counted = sendable.rows(select(DeliveryRow.losses).where(DeliveryRow.parcel_id == first))
    assert sorted(row.losses for row in counted) == ([0, 1] if parcel.alone else [0, 0])


def test_a_fault_counts_as_a_lost_sender_of_this_parcel_while_it_is_held(sendable: Life) -> None:
    parcel, other = take(sendable, "archive"), take(sendable, "archive", 1)
    for _ in range(2):
        with sendable.ledger.write() as unit:
            parcels.crashed(unit, parcel)
    end(sendable, other)
    with sendable.ledger.write() as unit:
        parcels.crashed(unit, other)
    losses = sendable.rows(select(ParcelRow.losses).where(ParcelRow.losses > 0))
    assert [row.losses for row in losses] == [2]
    end(sendable, parcel)
    sendable.clock.advance(61)
    assert len(take(sendable, "archive").deliveries) == 1


def test_what_was_not_sent_beside_what_was_is_due_at_once(sendable: Life) -> None:
    """Its parcel has lost senders, so that one delivery was sent alone."""
    first = sendable.due_parcels("archive")[0]
    lost(sendable, first, 2)
    end(sendable, take(sendable, "archive", 1))
    sendable.clock.advance(61)
    parcel = take(sendable, "archive")
    later(sendable, sendable.due_parcels("archive")[0], 600)
    sendable.bell.rings.clear()
    sendable.answer(parcel, parcel.deliveries[0].delivery_id)
    assert end(sendable, parcel) == 0
    assert due(sendable, "archive") == [0, 0]
    assert [ring.ledger_id for ring in sendable.bell.rings] == [first]


@pytest.mark.parametrize(("hours", "dead"), [(71.9, 0), (72.0, 2)])
def test_a_parcel_is_given_up_once_it_was_due_for_as_long_as_that_takes(
    sendable: Life, hours: float, dead: int
) -> None:
    parcel = take(sendable, "archive")
    sendable.clock.advance(hours * 3600)
    with sendable.ledger.write() as unit:
        assert parcels.renew(unit, parcel, AGAIN)
    assert end(sendable, parcel) == dead
    states = sendable.rows(
        select(DeliveryRow.state).where(DeliveryRow.parcel_id == parcel.parcel_id)
    )
    assert {row.state for row in states} == {"failed" if dead else "waiting"}
    assert due(sendable, "archive")[0] == (None if dead else 60)


def test_a_dead_letter_says_how_often_and_how_long_it_was_tried_and_why(sendable: Life) -> None:
    parcel = take(sendable, "archive")
    first, second = (each.delivery_id for each in parcel.deliveries)
    sendable.postpone(parcel, first)
    sendable.clock.advance(2 * 3600)
    assert end(sendable, parcel, give_up=timedelta(hours=1)) == 2
    said = dict(sendable.rows(select(DeliveryRow.id, DeliveryRow.message)))
    assert said[first] == (
        "given up after 1 try in 2 h; last: no answer; when archive takes it, "
        "'dicom-node study retry' sends it again"
    )
    assert said[second] == said[first]
    audited = sendable.rows(
        select(AuditRow.delivery_id).where(AuditRow.event == "delivery:node:given-up")
    )
    assert sorted(row.delivery_id for row in audited) == sorted([first, second])
    assert due(sendable, "archive")[1] == -2 * 3600, "the destination has not answered"
    assert {row.state for row in sendable.rows(select(WorkItemRow.state))} == {"denoised"}


def test_a_parcel_is_as_new_as_its_batch_and_counts_from_when_it_was_due(sendable: Life) -> None:
    rows = sendable.rows(
        select(ParcelRow, BatchRow).join(BatchRow, BatchRow.id == ParcelRow.batch_id)
    )
    assert len(rows) == 6
    for parcel, batch in rows:
        assert parcel.arrival == batch.arrival
        assert parcel.first_due_at == parcel.due_at == batch.done_at
        assert (parcel.attempts, parcel.losses) == (0, 0)
    parcel = take(sendable, "archive")
    assert parcel.first_due_at == sendable.clock.at


def test_parcels_of_a_destination_count_against_its_limit_and_no_others(sendable: Life) -> None:
    sendable.take(sendable.due_parcels("pacs")[0], limit=1)
    first, second = sendable.due_parcels("archive")
    assert sendable.take(first, limit=1) is not None
    assert sendable.take(second, limit=1) is None
    assert sendable.take(second, limit=2) is not None


def test_a_parcel_that_is_taken_or_done_or_unknown_is_not_to_be_had(sendable: Life) -> None:
    parcel = take(sendable, "archive")
    assert sendable.take(parcel.parcel_id, limit=9) is None
    for each in parcel.deliveries:
        sendable.answer(parcel, each.delivery_id)
    end(sendable, parcel)
    assert sendable.take(parcel.parcel_id, limit=9) is None
    assert sendable.take(4711, limit=9) is None


def test_a_batch_and_destination_have_one_parcel_which_another_batchs_end_leaves_open(
    life: Life,
) -> None:
    life.associate()
    life.receive_series(6)
    life.planner.plan()
    first, second = (life.claim(each) for each in life.due_batches()[:2])
    assert first is not None
    assert second is not None
    for item in first.items:
        life.record(first, [item])
    life.record(second, second.items[:1])
    life.finish(first)
    rows = life.rows(
        select(ParcelRow.batch_id, ParcelRow.destination, ParcelRow.state).order_by(
            ParcelRow.batch_id, ParcelRow.destination
        )
    )
    assert [tuple(row) for row in rows] == [
        (batch.batch_id, destination, state)
        for batch, state in ((first, "due"), (second, "open"))
        for destination in sorted(batch.plan["destinations"])
    ]
