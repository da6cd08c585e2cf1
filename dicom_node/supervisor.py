"""The whole node on one machine: starts its processes, restarts what dies, stops in order."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from dicom_node import signs
from dicom_node.errors import NodeError, OtherLedger
from dicom_node.heartbeat import Heartbeat
from dicom_node.ledger import holders
from dicom_node.ledger.holders import Holder
from dicom_node.ledger.stuck import StuckWriter
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.settings import Settings
from dicom_node.signs import Hearing
from dicom_node.upkeep.taking_back import take_back_gone

_PR_SET_PDEATHSIG: Final = 1
STOPPED_SECONDS: Final = 60.0
"""How long a child may be stopped, whatever it has said that it would do."""

_LOOK_SECONDS: Final = 0.2
_LONGEST_LOOK: Final = 1.0
"""Of the time between two looks no more counts: the supervisor itself, or all of the machine or of
its container, was held up then, and so may have been whoever is listened to."""

_SETTLED_SECONDS: Final = 30.0
_SHORTEST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
_QUIET: Final = "ignore:You're running the worker with superuser privileges"


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What one child process runs.

    Parameters
    ----------
    name : str
    arguments : tuple of str
        After the Python interpreter.
    grace_seconds : float
        How long it may take to finish what is in hand.
    """

    name: str
    arguments: tuple[str, ...]
    grace_seconds: float


@dataclass(slots=True)
class _Child:
    spec: ChildSpec
    process: subprocess.Popen[bytes]
    signs: Hearing
    told: bool = False
    started: float = field(default_factory=time.monotonic)
    again_at: float | None = None


def child_specs(settings: Settings) -> tuple[ChildSpec, ...]:
    """The processes of ``dicom-node up``, in the order in which they stop."""
    python = ("-P", "-m")  # what lies in the working folder is nobody's module
    node = (*python, "dicom_node")
    celery = (*python, "workers", "--quiet", "worker", "--without-gossip",
              "--without-mingle", "--without-heartbeat")  # fmt: skip
    threads = 1 + sum(destination.associations for destination in settings.destinations)
    infer = tuple(
        ChildSpec(
            f"infer-{i + 1}" if settings.workers.processes > 1 else "infer",
            (*celery, "-Q", "infer", "-P", "solo", "-n", f"infer-{i + 1}@%h"),
            120,
        )
        for i in range(settings.workers.processes)
    )
    deliver = (*celery, "-Q", "deliver", "-P", "threads", "-c", str(threads), "-n", "deliver@%h")
    return (
        ChildSpec("intake", (*node, "intake"), 30),
        ChildSpec("upkeep", (*node, "upkeep"), 10),
        *infer,
        ChildSpec("deliver", deliver, 60),
    )


class Supervisor:
    """Runs the children until it is told to stop.

    Parameters
    ----------
    settings : Settings
    config : Path or None
        ``node.toml``, handed to the processes in ``DICOM_NODE_CONFIG``.
    ledger : Ledger
        To take back at once what a process that died held.
    heartbeat : Heartbeat, optional
        Writes down its own signs of life.
    """

    def __init__(
        self,
        settings: Settings,
        config: Path | None,
        ledger: Ledger,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        self._specs = child_specs(settings)
        self._ledger = ledger
        self._heartbeat = heartbeat
        self._environment = signs.for_children(os.environ) | {"PYTHONWARNINGS": _QUIET}
        if config is not None:
            self._environment["DICOM_NODE_CONFIG"] = str(config.absolute())
        self._children: dict[str, _Child] = {}
        self._pause: dict[str, float] = {}
        path = holders.file_of(ledger.engine)
        self._stuck = None if path is None else StuckWriter(path)
        self._told: int | None = None
        self._looked = time.monotonic()
        self._log = structlog.get_logger("supervisor")

    def run(self, stop: threading.Event) -> None:
        """Start everything, restart what dies, and on `stop` finish what is in hand.

        Raises
        ------
        OtherLedger
            Somebody has migrated or replaced the ledger meanwhile; everything was stopped in order.
        """
        take_back_gone(self._ledger)
        for spec in self._specs:
            self._start(spec)
        try:
            while not stop.wait(_LOOK_SECONDS):
                self._look()
                signs.own().give(signs.PIECE)  # a look may wait for the ledger
                if self._heartbeat is not None:
                    self._heartbeat.look()
        except OtherLedger as error:
            self._log.critical("ledger.other", error=str(error), next="the node ends")
            raise
        finally:
            signs.own().ending()
            self._stop()
            if self._heartbeat is not None:
                self._heartbeat.end()

    def _look(self) -> None:
        self._end_stuck()
        self._end_silent()
        for child in list(self._children.values()):
            if child.process.poll() is None:
                continue
            if child.again_at is None:
                self._died(child)
            elif child.again_at <= time.monotonic():
                self._start(child.spec)

    def _end_stuck(self) -> None:
        """End a child that stopped in the middle of a write: nobody else can write until then."""
        holder = None if self._stuck is None else self._stuck.look()
        if holder is None:
            self._told = None
            return
        for child in self._children.values():
            if child.process.pid == holder.pid and child.process.poll() is None:
                self._log.error(
                    "process.killed", role=child.spec.name, pid=holder.pid,
                    why=f"{holder} held the ledger's write lock and did not go on",
                    next="what it had not committed is taken back, and it is started again",
                )  # fmt: skip
                child.process.kill()
                return
        if self._told != holder.pid:
            self._told = holder.pid
            self._log.error(
                "ledger.held_up", pid=holder.pid, command=holder.command, stopped=holder.stopped,
                remedy=f"nobody can write; {_remedy(holder)}",
            )  # fmt: skip

    def _end_silent(self) -> None:
        """End a child whose own loop goes round no more, or that was stopped and is let be.

        Neither a ledger that is locked nor a disk or a broker that is away holds up a sign for as
        long as is waited for here.
        """
        passed = min(time.monotonic() - self._looked, _LONGEST_LOOK)
        self._looked = time.monotonic()
        for child in self._children.values():
            if child.process.poll() is not None:
                continue
            child.signs.hear(passed)
            if child.told or child.signs.silence < min(STOPPED_SECONDS, child.signs.within):
                continue
            found = holders.runs(child.process.pid)
            stopped = found is not None and found.stopped
            if child.signs.silence < (STOPPED_SECONDS if stopped else child.signs.within):
                continue
            child.told = True
            self._log.error(
                "process.silent", role=child.spec.name, pid=child.process.pid, stopped=stopped,
                seconds=round(child.signs.silence), state=None if found is None else found.state,
                next="it is ended; what it held is taken back, and it is started again",
            )  # fmt: skip
            child.process.kill()

    def _start(self, spec: ChildSpec) -> None:
        hearing = Hearing()
        process = subprocess.Popen(
            [sys.executable, *spec.arguments],
            env=self._environment | hearing.environment(),
            pass_fds=hearing.inherited,
            start_new_session=True,
            preexec_fn=_end_with_parent(),  # noqa: PLW1509 -- no threads run in the supervisor
        )
        hearing.begun()
        self._children[spec.name] = _Child(spec, process, hearing)
        self._log.info("process.started", role=spec.name, pid=process.pid)

    def _died(self, child: _Child) -> None:
        spec = child.spec
        child.signs.close()
        lived = time.monotonic() - child.started
        if lived > _SETTLED_SECONDS:
            pause = 0.0
        else:
            pause = min(_LONGEST_PAUSE, max(_SHORTEST_PAUSE, 2 * self._pause.get(spec.name, 0.0)))
        self._pause[spec.name] = pause
        self._log.error(
            "process.died", role=spec.name, code=child.process.returncode,
            restart_seconds=round(pause, 1),
        )  # fmt: skip
        try:
            take_back_gone(self._ledger)
        except OtherLedger:
            raise
        except NodeError as error:
            self._log.error("ledger.unreachable", error=str(error))
        child.again_at = time.monotonic() + pause

    def _stop(self) -> None:
        for spec in self._specs:
            child = self._children.get(spec.name)
            if child is None:
                continue
            if child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
            if spec.name == "intake":
                self._wait(child)
        for child in self._children.values():
            self._wait(child)
        self._log.info("node.stopped")

    def _wait(self, child: _Child) -> None:
        try:
            child.process.wait(child.spec.grace_seconds)
        except subprocess.TimeoutExpired:
            self._log.error(
                "process.killed", role=child.spec.name, after_seconds=child.spec.grace_seconds,
                next="its work is taken up again at the next start",
            )  # fmt: skip
            child.process.kill()
            child.process.wait()
        child.signs.close()


def _remedy(holder: Holder) -> str:
    if holder.stopped:
        return holder.remedy
    return f"'kill -9 {holder.pid}' is safe: what it had not committed is taken back"


def _end_with_parent() -> Callable[[], None] | None:
    """On Linux, have a child told to stop when the supervisor is killed."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return ask


def stop_on_signals(signals: Sequence[int] = (signal.SIGTERM, signal.SIGINT)) -> threading.Event:
    """An event that is set by the first of `signals`."""
    stop = threading.Event()
    for number in signals:
        signal.signal(number, lambda *_: stop.set())
    return stop
