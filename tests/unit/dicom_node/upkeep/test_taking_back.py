"""Work of a process that is gone is given out at once; work of one that may live is not."""

from __future__ import annotations

import socket

import pytest
from sqlalchemy import select, update

from dicom_node.ledger.tables import BatchRow, InstanceRow, ParcelRow
from dicom_node.process_names import process_name
from dicom_node.upkeep.taking_back import take_back_gone
from tests.support.ledgers import Life

HERE = socket.gethostname()
GONE = (
    f"{HERE}:4194305",  # of an earlier release
    f"{HERE}:4194305:{process_name().split(':')[2]}",
    process_name()[:-1] + "x",  # this number, in another life
)
ALIVE = (process_name(), "elsewhere:1", "elsewhere:1:a.b.c.d")


@pytest.mark.parametrize("holder", [*GONE, *ALIVE], ids=range(len(GONE + ALIVE)))
def test_batches_parcels_and_instances_of_the_gone_are_free(life: Life, holder: str) -> None:
    life.receive_series(6)
    life.denoise_all()
    life.receive_series(3, "1.2.5")
    life.planner.plan()
    life.receive("1.2.6.1", series="1.2.6")
    assert life.claim(life.due_batches()[0], holder) is not None
    parcel = life.take(life.due_parcels("pacs")[0], holder)
    assert parcel is not None
    with life.ledger.write() as unit:
        unit.session.execute(
            update(InstanceRow).where(InstanceRow.series_uid.is_(None)).values(worker=holder)
        )
    assert take_back_gone(life.ledger) == (holder in GONE)
    held = [
        len(life.rows(select(table.id).where(table.worker == holder)))
        for table in (BatchRow, ParcelRow, InstanceRow)
    ]
    assert held == ([0, 0, 0] if holder in GONE else [1, 1, 1])
    # It no longer counts against the destination's associations, either.
    again = life.take(parcel.parcel_id, "d:2", limit=1)
    assert (again is not None) == (holder in GONE)


def test_nothing_is_written_where_nobody_is_gone(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.receive_series(3)
    life.planner.plan()
    assert life.claim(life.due_batches()[0], process_name()) is not None

    def write() -> None:
        raise AssertionError("something is written")

    monkeypatch.setattr(life.ledger, "write", write)
    assert take_back_gone(life.ledger) == 0


def test_upkeep_looks_for_the_gone(life: Life) -> None:
    life.receive_series(3)
    life.planner.plan()
    assert life.claim(life.due_batches()[0], GONE[-1]) is not None
    life.upkeep.catch_up()
    assert life.rows(select(BatchRow.id).where(BatchRow.state == "running")) == []
