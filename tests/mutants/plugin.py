"""A pytest plugin that collects once and runs the tests once for each mutant, in forked processes.

Collecting imports everything and takes seconds; a child has it all, changes one function and runs
only the tests that execute it. A first child without a mutant finds out which those are.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.mutants.mutant import Mutant, source_of
from tests.mutants.planting import Unplantable, environment, function_of, plant_here

JOB: Final = "DICOM_NODE_MUTANTS_JOB"
CPU_SECONDS: Final = 20
"""A mutant may take so long, and three times as long as its tests do without it."""

_WALL_SECONDS: Final = 120
_TIMES: Final = 10
_FAILED: Final = 10
_UNPLANTABLE: Final = 11

settings.register_profile(
    "mutants",
    max_examples=20,
    derandomize=True,  # the same examples in every run, so that the score is the same
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Seen:
    """What the run without a mutant found out."""

    cpu: dict[str, float] = field(default_factory=dict)
    wall: dict[str, float] = field(default_factory=dict)
    runs: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    """Path and outermost function to the tests that execute it."""
    failed: list[str] = field(default_factory=list)


def pytest_sessionstart() -> None:
    """After the tests' own profile, and before any test is imported."""
    settings.load_profile("mutants")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run everything once, then what matters once for each mutant; without a job, as always."""
    if JOB not in os.environ:
        return None
    job = json.loads(Path(os.environ[JOB]).read_text(encoding="utf-8"))
    if session.testsfailed:
        raise session.Interrupted("tests that cannot be collected")
    for name in job["prepare"]:
        module, _, function = name.partition(":")
        getattr(importlib.import_module(module), function)()
    mutants = [Mutant(**each) for each in job["mutants"]]
    seen = _first_run(session, {str(source_of(each.module)[1]) for each in mutants})
    if seen.failed:
        raise session.Interrupted(f"tests fail without a mutant: {', '.join(seen.failed)}")
    verdicts = _Runs(session, seen, job).of(mutants)
    found = {"verdicts": verdicts, "wall": sum(seen.wall.values())}
    Path(job["out"]).write_text(json.dumps(found), encoding="utf-8")
    return True


def _first_run(session: pytest.Session, files: set[str]) -> Seen:
    """Run all tests in a child that notes which functions of `files` each of them executes."""
    seen = Seen()
    current = ""

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename in files:
            name = frame.f_code.co_qualname.partition(".<locals>")[0]
            seen.runs[frame.f_code.co_filename, name].add(current)

    def run() -> None:
        nonlocal current
        threading.setprofile(note)
        sys.setprofile(note)
        for item in session.items:
            current = item.nodeid
            cpu, wall = time.process_time(), time.monotonic()
            before = session.testsfailed
            _run(session, item)
            if session.testsfailed > before:
                seen.failed.append(current)
            seen.cpu[current] = time.process_time() - cpu
            seen.wall[current] = time.monotonic() - wall
        sys.setprofile(None)

    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        out = Path(folder) / "seen"

        def child() -> int:
            run()
            out.write_bytes(pickle.dumps(seen))
            return 0

        pid = _fork(session, child, Path(folder), None)
        os.waitpid(pid, 0)
        if not out.exists():
            raise session.Interrupted("the run without a mutant ended before its end")
        found: Seen = pickle.loads(out.read_bytes())
        return found


@dataclass
class _Child:
    mutant: Mutant
    folder: Path
    ends: float


class _Runs:
    """Runs the tests for mutants, some at once."""

    def __init__(self, session: pytest.Session, seen: Seen, job: dict[str, Any]) -> None:
        self._session = session
        self._seen = seen
        self._always: list[str] = job["always"]
        self._processes: int = job["processes"]
        self._seconds: int = job["seconds"]
        self._verbose: bool = job["verbose"]
        self._children: dict[int, _Child] = {}
        self._verdicts: dict[str, str] = {}

    def of(self, mutants: list[Mutant]) -> dict[str, str]:
        """Verdict of each mutant by its key."""
        for mutant in mutants:
            tests = self._tests_of(mutant)
            if not tests:
                self._verdicts[mutant.key] = "unreached"
                continue
            while len(self._children) >= self._processes:
                self._wait()
            self._start(mutant, tests)
        while self._children:
            self._wait()
        return self._verdicts

    def _tests_of(self, mutant: Mutant) -> list[pytest.Item]:
        function = function_of(mutant)
        path = str(source_of(mutant.module)[1])
        names = {part for part in self._always}
        executed = self._seen.runs.get((path, function or ""), set())
        chosen = [
            item
            for item in self._session.items
            if function is None
            or item.nodeid in executed
            or any(name in item.nodeid for name in names)
        ]
        return sorted(chosen, key=lambda item: self._seen.wall[item.nodeid])

    def _start(self, mutant: Mutant, tests: list[pytest.Item]) -> None:
        folder = Path(tempfile.mkdtemp(prefix="mutants-"))
        session, killer = self._session, folder / "killer"

        def child() -> int:
            os.environ.update(environment(mutant))
            try:
                plant_here(mutant)
            except Unplantable:
                return _UNPLANTABLE
            for item in tests:
                _run(session, item)
                if session.testsfailed:
                    killer.write_text(item.nodeid, encoding="utf-8")
                    return _FAILED
            return 0

        cpu = self._seconds + 3 * sum(self._seen.cpu[item.nodeid] for item in tests)
        wall = _WALL_SECONDS + _TIMES * sum(self._seen.wall[item.nodeid] for item in tests)
        pid = _fork(session, child, folder, int(cpu))
        self._children[pid] = _Child(mutant, folder, time.monotonic() + wall)

    def _wait(self) -> None:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            time.sleep(0.02)
            for late in [p for p, c in self._children.items() if c.ends < time.monotonic()]:
                os.killpg(late, signal.SIGKILL)
            return
        child = self._children.pop(pid, None)
        if child is None:
            return
        code = os.waitstatus_to_exitcode(status)
        verdict = _verdict(code, child.folder / "killer")
        self._verdicts[child.mutant.key] = verdict
        if self._verbose:
            sys.stderr.write(f"{verdict}: {child.mutant.key}\n")
        shutil.rmtree(child.folder, ignore_errors=True)


def _verdict(code: int, killer: Path) -> str:
    if code == 0:
        return "survived"
    if code == _UNPLANTABLE:
        return "unplantable"
    if code == _FAILED and killer.exists():
        return f"killed by {killer.read_text(encoding='utf-8')}"
    return "killed: it did not end" if code < 0 else "killed: the process ended"


def _run(session: pytest.Session, item: pytest.Item) -> None:
    session.config.hook.pytest_runtest_protocol(item=item, nextitem=None)


def _fork(session: pytest.Session, body: Callable[[], int], folder: Path, cpu: int | None) -> int:
    """Start a child in a process group and a temporary folder of its own."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setpgid(0, 0)  # no session of its own: that would be as urgent as any other
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        tempfile.tempdir = str(folder)
        os.environ["TMPDIR"] = str(folder)
        if cpu is not None:
            resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 5))
        code = body()
        session._setupstate.teardown_exact(None)
    finally:
        os._exit(code)
