"""The loop of upkeep."""

from __future__ import annotations

import threading
import time

import pytest
from sqlalchemy import select

from dicom_node.bell.outbox import Queue
from dicom_node.ledger.tables import InstanceRow
from dicom_node.upkeep import retention, upkeep
from tests.support.clock import age
from tests.support.ledgers import Life


def test_a_day_of_many_studies_is_forgotten_as_fast_as_it_came(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too much for one transaction is forgotten in the next, not in ten minutes."""
    for module in (upkeep, retention):
        monkeypatch.setattr(module, "MOST_TO_FORGET", 5)
    life.receive_series(12)
    life.denoise_all()
    while life.due_parcels():
        life.deliver_all()
    age(*(life.spool.root / path for (path,) in life.rows(select(InstanceRow.path))))
    life.clock.advance(73 * 3600)
    stop = threading.Event()
    thread = threading.Thread(target=life.upkeep.run, args=(stop,))
    thread.start()
    deadline = time.monotonic() + 20
    kept = 12
    while kept and time.monotonic() < deadline:
        time.sleep(0.1)
        kept = len(life.rows(select(InstanceRow.id).where(InstanceRow.path.is_not(None))))
    stop.set()
    thread.join()
    assert kept == 0


def test_upkeep_writes_nothing_while_nothing_is_due(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node at rest takes the ledger's one writer from nobody."""
    life.receive_series(3)
    life.denoise_all()
    while life.due_parcels():
        life.deliver_all()
    life.receive("1.2.5.1", series="1.2.5")
    life.planner.plan()
    written: list[float] = []
    write = life.ledger.write

    def counted() -> object:
        written.append(time.monotonic())
        return write()

    monkeypatch.setattr(life.ledger, "write", counted)
    assert life.planner.plan() == 0
    assert life.planner.close_batches() == 0
    life.upkeep.catch_up()
    assert written == []
    life.clock.advance(10)
    assert life.planner.close_batches() > 0
    life.bell.rings.clear()
    life.upkeep.catch_up()
    assert [ring.queue for ring in life.bell.rings] == [Queue.INFER]
    assert len(written) == 1
