"""The supervisor: what dies is started again, alone, and with growing pauses."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from dicom_node import supervisor
from dicom_node.ledger.stuck import StuckWriter
from dicom_node.ledger.tables import BatchRow
from dicom_node.settings import Settings
from dicom_node.supervisor import ChildSpec, Supervisor, child_specs
from tests.support.ledgers import Life
from tests.support.waiting import eventually
from tests.support.writers import HOLD

SLEEPS = ("-c", "import time; time.sleep(600)")


class Watched:
    """A supervisor in a thread, with children of the test's own."""

    def __init__(
        self, life: Life, chosen: tuple[ChildSpec, ...], patch: pytest.MonkeyPatch
    ) -> None:
        patch.setattr(supervisor, "child_specs", lambda settings: chosen)
        self.supervisor = Supervisor(life.settings, None, life.ledger)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.supervisor.run, args=(self.stop,))

    def start(self) -> None:
        self.thread.start()

    def pid(self, role: str) -> int | None:
        child = self.supervisor._children.get(role)
        return None if child is None else child.process.pid

    def end(self) -> None:
        self.stop.set()
        self.thread.join(30)
        assert not self.thread.is_alive()


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    life = Life(tmp_path / "node")
    yield life
    life.close()


def runs(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_dies_is_started_again_though_another_crashes_all_the_time(
    life: Life, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    crash = f"open({str(starts)!r}, 'a').write('x'); raise SystemExit(3)"
    watched = Watched(
        life, (ChildSpec("bad", ("-c", crash), 5), ChildSpec("good", SLEEPS, 5)), monkeypatch
    )
    monkeypatch.setattr(supervisor, "_LONGEST_PAUSE", 300.0)
    watched.start()
    try:
        eventually(lambda: starts.exists() and len(starts.read_text()) >= 5)
        first = watched.pid("good")
        assert first is not None
        os.kill(first, signal.SIGKILL)
        eventually(lambda: watched.pid("good") != first and runs(watched.pid("good")))
    finally:
        watched.end()
    assert not runs(watched.pid("good"))


def test_what_crashes_after_a_long_life_is_not_started_without_pause(
    life: Life, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    crash = f"open({str(starts)!r}, 'a').write('x'); raise SystemExit(3)"
    monkeypatch.setattr(supervisor, "_SETTLED_SECONDS", 0.0)
    watched = Watched(life, (ChildSpec("bad", ("-c", crash), 5),), monkeypatch)
    watched.start()
    try:
        eventually(lambda: starts.exists() and len(starts.read_text()) >= 2)
        monkeypatch.setattr(supervisor, "_SETTLED_SECONDS", 1000.0)
        seen = len(starts.read_text())
        time.sleep(4)
        assert len(starts.read_text()) - seen <= 4
    finally:
        watched.end()


def test_a_dead_workers_batch_is_due_again_at_once(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.associate()
    life.receive_series(3)
    life.planner.plan()
    watched = Watched(life, (ChildSpec("infer", SLEEPS, 5),), monkeypatch)
    watched.start()
    try:
        eventually(lambda: watched.pid("infer"))
        pid = watched.pid("infer")
        assert pid is not None
        batch = life.claim(life.due_batches()[0], f"{socket.gethostname()}:{pid}")
        assert batch is not None
        os.kill(pid, signal.SIGKILL)
        eventually(
            lambda: life.rows(select(BatchRow.state).where(BatchRow.state == "running")) == []
        )
    finally:
        watched.end()


def test_a_process_that_does_not_stop_is_killed(
    life: Life, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"open({str(ready)!r}, 'w').close(); time.sleep(600)"
    )
    watched = Watched(life, (ChildSpec("deaf", ("-c", deaf), 0.5),), monkeypatch)
    watched.start()
    eventually(ready.exists)
    pid = watched.pid("deaf")
    assert runs(pid)
    watched.end()
    assert not runs(pid)


@pytest.mark.parametrize(("processes", "names"), [(1, ["infer"]), (2, ["infer-1", "infer-2"])])
def test_there_is_a_process_for_each_role(processes: int, names: list[str]) -> None:
    found = child_specs(Settings(workers={"processes": processes}))
    assert [each.name for each in found] == ["intake", "upkeep", *names, "deliver"]
    assert sys.executable not in found[0].arguments


def test_a_child_that_stopped_within_a_write_is_ended_and_started_again(
    life: Life, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = life.ledger.engine.url.database
    marker = tmp_path / "first"
    stops = (
        f"import pathlib, sys, time\nfirst = pathlib.Path({str(marker)!r})\n"
        f"if first.exists(): time.sleep(600)\nfirst.touch()\n"
        f"sys.argv[1:] = [{path!r}, 'BEGIN IMMEDIATE', 'stopped']\n{HOLD}"
    )
    monkeypatch.setattr(supervisor, "StuckWriter", partial(StuckWriter, stopped_seconds=0.5))
    watched = Watched(life, (ChildSpec("infer", ("-c", stops), 5),), monkeypatch)
    watched.start()
    try:
        eventually(lambda: watched.pid("infer") is not None)
        first = watched.pid("infer")
        eventually(lambda: watched.pid("infer") != first)
        with life.ledger.write() as unit:
            unit.connection.exec_driver_sql("UPDATE batch SET count = count")
    finally:
        watched.end()


SIGNS = """
import os, sys, time
pipe, inode = os.environ["DICOM_NODE_SIGNS"].split(":")
while True:
    os.write(int(pipe), b"600\\n")
    time.sleep(0.05)
"""


def test_a_child_that_was_stopped_is_ended_and_started_again(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside of a write, too: nobody waits for its lock, and it does nothing."""
    monkeypatch.setattr(supervisor, "STOPPED_SECONDS", 0.5)
    watched = Watched(life, (ChildSpec("upkeep", ("-c", SIGNS), 5),), monkeypatch)
    with capture_logs() as lines:
        watched.start()
        try:
            eventually(lambda: runs(watched.pid("upkeep")))
            first = watched.pid("upkeep")
            assert first is not None
            os.kill(first, signal.SIGSTOP)
            eventually(lambda: watched.pid("upkeep") != first and runs(watched.pid("upkeep")))
        finally:
            watched.end()
    (said,) = [line for line in lines if line["event"] == "process.silent"]
    assert (said["role"], said["pid"], said["stopped"]) == ("upkeep", first, True)


HANGS = """
import os, time
pipe, inode = os.environ["DICOM_NODE_SIGNS"].split(":")
os.write(int(pipe), b"0.5\\n")
time.sleep(600)
"""


def test_a_child_whose_loop_hangs_is_ended_when_it_said_that_it_would_be_round(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(life, (ChildSpec("deliver", ("-c", HANGS), 5),), monkeypatch)
    watched.start()
    try:
        eventually(lambda: runs(watched.pid("deliver")))
        first = watched.pid("deliver")
        eventually(lambda: watched.pid("deliver") != first)
    finally:
        watched.end()


@pytest.mark.parametrize("asleep", ["starts", "is held up with its supervisor"])
def test_a_child_is_let_be_that(life: Life, monkeypatch: pytest.MonkeyPatch, asleep: str) -> None:
    """One that loads a model gives no sign yet; what nobody could hear is no silence."""
    if asleep == "starts":
        monkeypatch.setattr(supervisor, "STOPPED_SECONDS", 0.2)
        spec = ChildSpec("infer", SLEEPS, 5)
    else:
        monkeypatch.setattr(supervisor, "_LONGEST_LOOK", 0.0)
        spec = ChildSpec("infer", ("-c", HANGS), 5)
    watched = Watched(life, (spec,), monkeypatch)
    watched.start()
    try:
        eventually(lambda: runs(watched.pid("infer")))
        first = watched.pid("infer")
        time.sleep(2)
        assert watched.pid("infer") == first
    finally:
        watched.end()


@pytest.mark.parametrize("name", ["workers", "structlog", "dicom_node", "celery"])
def test_nothing_in_the_working_folder_is_imported_by_a_process(name: str, tmp_path: Path) -> None:
    """Whoever starts the node stands anywhere: in a home full of scripts, in a checkout."""
    (tmp_path / f"{name}.py").write_text("raise SystemExit('taken from the working folder')\n")
    for spec in child_specs(Settings()):
        began = subprocess.run(
            [sys.executable, *spec.arguments, "--help"],
            cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert began.returncode == 0, (spec.name, began.stderr[-300:])
