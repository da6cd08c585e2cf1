"""Whose turn it is: a new study does not wait for a backlog, nor the backlog for ever."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert, update

from dicom_node.bell.folder_broker import FolderRings
from dicom_node.bell.outbox import BrokerBell, Queue, Ring
from dicom_node.ledger import batches, turns
from dicom_node.ledger.tables import BatchRow, ParcelRow
from dicom_node.ledger.turns import Turn
from tests.support.ledgers import Life

BACKLOG = 10_000
NEW = {"series_uid": "1.9.9", "arrival": BACKLOG + 1}


def batch(life: Life, number: int, **changed: Any) -> dict[str, Any]:
    at = life.clock() - timedelta(seconds=BACKLOG + 10 - number)
    return {
        "series_uid": f"1.2.{number // 10}", "arrival": number // 10 * 10, "route": "ct",
        "model_name": "toy", "model_version": "1.0.0", "model_sha256": "a" * 64, "plan": {},
        "state": "due", "count": 1, "size": 1, "association_id": "a", "opened_at": at,
        "last_item_at": at, "attempts": 0, "due_at": at, **changed,
    }  # fmt: skip


def backlog(life: Life, count: int = BACKLOG) -> None:
    """Due batches of ten a series, each due later than the one before."""
    rows = [batch(life, number) for number in range(10, count + 10)]
    with life.ledger.write() as unit:
        unit.session.execute(insert(BatchRow), rows)


def parcels(life: Life, destination: str, count: int, **changed: Any) -> None:
    rows = [
        {
            "batch_id": number, "destination": destination, "arrival": number // 10,
            "state": "due", "attempts": 0, "losses": 0,
            "due_at": life.clock() - timedelta(seconds=BACKLOG + 10 - number), **changed,
        }
        for number in range(1, count + 1)
    ]  # fmt: skip
    with life.ledger.write() as unit:
        unit.session.execute(insert(ParcelRow), rows)


def turn(life: Life, which: Turn, **options: Any) -> int | None:
    with life.ledger.read() as session:
        return turns.next_batch(session, life.clock(), which, **options)


def series(life: Life, batch_id: int | None) -> tuple[str, int]:
    with life.ledger.read() as session:
        row = session.get_one(BatchRow, batch_id)
        return row.series_uid, row.id


def take(life: Life, batch_id: int | None) -> None:
    with life.ledger.write() as unit:
        unit.session.execute(
            update(BatchRow).where(BatchRow.id == batch_id).values(state="running")
        )


def test_turns_alternate_between_the_newest_series_and_what_is_due_longest(life: Life) -> None:
    backlog(life, 40)
    with life.ledger.write() as unit:
        unit.session.execute(insert(BatchRow), [batch(life, 60, **NEW), batch(life, 61, **NEW)])
    taken = []
    which = Turn.NEWEST
    for _ in range(8):
        found = turn(life, which)
        taken.append(found)
        take(life, found)
        which = which.other
    # The new study's two in order, then the newest series of the backlog; between them the oldest.
    assert taken == [41, 1, 42, 2, 31, 3, 32, 4]


def test_nothing_due_is_nothing_and_what_is_not_due_yet_is_left(life: Life) -> None:
    assert turn(life, Turn.OLDEST) is None
    later = life.clock() + timedelta(seconds=60)
    with life.ledger.write() as unit:
        unit.session.execute(insert(BatchRow), [batch(life, 10, due_at=later, **NEW)])
        unit.session.execute(insert(BatchRow), [batch(life, 11, state="open", **NEW)])
    assert turn(life, Turn.OLDEST) is None
    assert turn(life, Turn.NEWEST) is None
    life.clock.advance(61)
    assert turn(life, Turn.NEWEST) == turn(life, Turn.OLDEST) == 1


def test_what_a_worker_cannot_run_it_does_not_find(life: Life) -> None:
    with life.ledger.write() as unit:
        unit.session.execute(
            insert(BatchRow), [batch(life, 10), batch(life, 20, model_sha256="b" * 64)]
        )
    assert turn(life, Turn.OLDEST, without={"a" * 64}) == 2
    assert turn(life, Turn.NEWEST, without={"b" * 64}) == 1
    assert turn(life, Turn.NEWEST, without={"a" * 64, "b" * 64}) is None


def test_a_late_image_of_an_old_series_does_not_make_it_new(life: Life) -> None:
    life.associate()
    life.receive("1.2.4.1", series="1.2.4")
    life.planner.plan()
    life.clock.advance(10)
    life.planner.close_batches()
    life.receive("1.2.5.1", series="1.2.5")
    life.planner.plan()
    life.receive("1.2.4.2", series="1.2.4")
    life.planner.plan()
    life.clock.advance(10)
    life.planner.close_batches()
    assert series(life, turn(life, Turn.NEWEST))[0] == "1.2.5"
    assert series(life, turn(life, Turn.OLDEST))[0] == "1.2.4"


def test_a_parcel_is_as_new_as_its_series(life: Life) -> None:
    life.associate()
    for uid in ("1.2.4", "1.2.5", "1.2.6"):
        life.receive(f"{uid}.1", series=uid)
        life.planner.plan()
    life.denoise_all()
    with life.ledger.read() as session:
        newest, oldest = (
            [
                series(life, session.get_one(ParcelRow, each).batch_id)[0]
                for each in turns.next_parcels(session, life.clock(), {}, which)
            ]
            for which in (Turn.NEWEST, Turn.OLDEST)
        )
    assert newest == ["1.2.6", "1.2.6"]
    assert oldest == ["1.2.4", "1.2.4"]


def test_each_destination_has_its_turn_and_one_without_room_has_none(life: Life) -> None:
    backlog(life, 100)
    for name in ("one", "two", "three"):
        parcels(life, name, 3)
    parcels(life, "full", 1)
    with life.ledger.write() as unit:
        unit.session.execute(
            insert(ParcelRow),
            {"batch_id": 99, "destination": "full", "arrival": 1, "state": "sending",
             "attempts": 1, "losses": 0},
        )  # fmt: skip
    parcels(life, "down", 3, due_at=life.clock() + timedelta(minutes=5))
    found = []
    with life.ledger.read() as session:
        for first in range(5):
            ids = turns.next_parcels(session, life.clock(), {"full": 1, "one": 1}, first=first)
            names = [session.get_one(ParcelRow, each).destination for each in ids]
            assert sorted(names) == ["one", "three", "two"]
            found.append(names[0])
        roomy = turns.next_parcels(session, life.clock(), {"full": 2})
    assert set(found) == {"one", "two", "three"}
    assert len(roomy) == 4


def test_upkeep_rings_for_what_is_due_once_a_queue(life: Life) -> None:
    with life.ledger.read() as session:
        assert turns.due(session, life.clock(), {}) == []
    backlog(life, 20)
    for name in ("one", "two"):
        parcels(life, name, 5)
    for _ in range(3):
        life.bell.rings.clear()
        life.upkeep.catch_up()
        assert [ring.queue for ring in life.bell.rings] == [Queue.INFER, Queue.DELIVER]
    assert life.bell.rings[0] == Ring(Queue.INFER, 1)


def test_thousands_of_due_batches_make_one_message(life: Life, tmp_path: Path) -> None:
    """However often upkeep looks, and though whoever takes one calls the next."""
    backlog(life, 5000)
    rings = FolderRings(tmp_path / "messages")
    bell = BrokerBell(rings)
    life.ledger.bell = bell
    for _ in range(20):
        life.upkeep.catch_up()
        assert bell.wait(30)
        assert rings.waiting("infer") == 1
    assert rings.take("infer") is not None
    life.upkeep.catch_up()
    assert bell.wait(30)
    assert rings.waiting("infer") == 1


@pytest.mark.parametrize("which", list(Turn))
def test_a_turn_is_found_in_an_index_whatever_the_backlog(life: Life, which: Turn) -> None:
    """Neither a scan of what is done or due nor a sort: what each look reads stays small."""
    backlog(life)
    for name in ("one", "two"):
        parcels(life, name, BACKLOG // 2)
    with life.ledger.engine.begin() as connection:
        connection.exec_driver_sql("ANALYZE")
    asked: list[tuple[str, Any]] = []

    @event.listens_for(life.ledger.engine, "before_cursor_execute")
    def _seen(_c: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            asked.append((statement, values))

    with life.ledger.read() as session:
        assert turns.next_batch(session, life.clock(), which) is not None
        assert len(turns.next_parcels(session, life.clock(), {"one": 1}, which)) == 2
    event.remove(life.ledger.engine, "before_cursor_execute", _seen)
    with life.ledger.engine.begin() as connection:
        for statement, values in asked:
            explain = "EXPLAIN QUERY PLAN " if life.ledger.engine.name == "sqlite" else "EXPLAIN "
            rows = connection.exec_driver_sql(explain + statement, values).all()
            plan = "\n".join(str(row[-1]) for row in rows)
            small = r"(?! USING.* INDEX \w+_(due|arrival|sending))"
            assert not re.search(rf"SCAN (batch|parcel){small}", plan), plan
            assert not re.search(r"Seq Scan on (batch|parcel)|-> +Sort", plan), plan
            assert "TEMP B-TREE FOR ORDER BY" not in plan, plan


def test_batches_are_claimed_by_turn_however_many_claim(life: Life) -> None:
    """What one has taken the next does not find."""
    life.associate()
    for number in range(4):
        life.receive_series(1, f"1.2.{number + 10}")
    life.planner.plan()
    life.clock.advance(10)
    life.planner.close_batches()
    claimed = []
    while (found := turn(life, Turn.NEWEST)) is not None:
        with life.ledger.write() as unit:
            assert batches.claim(unit, found, "w:1", timedelta(seconds=60), 3) is not None
        claimed.append(found)
    assert len(set(claimed)) == 8
