"""Everybody at one ledger at the same time: nothing stuck, nothing twice, nobody in a circle."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from dicom_node.errors import LedgerError
from dicom_node.ledger import recall
from dicom_node.ledger.tables import DeliveryRow, ResultRow, WorkItemRow
from tests.support.databases import life_in
from tests.support.ledgers import Life

INSTANCES = 10


@pytest.fixture
def life(either_database: str | None, tmp_path: Path) -> Iterator[Life]:
    life = life_in(either_database, tmp_path / "node")
    yield life
    life.close()


def test_a_busy_day_ends(life: Life) -> None:  # noqa: PLR0915 -- many are at work
    life.clock.advance = lambda seconds: None  # type: ignore[method-assign]
    ended = threading.Event()
    faults: list[str] = []

    def again(step: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            while not ended.is_set():
                try:
                    step()
                except LedgerError as error:
                    faults.append(str(error))
                time.sleep(0.002)

        return threading.Thread(target=run)

    def scanner(index: int) -> threading.Thread:
        def run() -> None:
            life.associate(f"a{index}")
            for number in range(INSTANCES):
                for series in (f"1.2.{10 + index}", f"1.2.{10 + (index + 1) % 3}"):
                    life.receive(
                        f"{series}.{index}.{number}", series=series, association=f"a{index}"
                    )
            life.release(f"a{index}")

        return threading.Thread(target=run)

    def plan() -> None:
        life.another_planner().plan()
        life.planner.close_batches()

    def worker(name: str) -> Callable[[], None]:
        def step() -> None:
            for batch_id in life.due_batches():
                batch = life.claim(batch_id, name)
                if batch is not None:
                    for item in batch.items:
                        life.record(batch, [item])
                    life.finish(batch)

        return step

    def courier(name: str) -> Callable[[], None]:
        counter = iter(range(10**9))

        def step() -> None:
            for parcel_id in life.due_parcels():
                parcel = life.take(parcel_id, name, limit=3)
                if parcel is None:
                    continue
                for each in parcel.deliveries:
                    turn = next(counter) % 7
                    if turn == 3:
                        life.postpone(parcel, each.delivery_id)
                    else:
                        life.answer(parcel, each.delivery_id, delivered=turn != 5)
                life.end_try(parcel, retry_after=-1)

        return step

    def person() -> None:
        time.sleep(0.05)
        with life.ledger.write() as unit:
            failed = unit.session.execute(
                select(WorkItemRow.id).where(WorkItemRow.state == "failed").with_for_update()
            ).scalars()
            recall.retry(unit, list(failed))

    threads = [scanner(index) for index in range(3)]
    threads += [again(plan), again(plan), again(life.upkeep.catch_up)]
    threads += [again(worker(f"w:{i}")) for i in range(2)]
    threads += [again(courier(f"d:{i}")) for i in range(3)]
    threads += [again(person)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    wanted = 3 * INSTANCES * 2 * 2
    delivered = 0
    while delivered < wanted and time.monotonic() < deadline:
        time.sleep(0.2)
        ((delivered,),) = life.rows(
            select(func.count()).select_from(WorkItemRow).where(WorkItemRow.state == "delivered")
        )
    ended.set()
    for thread in threads:
        thread.join()
    assert [fault for fault in faults if "taken back" not in fault] == []
    assert delivered == wanted
    assert life.rows(select(func.count()).select_from(ResultRow))[0][0] == wanted
    assert {row.state for row in life.rows(select(DeliveryRow.state))} == {"delivered"}
