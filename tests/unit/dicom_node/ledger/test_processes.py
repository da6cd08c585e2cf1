"""Who runs, by the ledger's own clock: given, silent, in hand, over, forgotten."""

from __future__ import annotations

from datetime import timedelta

from dicom_node.ledger import processes
from dicom_node.ledger.processes import Process, Role, Sighting
from tests.support.ledgers import Life

INFER = Process("a:1", "infer", "infer-1@a", "a", 1, "0.1.0")


def beat(life: Life, process: Process = INFER, age: float = 0.0, within: float = 180.0) -> None:
    with life.ledger.write() as unit:
        processes.beat(unit, process, timedelta(seconds=age), within)


def seen(life: Life) -> list[Sighting]:
    with life.ledger.read() as session:
        return processes.seen(session)


def test_a_process_that_writes_and_goes_round_is_not_silent(life: Life) -> None:
    beat(life)
    started = seen(life)[0].started_at
    life.clock.advance(30)
    assert not seen(life)[0].silent
    beat(life)
    (found,) = seen(life)
    assert found.process == INFER
    assert (found.started_at, found.sign_at) == (started, life.clock())


def test_one_that_writes_no_more_is_silent_whatever_it_said_last(life: Life) -> None:
    beat(life, within=600.0)
    life.clock.advance(60)
    assert seen(life)[0].silent


def test_one_whose_loop_hangs_is_silent_although_it_writes(life: Life) -> None:
    beat(life, age=300.0)
    assert seen(life)[0].silent
    beat(life, age=300.0, within=600.0)
    assert not seen(life)[0].silent


def test_whoever_is_started_in_its_place_takes_its_place(life: Life) -> None:
    beat(life)
    again = Process("a:2", "infer", "infer-1@a", "a", 2, "0.1.0")
    other = Process("a:3", "infer", "infer-2@a", "a", 3, "0.1.0")
    beat(life, again)
    beat(life, other)
    assert [each.process for each in seen(life)] == [again, other]


def test_what_a_process_has_in_hand_is_what_it_holds(life: Life) -> None:
    life.associate()
    life.receive_series(3)
    life.planner.plan()
    beat(life)
    assert seen(life)[0].in_hand == ""
    (first, *_) = life.due_batches()
    life.claim(first, INFER.name)
    assert seen(life)[0].in_hand == f"batch {first}"
    beat(life, Process("a:4", "intake", "here:1", "a", 4, "0.1.0"))
    assert [each.in_hand for each in seen(life)] == [f"batch {first}", "1 association"]


def test_who_ended_in_order_is_gone_and_who_was_silent_for_days_is_forgotten(life: Life) -> None:
    beat(life)
    beat(life, Process("b:1", "upkeep", "b", "b", 1, "0.1.0"))
    with life.ledger.write() as unit:
        assert processes.over(unit, INFER.name)
    life.clock.advance(2 * 86400)
    life.upkeep.forget_old()
    assert [each.process.role for each in seen(life)] == ["upkeep"]
    life.clock.advance(2 * 86400)
    life.upkeep.forget_old()
    assert seen(life) == []


def test_who_asks_whether_the_ledger_can_be_written_is_no_process(life: Life) -> None:
    beat(life)
    assert processes.can_be_written(life.ledger)
    with life.ledger.read() as session:
        assert processes.names(session) == [INFER.name]
        assert processes.seen(session, role=Role.INTAKE) == []
