"""Who runs, by the ledger's own clock: given, silent, in hand, over, forgotten."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from dicom_node.ledger import processes, unplanned
from dicom_node.ledger.processes import Process, Role, Sighting
from dicom_node.ledger.tables import InstanceRow
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


def test_one_that_was_held_up_by_a_locked_ledger_is_not_silent_yet(life: Life) -> None:
    beat(life, within=600.0)
    life.clock.advance(45)
    assert not seen(life)[0].silent
    life.clock.advance(1)
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


def test_nobody_has_in_hand_what_others_hold_or_what_waits_or_is_done(life: Life) -> None:
    life.associate()
    life.receive_series(6)
    life.planner.plan()
    done, taken, held, waits = life.due_batches()
    courier = Process("a:5", "deliver", "deliver-1@a", "a", 5, "0.1.0")
    beat(life)
    beat(life, courier)
    for batch_id in (done, held):
        batch = life.claim(batch_id, INFER.name)
        assert batch is not None
        life.record(batch)
        if batch_id == done:
            life.finish(batch)
    life.claim(taken, "a:6")
    sent, other, *_ = life.due_parcels()
    life.take(sent, courier.name, limit=8)
    life.take(other, "a:7", limit=8)
    assert {each.process.role: each.in_hand for each in seen(life)} == {
        "deliver": f"parcel {sent}",
        "infer": f"batch {held}",
    }
    assert waits in life.due_batches()


def test_what_was_given_back_and_is_due_again_is_in_nobodys_hand(life: Life) -> None:
    life.associate()
    life.receive_series(3)
    life.denoise_all()
    beat(life)
    (parcel_id, *_) = life.due_parcels()
    parcel = life.take(parcel_id, INFER.name, limit=8)
    assert parcel is not None
    assert seen(life)[0].in_hand == f"parcel {parcel_id}"
    for each in parcel.deliveries:
        life.postpone(parcel, each.delivery_id)
    life.end_try(parcel)
    assert seen(life)[0].in_hand == ""


def test_upkeep_has_in_hand_what_it_plans_and_intake_who_is_still_there(life: Life) -> None:
    upkeep = Process("a:8", "upkeep", "a", "a", 8, "0.1.0")
    beat(life, upkeep)
    for role in ("intake", "up"):
        beat(life, Process(f"a:{role}", role, "here:1", "a", 9, "0.1.0"))
    for association in ("a", "b", "c"):
        life.associate(association)
    life.release("c")
    life.receive_series(3)
    ids = [row.id for row in life.rows(select(InstanceRow.id))]
    with life.ledger.write() as unit:
        unplanned.take(unit, ids[:2], upkeep.name, timedelta(60))
        unplanned.take(unit, ids[2:], "a:9", timedelta(60))
    assert {each.process.role: each.in_hand for each in seen(life)} == {
        "intake": "2 associations",
        "up": "",
        "upkeep": "2 instances",
    }


def test_one_asks_for_a_role_or_a_machine(life: Life) -> None:
    here = Process("a:2", "deliver", "deliver-1@a", "a", 2, "0.1.0")
    there = Process("b:1", "infer", "infer-1@b", "b", 1, "0.1.0")
    for each in (there, here, INFER):
        beat(life, each)

    def found(role: Role | None = None, host: str | None = None) -> list[Process]:
        with life.ledger.read() as session:
            return [each.process for each in processes.seen(session, role=role, host=host)]

    assert found() == [here, INFER, there]
    assert found(Role.INFER) == [INFER, there]
    assert found(host="a") == [here, INFER]
    assert found(Role.INFER, "b") == [there]


def test_only_who_comes_in_its_own_role_and_place_takes_a_row(life: Life) -> None:
    beat(life)
    others = [
        Process("a:3", "infer", "infer-2@a", "a", 3, "0.1.0"),
        Process("a:4", "deliver", "infer-1@a", "a", 4, "0.1.0"),
    ]
    for each in others:
        beat(life, each)
    assert {each.process.name for each in seen(life)} == {"a:1", "a:3", "a:4"}


def test_a_process_is_late_only_after_the_time_it_asked_for_and_that_of_writing(life: Life) -> None:
    beat(life, age=180.0 + processes.WRITTEN_EVERY)
    assert not seen(life)[0].silent
    beat(life, age=181.0 + processes.WRITTEN_EVERY)
    assert seen(life)[0].silent


def test_who_was_silent_for_days_is_forgotten_and_nobody_else(life: Life) -> None:
    beat(life)

    def any_forgotten() -> bool:
        with life.ledger.read() as session:
            return processes.any_forgotten(session)

    assert not any_forgotten()
    life.clock.advance(4 * 86400)
    other = Process("b:1", "upkeep", "b", "b", 1, "0.1.0")
    beat(life, other)
    assert any_forgotten()
    with life.ledger.write() as unit:
        processes.forget(unit)
    assert [each.process for each in seen(life)] == [other]
    assert not any_forgotten()


def test_who_ended_in_order_is_gone_and_who_was_silent_for_days_is_forgotten(life: Life) -> None:
    beat(life)
    beat(life, Process("b:1", "upkeep", "b", "b", 1, "0.1.0"))
    with life.ledger.write() as unit:
        assert processes.over(unit, INFER.name)
        assert not processes.over(unit, INFER.name)
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
        assert [each.process for each in processes.seen(session)] == [INFER]
    beat(life, Process("check:b:1", "check", "check:b:1", "", 0, ""))  # of another, just now
    assert [each.process for each in seen(life)] == [INFER]
