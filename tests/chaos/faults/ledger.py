"""The ledger: locked, stopped inside a transaction, its server killed, stopped, started again."""

from __future__ import annotations

import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from dicom_node.ledger.engine import make_engine
from tests.chaos.fault import CLUSTER, ONE_MACHINE, Fault, FaultFailed, Scene
from tests.chaos.forms import Cluster, OneMachine
from tests.chaos.system import send_signal, sqlite_writer
from tests.support.servers import ServerDidNotStart

_CAUGHT_SECONDS: Final = 30.0
_NEWER: Final = "9999_of_a_later_release"
_UPGRADES: Final = 3


class StopInTransaction(Fault):
    """A process stands still inside a write transaction of SQLite, as one in a suspended VM."""

    name = "stop in transaction"
    says = "SIGSTOP of a process inside a write transaction for 10 s"
    forms = ONE_MACHINE
    seconds = 10.0

    def __init__(self) -> None:
        self._stopped: list[psutil.Process] = []

    def inject(self, scene: Scene) -> None:
        assert isinstance(scene.form, OneMachine)
        own = {each.pid: each for each in scene.form.all_processes()}
        deadline = time.monotonic() + _CAUGHT_SECONDS
        while time.monotonic() < deadline:
            writer = own.get(sqlite_writer(scene.form.database) or 0)
            if writer is None:
                continue
            send_signal([writer], signal.SIGSTOP)
            time.sleep(0.05)
            if sqlite_writer(scene.form.database) == writer.pid:
                self._stopped.append(writer)
                return
            send_signal([writer], signal.SIGCONT)
        raise FaultFailed("no process was caught in a transaction")

    def heal(self, scene: Scene) -> None:
        send_signal(self._stopped, signal.SIGCONT)
        self._stopped.clear()

    def clean(self, scene: Scene) -> None:
        self.heal(scene)


class LockedSqlite(Fault):
    """Somebody else holds SQLite's write lock for longer than anybody waits for it."""

    name = "locked ledger"
    says = "BEGIN IMMEDIATE by another process, held for 35 s"
    forms = ONE_MACHINE
    seconds = 35.0

    def __init__(self) -> None:
        self._connection: sqlite3.Connection | None = None

    def inject(self, scene: Scene) -> None:
        assert isinstance(scene.form, OneMachine)
        connection = sqlite3.connect(
            scene.form.database, timeout=_CAUGHT_SECONDS, isolation_level=None
        )
        connection.execute("BEGIN IMMEDIATE")
        self._connection = connection

    def heal(self, scene: Scene) -> None:
        if self._connection is not None:
            self._connection.execute("ROLLBACK")
            self._connection.close()
            self._connection = None

    def clean(self, scene: Scene) -> None:
        self.heal(scene)


class LedgerRemoved(Fault):
    """The ledger's file is moved away under the running node, and put back."""

    name = "ledger removed"
    says = "the ledger's file away for 12 s, under processes that have it open"
    forms = ONE_MACHINE
    seconds = 12.0

    def __init__(self) -> None:
        self._moved: tuple[Path, Path] | None = None

    def inject(self, scene: Scene) -> None:
        assert isinstance(scene.form, OneMachine)
        path = Path(scene.form.database)
        self._moved = path, path.with_name("moved")
        path.rename(self._moved[1])

    def heal(self, scene: Scene) -> None:
        if self._moved is not None:
            path, away = self._moved
            away.rename(path)
            self._moved = None

    def clean(self, scene: Scene) -> None:
        self.heal(scene)


_LOCK: Final = "LOCK TABLE instance, work_item, batch, parcel, delivery IN ACCESS EXCLUSIVE MODE"


class LockedTables(Fault):
    """Somebody else locks the tables that everybody writes."""

    name = "locked ledger"
    says = "LOCK TABLE on the tables of the work, held for 20 s"
    forms = CLUSTER
    seconds = 20.0

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._connection: Connection | None = None

    def inject(self, scene: Scene) -> None:
        self._engine = make_engine(scene.form.database_url)
        scene.wait(self._locked, _CAUGHT_SECONDS, "a lock on every table")

    def _locked(self) -> bool:
        """Take them one after the other; where that meets a circle, let go, and try again."""
        assert self._engine is not None
        connection = self._engine.connect()
        try:
            connection.execute(text(_LOCK))
        except OperationalError:
            connection.close()
            return False
        self._connection = connection
        return True

    def heal(self, scene: Scene) -> None:
        if self._connection is not None and self._engine is not None:
            self._connection.close()
            self._engine.dispose()
            self._connection = self._engine = None

    def clean(self, scene: Scene) -> None:
        self.heal(scene)


class ServerKilled(Fault):
    """``kill -9`` of the database server; it comes back after a while."""

    name = "ledger server killed"
    says = "kill -9 of PostgreSQL, started again 8 s later"
    forms = CLUSTER
    seconds = 8.0

    def inject(self, scene: Scene) -> None:
        assert isinstance(scene.form, Cluster)
        scene.form.postgres.kill()

    def heal(self, scene: Scene) -> None:
        assert isinstance(scene.form, Cluster)
        for _ in range(20):  # what it has left in shared memory goes away with its last process
            with suppress(ServerDidNotStart):
                scene.form.postgres.start()
                return
            time.sleep(0.5)
        raise ServerDidNotStart(scene.form.postgres.log()[-2000:])


class ServerStopped(Fault):
    """The database server hangs, its connections open."""

    name = "ledger server stopped"
    says = "SIGSTOP of all of PostgreSQL for 20 s, then SIGCONT"
    forms = CLUSTER
    seconds = 20.0

    def inject(self, scene: Scene) -> None:
        send_signal(self._all(scene), signal.SIGSTOP)

    def heal(self, scene: Scene) -> None:
        send_signal(self._all(scene), signal.SIGCONT)

    def clean(self, scene: Scene) -> None:
        self.heal(scene)

    @staticmethod
    def _all(scene: Scene) -> list[psutil.Process]:
        assert isinstance(scene.form, Cluster)
        assert scene.form.postgres.process is not None
        server = psutil.Process(scene.form.postgres.process.pid)
        return [server, *server.children(recursive=True)]


class ServerRestarted(Fault):
    """The database server is started again in an orderly way, as in every upgrade of it."""

    name = "ledger server restarted"
    says = "PostgreSQL stopped in order and started again"
    forms = CLUSTER
    seconds = 2.0
    quick = True

    def inject(self, scene: Scene) -> None:
        assert isinstance(scene.form, Cluster)
        scene.form.postgres.stop()

    def heal(self, scene: Scene) -> None:
        assert isinstance(scene.form, Cluster)
        scene.form.postgres.start()


class Migrated(Fault):
    """The ledger says that it is of a later release while processes of this one run."""

    name = "migration under way"
    says = "the ledger says for 8 s that a later release migrated it; then three upgrades at once"
    seconds = 8.0

    def __init__(self) -> None:
        self._revision: str | None = None
        self._failed: list[str] = []

    def inject(self, scene: Scene) -> None:
        engine = make_engine(scene.form.database_url)
        with engine.begin() as connection:
            found = connection.execute(text("SELECT version_num FROM alembic_version"))
            self._revision = str(found.scalar_one())
            connection.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": _NEWER})
        engine.dispose()

    def heal(self, scene: Scene) -> None:
        if self._revision is None:
            return
        engine = make_engine(scene.form.database_url)
        with engine.begin() as connection:
            connection.execute(
                text("UPDATE alembic_version SET version_num = :it"), {"it": self._revision}
            )
        engine.dispose()
        self._revision = None

    def settle(self, scene: Scene) -> None:
        def upgrade(_: int) -> str:
            try:
                scene.form.node.command("db", "upgrade")
            except AssertionError as error:
                return str(error).strip().splitlines()[-1]
            return ""

        with ThreadPoolExecutor(_UPGRADES) as pool:
            self._failed = [said for said in pool.map(upgrade, range(_UPGRADES)) if said]

    def check(self, scene: Scene) -> list[str]:
        return [f"db upgrade failed: {said}" for said in self._failed]

    def clean(self, scene: Scene) -> None:
        self.heal(scene)
