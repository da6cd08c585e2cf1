"""The two forms of a node under trial: one machine, and a cluster."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Final

import psutil

from dicom_node.settings import load
from model_store.trust.key import PrivateKey, generate
from model_store.trust.signature import sign
from tests.chaos.archive import Archive
from tests.chaos.books import Books
from tests.chaos.system import mount_memory, send_signal, sqlite_writer, unmount
from tests.support.factories.models import model_version, smoothing
from tests.support.node import ROLES, RunningNode, part
from tests.support.postgres import Postgres
from tests.support.servers import Redis, accepts, free_port

MODEL: Final = "smooth-ct"
_READY_SECONDS: Final = 90.0
_LOOK_SECONDS: Final = 0.2
_RESTART_SECONDS: Final = 1.0


class FormName(StrEnum):
    """How a node runs."""

    ONE_MACHINE = "one-machine"
    CLUSTER = "cluster"


class Form(ABC):
    """A node that the trial may do anything to.

    Parameters
    ----------
    folder : Path
        Of its own; holds configuration, models, spool and log.
    archive : Archive
        Where its results go.
    disk_megabytes : int or None
        Size of a file system of the spool's own, in memory; None: the spool is a plain folder.
    """

    name: ClassVar[FormName]

    def __init__(self, folder: Path, archive: Archive, disk_megabytes: int | None) -> None:
        self.node = RunningNode(folder)
        self.archive = archive
        self.spool = folder / "spool"
        self.models = folder / "models"
        self.has_disk = disk_megabytes is not None
        self.spool.mkdir()
        if disk_megabytes is not None:
            mount_memory(self.spool, disk_megabytes)
        keys = _signed_model(folder, self.models)
        self.node.environment |= {
            "DICOM_NODE_DELIVERY__LEASE_SECONDS": "12",
            "DICOM_NODE_INTAKE__IDLE_SECONDS": "10",
            # A busy machine loses leases that are this short: that is no reason to give work up.
            "DICOM_NODE_WORKERS__ATTEMPTS": "10",
            "DICOM_NODE_WORKERS__LEASE_SECONDS": "12",
            "DICOM_NODE_WORKERS__THREADS": "1",
        }
        self.node.configure(
            {"pacs": (archive.aet, archive.port)},
            routes=[
                f'name = "ct"\nwhen = {{ Modality = "CT" }}\nmodel = "{MODEL}@1.0.0"\n'
                'strength = 1.0\ndestinations = ["pacs"]'
            ],
            extra=f'[models]\npath = "{self.models}"\ntrust = "{keys}"\n{self._servers()}',
            associations=self._associations(),
        )
        self.database_url = load(self.node.config).database_url
        self._lock = threading.RLock()
        self._managed = False
        self._ending = threading.Event()
        self._manager = threading.Thread(target=self._manage, name="manager", daemon=True)
        self._manager.start()

    def books(self) -> Books:
        """The node's ledger, to be looked at."""
        return Books(self.database_url, self.spool)

    @property
    @abstractmethod
    def ports(self) -> Sequence[int]:
        """Where intakes listen."""

    @abstractmethod
    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start everything and wait until it listens."""

    @abstractmethod
    def kill(self) -> None:
        """``kill -9`` all of the node at once; the servers it uses stay."""

    @abstractmethod
    def processes(self, role: str) -> list[psutil.Process]:
        """The running processes of a role: intake, upkeep, infer, deliver."""

    def all_processes(self) -> list[psutil.Process]:
        """The running processes of all roles."""
        return [each for role in ROLES for each in self.processes(role)]

    @contextmanager
    def still(self, *roles: str) -> Iterator[None]:
        """Have the processes of some roles stand still, none of them in a transaction."""
        held = [each for role in roles for each in self.processes(role)]
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            send_signal(held, signal.SIGSTOP)
            time.sleep(_LOOK_SECONDS)
            if self.writer() not in {each.pid for each in held}:
                break
            send_signal(held, signal.SIGCONT)
        try:
            yield
        finally:
            send_signal(held, signal.SIGCONT)

    def writer(self) -> int | None:
        """Process that is in a write transaction, where that would hold up all others."""
        return None

    def close(self) -> None:
        """End everything and give the disk back."""
        self._ending.set()
        self.kill()
        if self.has_disk:
            unmount(self.spool)

    def _servers(self) -> str:
        return ""

    def _associations(self) -> int:
        return 1

    def _manage(self) -> None:
        """What systemd or Kubernetes do: start again what has ended."""
        while not self._ending.wait(_LOOK_SECONDS):
            with self._lock:
                if self._managed:
                    self._start_what_ended()

    @abstractmethod
    def _start_what_ended(self) -> None:
        """Start again what ended a moment ago."""

    def _wait(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not all(accepts(port) for port in self.ports):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the node does not listen; {self.node.read_log()[-2000:]}")
            time.sleep(0.1)


class OneMachine(Form):
    """``dicom-node up``: SQLite and the embedded broker in the spool; started again if it ends."""

    name = FormName.ONE_MACHINE

    def __init__(self, folder: Path, archive: Archive, disk_megabytes: int | None) -> None:
        super().__init__(folder, archive, disk_megabytes)
        self._usual = dict(self.node.environment)
        self._ended_at: float | None = None

    @property
    def ports(self) -> Sequence[int]:
        return (self.node.port,)

    @property
    def database(self) -> Path:
        """The file of the ledger."""
        return self.spool / "ledger.sqlite"

    @property
    def messages(self) -> Path:
        """The folder of the embedded broker's messages."""
        return self.spool / "broker" / "messages"

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        with self._lock:
            self.node.environment = self._usual | dict(environment or {})
            self.node.launch()
            self._ended_at = None
            self._managed = True
        self._wait()

    def kill(self) -> None:
        with self._lock:
            self._managed = False
            children = self.all_processes()
            self.node.kill()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(children, timeout=10)

    def processes(self, role: str) -> list[psutil.Process]:
        pid = self.node.pid
        with suppress(psutil.NoSuchProcess):
            children = [] if pid is None else psutil.Process(pid).children()
            return [child for child in children if _role_of(child) == role]
        return []

    def writer(self) -> int | None:
        return sqlite_writer(self.database)

    def _start_what_ended(self) -> None:
        if self.node.pid is not None:
            return
        self._ended_at = self._ended_at or time.monotonic()
        if time.monotonic() - self._ended_at >= _RESTART_SECONDS:
            self.node.launch()
            self._ended_at = None


@dataclass(slots=True)
class _Part:
    """One process of a cluster and what is known about it."""

    role: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    ended_at: float | None = None


class Cluster(Form):
    """The processes of the how-to on PostgreSQL and Redis; what dies is started again.

    Two intakes behind what would be a load balancer, two upkeeps, three infer and two deliver
    workers.
    """

    name = FormName.CLUSTER
    counts: ClassVar[Mapping[str, int]] = {"intake": 2, "upkeep": 2, "infer": 3, "deliver": 2}

    def __init__(self, folder: Path, archive: Archive, disk_megabytes: int | None) -> None:
        self.postgres = Postgres().__enter__()
        self.redis = Redis().__enter__()
        self._ports = tuple(free_port() for _ in range(self.counts["intake"]))
        self._parts: list[_Part] = []
        super().__init__(folder, archive, disk_megabytes)

    @property
    def ports(self) -> Sequence[int]:
        return self._ports

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        self.node.command("db", "upgrade")
        with self._lock:
            for role, count in self.counts.items():
                for number in range(1, count + 1):
                    own = dict(environment or {})
                    if role == "intake":
                        own["DICOM_NODE_NODE__PORT"] = str(self._ports[number - 1])
                    self.add(role, number, own)
            self._managed = True
        self._wait()

    def add(self, role: str, number: int, environment: Mapping[str, str]) -> None:
        """Run one more process, and see to it that it runs."""
        with self._lock:
            one = _Part(role, part(role, number), environment)
            one.process = self.node.run(*one.arguments, environment=environment)
            self._parts.append(one)

    def remove(self, role: str, number: int) -> None:
        """Kill a process and let it be."""
        with self._lock:
            for one in [each for each in self._parts if each.arguments == part(role, number)]:
                if each_runs(one.process):
                    _kill(one.process)
                self._parts.remove(one)

    def kill(self) -> None:
        with self._lock:
            self._managed = False
            for one in self._parts:
                if one.process is not None:
                    one.process.send_signal(signal.SIGKILL)
            for one in self._parts:
                if one.process is not None:
                    one.process.wait(10)
            self._parts = []

    def processes(self, role: str) -> list[psutil.Process]:
        found = []
        with self._lock:
            for one in self._parts:
                if one.role == role and one.process is not None and each_runs(one.process):
                    with suppress(psutil.NoSuchProcess):
                        found.append(psutil.Process(one.process.pid))
        return found

    def close(self) -> None:
        super().close()
        self.redis.__exit__(None, None, None)
        self.postgres.__exit__(None, None, None)

    def _servers(self) -> str:
        database = self.postgres.url.replace("postgresql+psycopg://", "postgresql://")
        return f'[database]\nurl = "{database}"\n[broker]\nurl = "{self.redis.url}"\n'

    def _associations(self) -> int:
        return 3

    def _start_what_ended(self) -> None:
        for one in self._parts:
            if each_runs(one.process):
                continue
            now = time.monotonic()
            one.ended_at = one.ended_at or now
            if now - one.ended_at >= _RESTART_SECONDS:
                one.process = self.node.run(*one.arguments, environment=one.environment)
                one.ended_at = None


def each_runs(process: subprocess.Popen[bytes] | None) -> bool:
    """Whether a process was started and has not ended."""
    return process is not None and process.poll() is None


def _kill(process: subprocess.Popen[bytes] | None) -> None:
    assert process is not None
    process.kill()
    process.wait(10)


def _role_of(process: psutil.Process) -> str | None:
    try:
        words = process.cmdline()
    except psutil.Error:
        return None
    if "-Q" in words:
        return words[words.index("-Q") + 1]
    return next((role for role in ROLES if role in words), None)


def _signed_model(folder: Path, store: Path) -> Path:
    """Make the trial's model version, signed; returns the folder of the key that it trusts."""
    keys = folder / "keys"
    generate("chaos", keys, "The trial", date(2026, 1, 2))
    version = model_version(store, MODEL, network=smoothing())
    sign(version, PrivateKey.read(keys / "chaos.key"))
    return keys


FORMS: Final[Mapping[FormName, type[Form]]] = {
    FormName.ONE_MACHINE: OneMachine,
    FormName.CLUSTER: Cluster,
}
