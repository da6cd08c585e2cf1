"""A whole node as a user runs it: ``dicom-node up`` on a configuration of the test's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from dicom_node.bell.outbox import SilentBell
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.states import InstanceState, WorkState
from dicom_node.ledger.tables import InstanceRow, WorkItemRow
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.settings import load
from tests.support.servers import accepts, free_port

_HEAD = """
[node]
ae_title = "DENOISE"
host = "127.0.0.1"
port = {port}
[storage]
path = "{storage}"
minimum_free_percent = 0
minimum_free_megabytes = 1
[log]
format = "json"
[batching]
quiet_seconds = 1.0
[intake]
unknown_peers = "accept"
[delivery]
retry_first_seconds = 0.5
retry_longest_seconds = 2.0
[upkeep]
ring_again_seconds = 2.0
"""


ROLES = ("intake", "upkeep", "infer", "deliver")


def part(role: str, number: int = 1) -> tuple[str, ...]:
    """What Python is given to run the `number`-th process of a role, as the how-to has it."""
    if role in ("intake", "upkeep"):
        return "-m", "dicom_node", role
    pool = ("-P", "solo") if role == "infer" else ("-P", "threads", "-c", "3")
    return ("-m", "celery", "-A", "workers.app", "worker", "-Q", role, *pool,
            "-n", f"{role}-{number}@%h")  # fmt: skip


class RunningNode:
    """One node in a folder; `start` and `stop` as often as a test likes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.config = folder / "node.toml"
        self.log = folder / "node.log"
        self.environment: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._parts: list[subprocess.Popen[bytes]] = []

    def configure(
        self,
        destinations: Mapping[str, tuple[str, int]],
        routes: Sequence[str] | None = None,
        extra: str = "",
        associations: int = 1,
    ) -> None:
        """Write node.toml: destination name to (AE title, port) on this machine, routes, more."""
        text = _HEAD.format(port=self.port, storage=self.folder / "spool") + extra
        for name, (ae_title, port) in destinations.items():
            text += (
                f'\n[[destinations]]\nname = "{name}"\nae_title = "{ae_title}"\n'
                f'host = "127.0.0.1"\nport = {port}\ntimeout_seconds = 5\n'
                f"associations = {associations}\n"
            )
        names = json.dumps(list(destinations))
        default = [
            f'name = "ct"\nwhen = {{ Modality = "CT" }}\nmodel = "ct-default@production"\n'
            f"destinations = {names}",
            f'name = "xray"\nwhen = {{ Modality = ["CR", "DX"] }}\n'
            f'model = "xray-default@production"\ndestinations = {names}',
        ]
        for route in routes if routes is not None else default:
            text += f"\n[[routes]]\n{route}\n"
        self.config.write_text(text, encoding="utf-8")

    def start(self, timeout: float = 60.0) -> None:
        """Run ``dicom-node up`` and wait until it listens."""
        self.launch()
        self._wait_for_port(timeout)

    def launch(self) -> None:
        """Run ``dicom-node up``."""
        self._process = self.run("-m", "dicom_node", "up")

    def start_parts(self, timeout: float = 60.0) -> None:
        """Run the same node as separate processes."""
        self.command("db", "upgrade")
        self._parts = [self.run(*part(role)) for role in ROLES]
        self._wait_for_port(timeout)

    def _wait_for_port(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not accepts(self.port):
            if time.monotonic() > deadline:
                raise AssertionError(f"the node does not listen; its log:\n{self.read_log()}")
            time.sleep(0.1)

    @property
    def pid(self) -> int | None:
        """Process id of ``dicom-node up``; None while it does not run."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid

    def run(
        self, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Run Python with `arguments` on this node's configuration, writing to its log."""
        environment = {
            **os.environ, **self.environment, "DICOM_NODE_CONFIG": str(self.config),
            **(environment or {}),
        }  # fmt: skip
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *arguments], stdout=log, stderr=log, env=environment,
                start_new_session=True,
            )  # fmt: skip

    def command(self, *arguments: str, check: bool = True) -> str:
        """Run a ``dicom-node`` command on this node; returns what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "dicom_node", *arguments, "--config", str(self.config)],
            capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, **self.environment, "COLUMNS": "300"},
        )  # fmt: skip
        if check and done.returncode != 0:
            raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stderr}")
        return done.stdout if check else done.stdout + done.stderr

    def states(self) -> dict[str, int]:
        """Number of work items in each state; an instance not yet planned counts as planned."""
        total = dict.fromkeys((state.value for state in WorkState), 0)
        engine = make_engine(load(self.config).database_url)
        with Ledger(engine, SilentBell()).read() as session:
            waiting = session.execute(
                select(func.count())
                .select_from(InstanceRow)
                .where(InstanceRow.state == InstanceState.RECEIVED.value)
            ).scalar_one()
            counted = session.execute(
                select(WorkItemRow.state, func.count()).group_by(WorkItemRow.state)
            )
            total |= {state: count for state, count in counted}
        engine.dispose()
        total["planned"] += waiting
        return total

    def wait(self, until: Callable[[dict[str, int]], Any], timeout: float = 90.0) -> dict[str, int]:
        """Wait until `until` holds for `states`; returns them."""
        deadline = time.monotonic() + timeout
        while True:
            states = self.states()
            if until(states):
                return states
            if time.monotonic() > deadline or "raised unexpected" in self.read_log():
                raise AssertionError(f"still {states}; the node's log:\n{self.read_log()}")
            time.sleep(0.3)

    def children(self) -> dict[str, int]:
        """Process ids of the running node's parts by role, from its log."""
        found: dict[str, int] = {}
        for line in self.log.read_text(encoding="utf-8").splitlines():
            if '"process.started"' in line:
                entry = json.loads(line)
                found[entry["role"]] = entry["pid"]
        return found

    def kill_child(self, role: str) -> None:
        """``kill -9`` one part."""
        os.kill(self.children()[role], signal.SIGKILL)

    def runs(self) -> bool:
        """Whether ``dicom-node up`` has not ended by itself."""
        assert self._process is not None
        return self._process.poll() is None

    def stop(self, timeout: float = 60.0) -> int:
        """SIGTERM, as systemd does; returns the exit code, also of one that has ended."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(timeout)
        self._process = None
        return code

    def kill(self) -> None:
        """``kill -9`` everything at once."""
        groups = [child for child in (self.children().values() if self.log.exists() else ())]
        for process in (self._process, *self._parts):
            if process is not None:
                groups.append(process.pid)
        for pid in groups:
            try:
                os.killpg(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        for process in (self._process, *self._parts):
            if process is not None:
                process.wait()
        self._process = None
        self._parts = []

    def read_log(self) -> str:
        """The end of the node's log."""
        return self.log.read_text(encoding="utf-8")[-8000:] if self.log.exists() else "(none)"


def done(count: int) -> Callable[[Mapping[str, int]], bool]:
    """Whether so many work items have ended, and none has not."""

    def ended(states: Mapping[str, int]) -> bool:
        terminal = states.get("delivered", 0) + states.get("passed", 0) + states.get("failed", 0)
        return terminal >= count and sum(states.values()) == terminal

    return ended
