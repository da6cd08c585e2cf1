"""Whatever happens to the ledger, in whatever order, its promises hold."""

from __future__ import annotations

import itertools
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import func, select

from dicom_node.errors import LedgerError
from dicom_node.ledger import batches, conflicts, recall, work_items
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.batches import ClaimedBatch
from dicom_node.ledger.parcels import ClaimedParcel
from dicom_node.ledger.results import record_results
from dicom_node.ledger.states import BatchState, InstanceState, ParcelState, WorkEvent, WorkState
from dicom_node.ledger.tables import (
    AuditRow,
    BatchRow,
    DeliveryRow,
    InstanceRow,
    ParcelRow,
    ResultRow,
    WorkItemRow,
)
from dicom_node.spool.spool import Spool
from tests.support.ledgers import LEASE, Life, new_result, temporary_folder

pytestmark = pytest.mark.holds(number=2)

STATE_AFTER = {
    AuditEvent.WORK_PLANNED: WorkState.PLANNED,
    AuditEvent.WORK_PASSED: WorkState.PASSED,
    AuditEvent.WORK_UNPLANNABLE: WorkState.FAILED,
    AuditEvent.WORK_START: WorkState.RUNNING,
    AuditEvent.WORK_RELEASE: WorkState.PLANNED,
    AuditEvent.WORK_PASS: WorkState.PASSED,
    AuditEvent.WORK_FAIL: WorkState.FAILED,
    AuditEvent.WORK_FINISH: WorkState.DENOISED,
    AuditEvent.WORK_DELIVER: WorkState.DELIVERED,
    AuditEvent.WORK_UNDELIVERABLE: WorkState.FAILED,
    AuditEvent.WORK_RETRY: WorkState.PLANNED,
    AuditEvent.WORK_REDELIVER: WorkState.DENOISED,
    AuditEvent.WORK_DISMISS: WorkState.PASSED,
}
ROUTES = {"ct": {"pacs", "archive"}, "soft": {"pacs"}}
SERIES = ("1.2.4", "1.2.5")
INSTANCES = [(f"{series}.{number}", series) for series in SERIES for number in range(1, 4)]
WORKERS = ("w:1", "w:2")
TERMINAL = {WorkState.DELIVERED.value, WorkState.PASSED.value, WorkState.FAILED.value}


@cache
def _spool() -> Spool:
    return Spool(temporary_folder())


class LedgerLife(RuleBasedStateMachine):
    """A scanner, upkeep, two workers, two couriers and a person at one ledger."""

    def __init__(self) -> None:
        super().__init__()
        self.life = Life(temporary_folder(), shared=_spool())
        self.numbers = itertools.count()
        self.association = ""
        self.held: list[ClaimedBatch] = []
        self.carried: list[ClaimedParcel] = []
        self.ended: dict[int, str] = {}
        self.recalled: set[int] = set()
        self.audited: list[Any] = []

    @initialize(
        count=st.sampled_from([0, 1, *[len(INSTANCES)] * 4]),
        done=st.sampled_from(["plan", "denoise", "denoise"]),
    )
    def a_study_has_begun(self, count: int, done: str) -> None:
        self.another_association()
        for which in INSTANCES[:count]:
            self.receive(which, 0)
        if done == "plan":
            self.life.planner.plan()
            self.another_association()
            self.life.planner.close_batches()
        elif done == "denoise":
            self.life.denoise_all()

    @rule()
    def another_association(self) -> None:
        if self.association:
            self.life.release(self.association)
        self.association = self.life.associate(f"a{next(self.numbers)}")

    @rule(which=st.sampled_from(INSTANCES), version=st.sampled_from([0, 0, 0, 1]))
    def receive(self, which: tuple[str, str], version: int) -> None:
        sop, series = which
        self.life.receive(sop, series=series, association=self.association, version=version)

    @rule(
        what=st.sampled_from(["plan", "close", "catch up", "forget"]),
        seconds=st.sampled_from([0, 1, 6, 61, 1000]),
    )
    def upkeep_works(self, what: str, seconds: int) -> None:
        self.life.clock.advance(seconds)
        if what == "plan":
            self.life.planner.plan()
        elif what == "close":
            self.life.planner.close_batches()
        elif what == "catch up":
            self.life.upkeep.catch_up()
        else:
            self.life.retention.forget()

    @precondition(lambda self: len(self.held) < 2)
    @rule(data=st.data(), worker=st.sampled_from(WORKERS))
    def claim(self, data: Any, worker: str) -> None:
        self.life.planner.close_batches()
        due = self.life.due_batches()
        if due:
            batch = self.life.claim(data.draw(st.sampled_from(due)), worker)
            if batch is not None:
                self.held.append(batch)

    @precondition(lambda self: self.held or self.life.due_batches())
    @rule(data=st.data(), verdicts=st.lists(st.sampled_from("rrrpf"), min_size=3, max_size=3))
    def work(self, data: Any, verdicts: list[str]) -> None:
        """Record results, or verdicts, for some items of a batch that a worker believes to hold."""
        if not self.held:
            self.claim(data, WORKERS[0])
        if not self.held:
            return
        batch = data.draw(st.sampled_from(self.held))
        running = self._running(batch)
        if not running:
            return
        try:
            with self.life.ledger.write() as unit:
                batches.held(unit, batch)
                for item, verdict in zip(running, verdicts, strict=False):
                    if verdict == "r":
                        record_results(unit, batch, [new_result(batch, item)])
                    else:
                        passed = verdict == "p"
                        work_items.transition(
                            unit, [item.work_item_id],
                            WorkEvent.PASS if passed else WorkEvent.FAIL,
                            audit=AuditEvent.WORK_PASS if passed else AuditEvent.WORK_FAIL,
                            reason="so",
                        )  # fmt: skip
        except LedgerError:
            self.held.remove(batch)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), how=st.sampled_from(["finish", "die", "stop", "later", "fail"]))
    def end_batch(self, data: Any, how: str) -> None:
        batch = data.draw(st.sampled_from(self.held))
        if how == "finish" and self._running(batch):
            return
        self.held.remove(batch)
        try:
            with self.life.ledger.write() as unit:
                if how == "finish":
                    batches.finish(unit, batch)
                elif how == "stop":
                    batches.give_back(unit, batch, after=None, why="stopped")
                elif how == "later":
                    batches.give_back(unit, batch, after=timedelta(seconds=5), why="later")
                elif how == "fail":
                    batches.fail_running(unit, batch, "so")
                    batches.finish(unit, batch)
        except LedgerError:
            return

    @precondition(lambda self: len(self.carried) < 2)
    @rule(data=st.data())
    def take_parcel(self, data: Any) -> None:
        due = self.life.due_parcels()
        if due:
            parcel = self.life.take(data.draw(st.sampled_from(due)), f"d:{next(self.numbers)}")
            if parcel is not None:
                self.carried.append(parcel)

    @precondition(lambda self: self.carried or self.life.due_parcels())
    @rule(data=st.data(), answers=st.lists(st.sampled_from("ddrw"), max_size=4))
    def send(self, data: Any, answers: list[str]) -> None:
        if not self.carried:
            self.take_parcel(data)
        if not self.carried:
            return
        parcel = data.draw(st.sampled_from(self.carried))
        for delivery, answer in zip(parcel.deliveries, answers, strict=False):
            if answer == "w":
                self.life.postpone(parcel, delivery.delivery_id)
            else:
                self.life.answer(parcel, delivery.delivery_id, delivered=answer == "d")

    @precondition(lambda self: self.carried)
    @rule(data=st.data(), dies=st.booleans())
    def end_try(self, data: Any, dies: bool) -> None:
        parcel = data.draw(st.sampled_from(self.carried))
        self.carried.remove(parcel)
        if dies:
            return
        try:
            self.life.end_try(parcel)
        except LedgerError:
            return

    @rule(states=st.sampled_from([("failed",), ("failed", "passed"), ("delivered",)]))
    def a_person_retries(self, states: tuple[str, ...]) -> None:
        ids = [
            row.id
            for row in self.life.rows(select(WorkItemRow.id).where(WorkItemRow.state.in_(states)))
        ]
        with self.life.ledger.write() as unit:
            recall.retry(unit, ids)
        self.recalled |= set(ids)

    @rule()
    def a_person_discards_conflicts(self) -> None:
        with self.life.ledger.write() as unit:
            found = conflicts.listed(unit.session)
            conflicts.discard(unit, [each["conflict"] for each in found])
        ids = [each["conflict"] for each in found]
        statement = select(WorkItemRow.id).where(WorkItemRow.instance_id.in_(ids))
        self.recalled |= {row.id for row in self.life.rows(statement)}

    @invariant()
    def an_ended_item_changes_only_by_a_person(self) -> None:
        now = {
            row.id: row.state for row in self.life.rows(select(WorkItemRow.id, WorkItemRow.state))
        }
        for item, state in self.ended.items():
            assert now[item] == state or item in self.recalled, (item, state, now[item])
        self.ended = {item: state for item, state in now.items() if state in TERMINAL}
        self.recalled -= set(self.ended)

    @invariant()
    def every_change_is_audited_and_nothing_audited_changes(self) -> None:
        rows = [
            tuple(row)
            for row in self.life.rows(
                select(
                    AuditRow.id, AuditRow.event, AuditRow.work_item_id, AuditRow.delivery_id,
                    AuditRow.at,
                ).order_by(AuditRow.id)
            )
        ]  # fmt: skip
        assert rows[: len(self.audited)] == self.audited
        self.audited = rows
        said: dict[int, WorkState] = {}
        for _, event, item, _, _ in rows:
            if item is not None:
                said[item] = STATE_AFTER[AuditEvent(event)]
        for row in self.life.rows(select(WorkItemRow.id, WorkItemRow.state)):
            assert said[row.id] == row.state
        ended = {d for _, event, _, d, _ in rows if event.startswith("delivery:") and d}
        for row in self.life.rows(select(DeliveryRow.id).where(DeliveryRow.state != "waiting")):
            assert row.id in ended

    @invariant()
    def every_planned_instance_has_one_item_for_each_route(self) -> None:
        items: dict[int, list[str]] = {}
        for row in self.life.rows(select(WorkItemRow.instance_id, WorkItemRow.route)):
            items.setdefault(row.instance_id, []).append(row.route)
        for row in self.life.rows(
            select(InstanceRow.id).where(InstanceRow.state == InstanceState.PLANNED.value)
        ):
            assert sorted(items[row.id]) == sorted(ROUTES)

    @invariant()
    def nothing_unfinished_is_out_of_reach(self) -> None:
        """What waits is where somebody will find it: the batch, the parcel, the planner."""
        statement = (
            select(
                WorkItemRow.id, WorkItemRow.route, WorkItemRow.state, WorkItemRow.batch_id,
                BatchRow.state.label("batch"), InstanceRow.state.label("instance"),
                ResultRow.id.label("result"),
            )
            .join(InstanceRow, InstanceRow.id == WorkItemRow.instance_id)
            .outerjoin(BatchRow, BatchRow.id == WorkItemRow.batch_id)
            .outerjoin(ResultRow, ResultRow.work_item_id == WorkItemRow.id)
        )  # fmt: skip
        deliveries: dict[int, list[Any]] = {}
        for row in self.life.rows(
            select(
                DeliveryRow.result_id, DeliveryRow.destination, DeliveryRow.state,
                ParcelRow.state.label("parcel"),
            ).join(ParcelRow, ParcelRow.id == DeliveryRow.parcel_id)
        ):  # fmt: skip
            deliveries.setdefault(row.result_id, []).append(row)
            if row.state == "waiting":
                assert row.parcel != ParcelState.DONE.value
        for row in self.life.rows(statement):
            mine = deliveries.get(row.result, [])
            if row.result is not None:
                assert sorted(each.destination for each in mine) == sorted(ROUTES[row.route])
            waiting = any(each.state == "waiting" for each in mine)
            if row.state == WorkState.PLANNED.value:
                if row.batch_id is None:
                    assert row.instance == InstanceState.RECEIVED.value
                else:
                    assert row.batch in (BatchState.OPEN.value, BatchState.DUE.value)
            elif row.state == WorkState.RUNNING.value:
                assert row.batch == BatchState.RUNNING.value
            elif row.state == WorkState.DENOISED.value:
                assert waiting
            elif row.state == WorkState.DELIVERED.value:
                assert all(each.state == "delivered" for each in mine)
                assert mine

    def teardown(self) -> None:
        """Left to honest processes, everything ends."""
        try:
            for _ in range(30):
                self.life.clock.advance(LEASE.total_seconds() + 3600)
                self.life.upkeep.catch_up()
                self.life.denoise_all()
                self.life.deliver_all()
                self.an_ended_item_changes_only_by_a_person()
                if not self._unfinished():
                    break
            left = self.life.rows(
                select(WorkItemRow.state, func.count())
                .where(WorkItemRow.state.not_in(TERMINAL))
                .group_by(WorkItemRow.state)
            )
            assert not left
            assert not self.life.rows(
                select(InstanceRow.id).where(InstanceRow.state == InstanceState.RECEIVED.value)
            )
            assert not self.life.rows(select(BatchRow.id).where(BatchRow.state != "done"))
            assert not self.life.rows(select(ParcelRow.id).where(ParcelRow.state != "done"))
            self.every_planned_instance_has_one_item_for_each_route()
            self.nothing_unfinished_is_out_of_reach()
        finally:
            self.life.close()

    def _unfinished(self) -> bool:
        return any(
            self.life.rows(select(table.id).where(table.state.not_in(done)).limit(1))
            for table, done in (
                (WorkItemRow, TERMINAL),
                (InstanceRow, {"planned", "conflict"}),
                (BatchRow, {"done"}),
                (ParcelRow, {"done"}),
            )
        )

    def _running(self, batch: ClaimedBatch) -> list[Any]:
        ids = {
            row.id
            for row in self.life.rows(
                select(WorkItemRow.id)
                .where(WorkItemRow.batch_id == batch.batch_id)
                .where(WorkItemRow.state == WorkState.RUNNING.value)
            )
        }
        return [item for item in batch.items if item.work_item_id in ids]


TestLedgerLife = LedgerLife.TestCase
TestLedgerLife.settings = settings(
    max_examples=30,
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
