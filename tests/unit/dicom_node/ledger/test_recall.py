"""What a person takes up again, and what stays as it is beside it."""

from __future__ import annotations

import pytest
from sqlalchemy import event, select, update

from dicom_node.ledger import batches, recall
from dicom_node.ledger.recall import RecallCounts
from dicom_node.ledger.tables import (
    AuditRow,
    DeliveryRow,
    InstanceRow,
    ParcelRow,
    ResultRow,
    WorkItemRow,
)
from tests.support.ledgers import Life


def retry(life: Life, *ids: int) -> RecallCounts:
    with life.ledger.write() as unit:
        return recall.retry(unit, ids)


def items(life: Life) -> dict[int, tuple[str, int | None]]:
    rows = life.rows(select(WorkItemRow.id, WorkItemRow.state, WorkItemRow.batch_id))
    return {row.id: (row.state, row.batch_id) for row in rows}


def test_what_was_delivered_goes_to_every_destination_again(life: Life) -> None:
    life.associate()
    life.receive_series(2)
    life.denoise_all()
    while life.due_parcels():
        life.deliver_all()
    assert retry(life, *items(life)) == RecallCounts(0, 4, 0)
    waiting = life.rows(
        select(DeliveryRow.destination)
        .where(DeliveryRow.state == "waiting")
        .order_by("destination")
    )
    assert [name for (name,) in waiting] == ["archive"] * 2 + ["pacs"] * 4
    while life.due_parcels():
        life.deliver_all()
    assert {state for state, _ in items(life).values()} == {"delivered"}


def test_work_beside_what_is_taken_up_again_keeps_its_batch(life: Life) -> None:
    life.associate()
    life.receive_series(3)
    life.planner.plan()
    ended, other = life.due_batches()
    batch = life.claim(ended)
    assert batch is not None
    with life.ledger.write() as unit:
        batches.fail_running(unit, batch, "so")
        batches.finish(unit, batch)
    failed, *rest = [item.work_item_id for item in batch.items]
    before = items(life)
    assert retry(life, failed) == RecallCounts(1, 0, 0)
    after = items(life)
    assert after.pop(failed) == ("planned", None)
    del before[failed]
    assert after == before
    assert {after[item] for item in rest} == {("failed", ended)}
    assert ("planned", other) in after.values()


@pytest.fixture
def failed(life: Life) -> Life:
    """Two images that failed at one route; those of the other route are due."""
    life.associate()
    life.receive_series(2)
    life.planner.plan()
    life.clock.advance(10)
    life.planner.close_batches()
    batch = life.claim(life.due_batches()[0])
    assert batch is not None
    with life.ledger.write() as unit:
        batches.fail_running(unit, batch, "so")
        batches.finish(unit, batch)
    return life


def failures(life: Life) -> list[int]:
    rows = life.rows(
        select(WorkItemRow.id).where(WorkItemRow.state == "failed").order_by(WorkItemRow.id)
    )
    return [row.id for row in rows]


def test_an_image_is_planned_anew_as_if_nothing_stood_against_it(failed: Life) -> None:
    """Whatever its tries ended with: a person has looked."""
    with failed.ledger.write() as unit:
        until = failed.clock.at.replace(year=2030)
        unit.session.execute(update(InstanceRow).values(tries=3, worker="p:1", lease_until=until))
        unit.session.execute(update(WorkItemRow).values(tries=3))
    first, second = failures(failed)
    assert retry(failed, first) == RecallCounts(1, 0, 0)
    rows = failed.rows(
        select(InstanceRow.state, InstanceRow.tries, InstanceRow.worker).order_by(InstanceRow.id)
    )
    assert [tuple(row) for row in rows] == [("received", 0, None), ("planned", 3, "p:1")]
    tries = dict(failed.rows(select(WorkItemRow.id, WorkItemRow.tries)))
    assert tries.pop(first) == 0
    assert set(tries.values()) == {3}
    assert failed.planner.plan() == 1
    assert items(failed)[first][0] == "planned"
    assert items(failed)[second][0] == "failed"


def test_what_is_kept_aside_or_has_no_bytes_any_more_is_left_and_counted(failed: Life) -> None:
    first, second = failures(failed)
    failed.receive("1.2.4.1", version=1)
    failed.planner.plan()
    aside = failures(failed)[-1]
    assert aside not in (first, second)
    with failed.ledger.write() as unit:
        unit.session.execute(
            update(InstanceRow).where(InstanceRow.sop_instance_uid == "1.2.4.2").values(path=None)
        )
    before = items(failed)
    assert retry(failed, first, second, aside) == RecallCounts(1, 0, 2)
    after = items(failed)
    assert after.pop(first) == ("planned", None)
    del before[first]
    assert after == before
    states = failed.rows(select(InstanceRow.state).order_by(InstanceRow.id))
    assert [row.state for row in states] == ["received", "planned", "conflict"]


def test_a_result_that_is_kept_no_more_is_neither_sent_again_nor_made_again(life: Life) -> None:
    life.associate()
    life.receive_series(1)
    life.denoise_all()
    life.deliver_all(delivered=False)
    with life.ledger.write() as unit:
        unit.session.execute(update(ResultRow).values(path=None))
    assert retry(life, *failures(life)) == RecallCounts(0, 0, 2)
    assert {state for state, _ in items(life).values()} == {"failed"}
    assert life.due_parcels() == []


@pytest.fixture
def refused(life: Life) -> Life:
    """Two series that one destination refused, after senders were lost with them."""
    life.associate()
    for series in ("1.2.4", "1.2.5"):
        life.receive_series(2, series)
    life.denoise_all()
    life.deliver_all("pacs")
    life.deliver_all(delivered=False)
    with life.ledger.write() as unit:
        unit.session.execute(update(ParcelRow).values(attempts=5, losses=2))
        unit.session.execute(update(DeliveryRow).values(losses=3))
    life.bell.rings.clear()
    life.clock.advance(100 * 3600)
    return life


def test_what_is_sent_again_has_all_its_tries_and_all_its_time_again(refused: Life) -> None:
    first, *others = failures(refused)
    assert retry(refused, first) == RecallCounts(0, 1, 0)
    parcels = refused.rows(
        select(ParcelRow.state, ParcelRow.attempts, ParcelRow.losses, ParcelRow.first_due_at,
               ParcelRow.due_at).where(ParcelRow.state != "done")
    )  # fmt: skip
    now = refused.clock.at
    assert [tuple(row) for row in parcels] == [("due", 0, 0, now, now)]
    waiting = refused.rows(
        select(DeliveryRow.destination, DeliveryRow.losses, ResultRow.work_item_id)
        .join(ResultRow, ResultRow.id == DeliveryRow.result_id)
        .where(DeliveryRow.state == "waiting")
    )
    assert [tuple(row) for row in waiting] == [("archive", 0, first)]
    assert [ring.ledger_id for ring in refused.bell.rings] == refused.due_parcels()
    assert failures(refused) == others
    untouched = refused.rows(select(ParcelRow.attempts, ParcelRow.losses).where(
        ParcelRow.state == "done"))  # fmt: skip
    assert {tuple(row) for row in untouched} == {(5, 2)}
    losses = refused.rows(select(DeliveryRow.losses).where(DeliveryRow.state != "waiting"))
    assert {row.losses for row in losses} == {3}


def test_a_parcel_that_is_on_its_way_is_left_to_its_sender(refused: Life) -> None:
    first, second, *_ = failures(refused)
    assert retry(refused, first) == RecallCounts(0, 1, 0)
    parcel = refused.take(refused.due_parcels("archive")[0])
    assert parcel is not None
    assert retry(refused, second) == RecallCounts(0, 1, 0)
    ((state, attempts),) = refused.rows(
        select(ParcelRow.state, ParcelRow.attempts).where(ParcelRow.id == parcel.parcel_id)
    )
    assert (state, attempts) == ("sending", 1)
    refused.answer(parcel, parcel.deliveries[0].delivery_id)
    refused.end_try(parcel)
    again = refused.take(parcel.parcel_id)
    assert again is not None
    assert len(again.deliveries) == 1


def test_who_took_what_up_again_is_audited(refused: Life) -> None:
    first, *_ = failures(refused)
    refused.receive("1.2.6.1", series="1.2.6", data=b"no DICOM at all")
    refused.planner.plan()
    unread = failures(refused)[-1]
    assert retry(refused, first, unread) == RecallCounts(1, 1, 0)
    audit = refused.rows(
        select(AuditRow.event, AuditRow.work_item_id)
        .where(AuditRow.event.like("work:person:%"))
        .order_by(AuditRow.work_item_id)
    )
    assert [tuple(row) for row in audit] == [
        ("work:person:redeliver", first), ("work:person:retry", unread),
    ]  # fmt: skip
    assert items(refused)[first][0] == "denoised"


def test_more_than_one_statement_takes_is_taken_up_again_once_each(
    refused: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "MOST_PARAMETERS", 2)
    assert len(failures(refused)) == 4
    assert retry(refused, *failures(refused), 4711) == RecallCounts(0, 4, 0)
    assert failures(refused) == []
    assert len(refused.due_parcels("archive")) == 2


def test_what_is_sent_again_reads_no_other_parcels(refused: Life) -> None:
    """However many there are; nor does it lock them."""
    read: list[int] = []

    def seen(row: ParcelRow, _context: object) -> None:
        read.append(row.id)

    event.listen(ParcelRow, "load", seen)
    try:
        retry(refused, failures(refused)[0])
    finally:
        event.remove(ParcelRow, "load", seen)
    destinations = refused.rows(select(ParcelRow.destination).where(ParcelRow.id.in_(read)))
    assert sorted(row.destination for row in destinations) == ["archive", "pacs"]
    assert len(read) == 2
