"""A worker that makes progress keeps its batch; one that lost it is told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from dicom_node.errors import LedgerError
from dicom_node.ledger.batches import ClaimedBatch
from dicom_node.ledger.tables import BatchRow
from tests.support.ledgers import LEASE, Life
from tests.support.waiting import eventually
from workers.lease import Lease


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    life = Life(tmp_path / "node")
    life.associate()
    life.receive_series(3)
    life.planner.plan()
    yield life
    life.close()


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch, life: Life) -> None:
    """The clock of the process goes with that of the ledger."""
    begin = life.clock.at

    def monotonic() -> float:
        return (life.clock.at - begin).total_seconds()

    monkeypatch.setattr("workers.lease.time.monotonic", monotonic)


def claimed(life: Life) -> ClaimedBatch:
    batch = life.claim(life.due_batches()[0])
    assert batch is not None
    return batch


@pytest.mark.usefixtures("passing")
def test_progress_prolongs_the_lease(life: Life) -> None:
    batch = claimed(life)
    held = Lease(life.ledger, batch, LEASE)
    for _ in range(20):
        life.clock.advance(LEASE.total_seconds() / 3)
        held.alive()
        life.upkeep.catch_up()
    states = {
        row.state for row in life.rows(select(BatchRow.state).where(BatchRow.id == batch.batch_id))
    }
    assert states == {"running"}


@pytest.mark.usefixtures("passing")
def test_without_progress_the_batch_is_lost_and_the_worker_told(life: Life) -> None:
    held = Lease(life.ledger, claimed(life), LEASE)
    life.clock.advance(LEASE.total_seconds() + 1)
    life.upkeep.catch_up()
    with pytest.raises(LedgerError, match="taken back"):
        held.alive()


@pytest.mark.usefixtures("passing")
def test_a_sign_that_comes_soon_after_another_costs_nothing(life: Life) -> None:
    batch = claimed(life)
    held = Lease(life.ledger, batch, timedelta(seconds=60))
    before = life.rows(select(BatchRow.lease_until))
    life.clock.advance(1)
    for number in range(100):
        held.alive(number)
    assert life.rows(select(BatchRow.lease_until)) == before


def until(life: Life, batch: ClaimedBatch) -> datetime:
    (row,) = life.rows(select(BatchRow.lease_until).where(BatchRow.id == batch.batch_id))
    found: datetime = row.lease_until
    return found


def test_what_gives_no_sign_of_its_own_is_kept(life: Life) -> None:
    """Say, an engine that is built: for real time, since a thread gives the signs."""
    batch = claimed(life)
    held = Lease(life.ledger, batch, timedelta(seconds=0.2))
    claimed_until = until(life, batch)
    life.clock.advance(LEASE.total_seconds() - 1)
    with held.kept():
        eventually(lambda: until(life, batch) != claimed_until)
    assert until(life, batch) > life.clock.at
    life.clock.advance(LEASE.total_seconds() + 1)
    life.upkeep.catch_up()
    assert batch.batch_id in life.due_batches()


def test_what_never_ends_is_not_kept_for_ever(life: Life) -> None:
    batch = claimed(life)
    with capture_logs() as lines:
        held = Lease(life.ledger, batch, timedelta(seconds=0.2))
        with held.kept(longest=timedelta(seconds=0.1)):
            eventually(lambda: "lease.not_kept" in [line["event"] for line in lines])
            life.clock.advance(LEASE.total_seconds() + 1)
            life.upkeep.catch_up()
            assert batch.batch_id in life.due_batches()
