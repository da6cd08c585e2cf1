"""Whether the node runs, in words: each role, and who of it is silent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from dicom_node import process_names, running
from dicom_node.bell.outbox import SilentBell
from dicom_node.errors import LedgerError
from dicom_node.finding import Finding
from dicom_node.ledger import processes
from dicom_node.ledger.bounds import Bounds
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.processes import Process, Role
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.upkeep.taking_back import take_back_gone
from tests.support.ledgers import Life
from tests.support.writers import holding

HERE = socket.gethostname()


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    life = Life(tmp_path / "node")
    yield life
    life.close()


@contextmanager
def sleeping() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def beat(life: Life, role: Role, pid: int = 0, host: str = "elsewhere", age: float = 0.0) -> None:
    name = process_names._name(pid) if host == HERE else f"{host}:{pid}"
    process = Process(name, role.value, f"{role}-{pid}@{host}", host, pid, "0.1.0")
    with life.ledger.write() as unit:
        processes.beat(unit, process, timedelta(seconds=age), 180.0)


def said(life: Life) -> dict[str, Finding]:
    return {each.what: each for each in running.roles(life.ledger)}


def all_beat(life: Life) -> None:
    for pid, role in enumerate(Role, start=10):
        beat(life, role, pid)


def test_a_node_that_runs_is_well_role_by_role(life: Life) -> None:
    all_beat(life)
    found = said(life)
    assert list(found) == ["up", "intake", "upkeep", "infer", "deliver"]
    assert all(each.ok and not each.warning for each in found.values())


def test_a_role_that_nobody_has_is_a_fault_once_others_run(life: Life) -> None:
    beat(life, Role.INTAKE)
    assert said(life)["intake"].ok
    assert not said(life)["infer"].ok
    assert "nothing is denoised" in said(life)["infer"].message


def test_a_cluster_has_no_supervisor_to_miss_and_one_machine_has(life: Life) -> None:
    for pid, role in enumerate(each for each in Role if each is not Role.UP):
        beat(life, role, pid)
    assert all(each.ok for each in said(life).values())
    beat(life, Role.UP, 9)
    life.clock.advance(120)
    assert "not started again" in said(life)["up"].message


def test_one_that_went_silent_without_a_word_is_a_fault(life: Life) -> None:
    all_beat(life)
    life.clock.advance(120)
    for pid, role in enumerate(Role, start=10):
        if role is not Role.DELIVER:
            beat(life, role, pid)
    found = said(life)
    assert [name for name, each in found.items() if not each.ok] == ["deliver"]
    assert "silent since" in found["deliver"].message
    assert "results wait" in found["deliver"].message


def test_one_of_several_that_is_silent_is_a_fault_at_first_and_then_only_said(life: Life) -> None:
    all_beat(life)
    beat(life, Role.INFER, pid=2)
    life.clock.advance(120)
    all_beat(life)
    assert not said(life)["infer"].ok
    life.clock.advance(2 * 3600)
    all_beat(life)
    assert (said(life)["infer"].ok, said(life)["infer"].warning) == (True, True)


def test_a_process_that_is_stopped_here_is_named_at_once(life: Life) -> None:
    all_beat(life)
    with sleeping() as pid:
        beat(life, Role.UPKEEP, pid=pid, host=HERE)
        assert said(life)["upkeep"].ok
        assert running.silent_here(life.ledger, Role.UPKEEP) == ""
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED)
        found = said(life)["upkeep"]
        assert not found.ok
        assert f"kill -CONT {pid}" in found.message
        assert "is stopped" in running.silent_here(life.ledger, Role.UPKEEP)


def test_one_that_was_killed_here_is_a_fault_until_somebody_takes_back_what_it_held(
    life: Life,
) -> None:
    all_beat(life)
    with sleeping() as pid:
        beat(life, Role.INFER, pid=pid, host=HERE)
    assert "without a word" in said(life)["infer"].message
    take_back_gone(life.ledger)
    assert said(life)["infer"].ok


def test_a_node_whose_processes_were_all_killed_is_to_be_started(life: Life) -> None:
    for role in Role:
        with sleeping() as pid:
            beat(life, role, pid=pid, host=HERE)
    for name, found in said(life).items():
        assert not found.ok
        assert "start the node: 'dicom-node up'" in found.message, name
        assert "'systemctl start dicom-node'" in found.message


def test_what_up_starts_again_by_itself_nobody_is_told_to_start(life: Life) -> None:
    all_beat(life)
    with sleeping() as pid:
        beat(life, Role.INTAKE, pid=pid, host=HERE)
    with life.ledger.write() as unit:
        processes.over(unit, "elsewhere:11")  # the intake that went on
        processes.over(unit, "elsewhere:13")  # the only infer
    for role in (Role.INTAKE, Role.INFER):
        assert "start the node" not in said(life)[role].message
        assert "'dicom-node up' starts it again" in said(life)[role].message


def test_a_role_that_was_stopped_goes_on_and_is_not_started(life: Life) -> None:
    beat(life, Role.UP, 10)
    with sleeping() as pid:
        beat(life, Role.INTAKE, pid=pid, host=HERE)
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED)
        found = said(life)["intake"].message
    assert f"kill -CONT {pid}" in found
    assert "starts it" not in found
    assert "start the node" not in found


def test_a_probe_holds_nothing_against_a_process_that_cannot_write_its_signs(life: Life) -> None:
    """A ledger that is locked, or whose disk is full, can be read all the same."""
    with sleeping() as pid:
        beat(life, Role.INFER, pid=pid, host=HERE)
        life.clock.advance(120)
        assert "silent" in running.silent_here(life.ledger, Role.INFER)
        engine = make_engine(str(life.ledger.engine.url), Bounds(2, 0.1, None, None))
        with (
            holding(Path(str(life.ledger.engine.url.database))),
            pytest.raises(LedgerError, match="locked"),
        ):
            running.silent_here(Ledger(engine, SilentBell(), life.clock), Role.INFER)
        engine.dispose()


def test_a_probe_hears_of_its_own_machine_only(life: Life) -> None:
    all_beat(life)
    assert "no process of this machine" in running.silent_here(life.ledger, Role.INFER)
