"""What a person takes up again, and what stays as it is beside it."""

from __future__ import annotations

from sqlalchemy import select

from dicom_node.ledger import batches, recall
from dicom_node.ledger.recall import Recalled
from dicom_node.ledger.tables import DeliveryRow, WorkItemRow
from tests.support.ledgers import Life


def retry(life: Life, *ids: int) -> Recalled:
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
    assert retry(life, *items(life)) == Recalled(0, 4, 0)
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
    assert retry(life, failed) == Recalled(1, 0, 0)
    after = items(life)
    assert after.pop(failed) == ("planned", None)
    del before[failed]
    assert after == before
    assert {after[item] for item in rest} == {("failed", ended)}
    assert ("planned", other) in after.values()
