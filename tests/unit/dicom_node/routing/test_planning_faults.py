"""One object harms only itself: what makes planning fail, end or hang is set aside alone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from structlog.testing import capture_logs

from dicom_node.dicom.header import read_header
from dicom_node.errors import LedgerError, RetryLater
from dicom_node.ledger import recall, work_items
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.states import MOST_TRIES
from dicom_node.ledger.tables import AuditRow, InstanceRow, WorkItemRow
from dicom_node.ledger.unit_of_work import UnitOfWork
from tests.support.ledgers import TWO_ROUTES, FakeModels, Life

ONE_ROUTE = TWO_ROUTES | {"routes": TWO_ROUTES["routes"][:1]}
POISON = "1.2.4.5"


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    life = Life(tmp_path / "node", tree=ONE_ROUTE)
    life.associate()
    yield life
    life.close()


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading one instance raises what nobody thought of."""

    def read(path: Path, uid: str) -> Any:
        if uid == POISON:
            raise ZeroDivisionError("PHI MARKER")
        return read_header(path, uid)

    monkeypatch.setattr("dicom_node.routing.planning.read_header", read)


def items(life: Life) -> dict[str, tuple[str, str, str]]:
    rows = life.rows(
        select(
            InstanceRow.sop_instance_uid, WorkItemRow.route, WorkItemRow.state, WorkItemRow.reason
        ).join(WorkItemRow, WorkItemRow.instance_id == InstanceRow.id)
    )
    return {uid: (route, state, reason or "") for uid, route, state, reason in rows}


def tries(life: Life) -> dict[str, int]:
    return dict(life.rows(select(InstanceRow.sop_instance_uid, InstanceRow.tries)))


def plan_all(life: Life, rounds: int = 8) -> None:
    for _ in range(rounds):
        life.planner.plan()
        life.clock.advance(30)


def test_the_others_are_planned_at_once_and_the_one_fails_at_its_third_try(
    life: Life, poisoned: None
) -> None:
    life.receive_series(9)
    assert life.planner.plan() == 8
    assert POISON not in items(life)
    assert tries(life)[POISON] == 1
    plan_all(life)
    route, state, reason = items(life)[POISON]
    assert (route, state) == ("-", "failed")
    assert "given up after 3 tries" in reason
    assert "ZeroDivisionError at " in reason
    assert "test_planning_faults.py:" in reason
    assert "called from dicom_node/routing/planning.py:" in reason
    assert "study retry" in reason
    assert "MARKER" not in reason
    assert {state for _, state, _ in items(life).values()} == {"planned", "failed"}
    assert set(tries(life).values()) == {0}
    events = life.rows(select(AuditRow.detail).where(AuditRow.event == AuditEvent.WORK_UNPLANNABLE))
    assert ["ZeroDivisionError" in row.detail["reason"] for row in events] == [True]


def test_it_is_looked_at_again_after_a_pause_that_grows(life: Life, poisoned: None) -> None:
    """Five seconds for each try behind it, so that it takes no turn from others."""
    life.receive_series(5)
    life.planner.plan()
    for tried, seconds in ((1, 5.0), (2, 10.0)):
        life.clock.advance(seconds - 0.1)
        life.planner.plan()
        assert tries(life)[POISON] == tried
        life.clock.advance(0.1)
        life.planner.plan()
        assert tries(life)[POISON] == (tried + 1) % MOST_TRIES


def test_each_fault_is_logged_by_ledger_id_and_with_its_place(life: Life, poisoned: None) -> None:
    life.receive_series(9)
    with capture_logs() as lines:
        plan_all(life)
    faults = [line for line in lines if line["event"] == "instance.fault"]
    assert [line["tries"] for line in faults] == [1, 2, 3]
    assert all(line["instance"] for line in faults)


def test_what_failed_has_three_tries_again_when_a_person_says_so(
    life: Life, poisoned: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.receive_series(5)
    plan_all(life)
    (failed,) = life.rows(select(WorkItemRow.id).where(WorkItemRow.state == "failed"))
    monkeypatch.setattr("dicom_node.routing.planning.read_header", read_header)
    with life.ledger.write() as unit:
        assert recall.retry(unit, [failed.id]).planned == 1
    life.planner.plan()
    states = life.rows(
        select(WorkItemRow.route, WorkItemRow.state)
        .join(InstanceRow, InstanceRow.id == WorkItemRow.instance_id)
        .where(InstanceRow.sop_instance_uid == POISON)
    )
    assert sorted(map(tuple, states)) == [("-", "passed"), ("ct", "planned")]


def test_what_waits_for_a_disk_is_no_try(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(path: Path, uid: str) -> Any:
        raise RetryLater(f"{uid}: input/output error")

    monkeypatch.setattr("dicom_node.routing.planning.read_header", away)
    life.receive_series(3)
    plan_all(life)
    assert set(tries(life).values()) == {0}
    monkeypatch.setattr("dicom_node.routing.planning.read_header", read_header)
    assert life.planner.plan() == 3


def test_a_ledger_that_goes_away_in_the_middle_is_no_try(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.receive_series(3)
    whole = life.ledger.write
    calls: list[int] = []

    @contextmanager
    def write() -> Iterator[UnitOfWork]:
        calls.append(1)
        if len(calls) == 2:
            raise LedgerError("the ledger's database answered: no answer")
        with whole() as unit:
            yield unit

    monkeypatch.setattr(life.ledger, "write", write)
    with pytest.raises(LedgerError):
        life.planner.plan()
    assert set(tries(life).values()) == {1}
    assert life.planner.plan() == 3
    assert set(tries(life).values()) == {0}


def test_what_the_ledger_does_not_take_is_found_and_set_aside(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision can be written for all but one; its transaction is that of its group."""
    life.receive_series(9)
    poison = life.rows(select(InstanceRow.id).where(InstanceRow.sop_instance_uid == POISON))[0].id
    add = work_items.add

    def refusing(unit: UnitOfWork, instance_id: int, route: str, *args: Any, **more: Any) -> int:
        if instance_id == poison and route != work_items.NO_ROUTE:
            raise TypeError("PHI MARKER")
        return add(unit, instance_id, route, *args, **more)

    monkeypatch.setattr(work_items, "add", refusing)
    plan_all(life)
    found = items(life)
    assert found.pop(POISON)[:2] == ("-", "failed")
    assert len(found) == 8
    assert {state for _, state, _ in found.values()} == {"planned"}


def test_a_planner_leaves_alone_what_another_one_is_looking_at(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    other = life.another_planner()

    def read(path: Path, uid: str) -> Any:
        looked.append(uid)
        if len(looked) == 1:
            assert other.plan() == 0
        return read_header(path, uid)

    monkeypatch.setattr("dicom_node.routing.planning.read_header", read)
    life.receive_series(4)
    assert life.planner.plan() == 4
    assert len(looked) == 4


def test_fresh_instances_are_planned_before_those_that_may_end_the_process(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    def read(path: Path, uid: str) -> Any:
        order.append(uid)
        return read_header(path, uid)

    monkeypatch.setattr("dicom_node.routing.planning.read_header", read)
    life.receive_series(4)
    with life.ledger.write() as unit:
        for number, count in ((1, 2), (2, 1)):
            unit.session.execute(
                update(InstanceRow)
                .where(InstanceRow.sop_instance_uid == f"1.2.4.{number}")
                .values(tries=count)
            )
    life.planner.plan()
    assert order == ["1.2.4.3", "1.2.4.4", "1.2.4.2", "1.2.4.1"]


CHILD = """
import os, sys, threading
from pathlib import Path
from dicom_node.routing import planning
from dicom_node.upkeep.upkeep import Upkeep
from dicom_node.dicom.header import read_header
from dicom_node.watchdog import Watchdog
from tests.support.ledgers import TWO_ROUTES, Life

def read(path, uid):
    if uid == {poison!r}:
        {does}
    return read_header(path, uid)

planning.read_header = read
tree = TWO_ROUTES | dict(routes=TWO_ROUTES['routes'][:1])
life = Life(Path(sys.argv[1]), url=sys.argv[2], tree=tree)
planner = planning.Planner(life.settings, life.ledger, life.spool, life.models, Watchdog(1.0))
stop = threading.Event()
upkeep = Upkeep(
    life.settings, life.ledger, life.spool, planner, life.clock.machine
)
threading.Timer(float(sys.argv[3]), stop.set).start()
upkeep.run(stop)
"""


@pytest.mark.parametrize(
    ("does", "code"),
    [
        ("os._exit(9)", 9),
        ("import ctypes; ctypes.string_at(0)", -11),  # as a decoder that reads where it may not
        ("import re; re.match('(a+)+$', 'a' * 99 + 'b')", 1),  # hangs, and holds the interpreter
    ],
)
def test_what_ends_the_process_is_set_aside_alone(life: Life, does: str, code: int) -> None:
    """A supervisor starts upkeep again each time; nothing in the tree knows of the test."""
    life.receive_series(9)
    url = str(life.ledger.engine.url)
    child = CHILD.format(does=does, poison=POISON)
    codes: list[int] = []
    while len(codes) < 6:
        ended = subprocess.run(
            [sys.executable, "-c", child, str(life.folder), url, "2"],
            capture_output=True, text=True, check=False, env={**os.environ}, timeout=120,
        )  # fmt: skip
        assert "Traceback (most recent" not in ended.stderr
        codes.append(ended.returncode)
        if ended.returncode == 0:
            break
    assert codes == [code] * MOST_TRIES + [0]
    found = items(life)
    route, state, reason = found.pop(POISON)
    assert (route, state) == ("-", "failed")
    assert "ended 3 times" in reason
    assert "study retry" in reason
    assert len(found) == 8
    assert {state for _, state, _ in found.values()} == {"planned"}


def test_upkeep_goes_on_in_one_process_whatever_one_instance_does(
    life: Life, poisoned: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop itself, with its own pauses."""
    life.receive_series(9)
    life.clock.run()
    stop = threading.Event()
    thread = threading.Thread(target=life.upkeep.run, args=(stop,))
    thread.start()
    deadline = time.monotonic() + 60
    while len(items(life)) < 9 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert thread.is_alive()
    stop.set()
    thread.join()
    assert items(life)[POISON][1] == "failed"


def test_models_that_raise_what_nobody_thought_of_stop_nothing(life: Life) -> None:
    class Broken(FakeModels):
        def resolve(self, name: Any) -> Any:
            raise KeyError("PHI MARKER")

    life.models = Broken()
    life.receive_series(2)
    planner = life.another_planner()
    for _ in range(5):
        planner.plan()
        life.clock.advance(30)
    assert {state for _, state, _ in items(life).values()} == {"failed"}
