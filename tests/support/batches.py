"""What tests ask of batches."""

from __future__ import annotations

from sqlalchemy import select

from dicom_node.ledger.batches import ClaimedBatch
from dicom_node.ledger.tables import WorkItemRow
from tests.support.ledgers import Life


def claim(life: Life, batch_id: int, worker: str = "w:1") -> ClaimedBatch:
    batch = life.claim(batch_id, worker)
    assert batch is not None
    return batch


def item_tries(life: Life) -> list[int]:
    return [row.tries for row in life.rows(select(WorkItemRow.tries).order_by(WorkItemRow.id))]


def item_states(life: Life) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in life.rows(select(WorkItemRow.state)):
        found[row.state] = found.get(row.state, 0) + 1
    return found
