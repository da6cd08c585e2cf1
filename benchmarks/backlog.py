"""What a backlog costs: batches a second, and how long a new study waits, with little due and much.

A node's ledger is given due batches of one image each, of ten batches a series. Two workers, as a
node runs them, take them from it; in place of load, engine and encoder there is a pause for each
batch. Upkeep rings as it does. While they work, now and then a study of six images becomes due, and
what it waited until it was taken and until it was done is read from the ledger. The most messages
that ever waited in the broker are counted, by looking often. Once more with nothing else due.

    python -m benchmarks.backlog --json backlog.json
    python -m benchmarks.backlog --quick
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import func, insert, select

from benchmarks._machine import REPOSITORY, busy_cores, end_in_order, report, write
from dicom_node.bell.broker import rings_of
from dicom_node.bell.outbox import Queue, Ring
from dicom_node.ledger import migrate, work_items
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.batches import ClaimedBatch
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.states import WorkEvent
from dicom_node.ledger.tables import AssociationRow, AuditRow, BatchRow, InstanceRow, WorkItemRow
from dicom_node.ledger.unit_of_work import UnitOfWork
from dicom_node.node import Node
from dicom_node.settings import Settings, load
from tests.support.postgres import Postgres
from tests.support.servers import Redis
from workers.item import EndedItem
from workers.pipeline import Pipeline

ONE_MACHINE = "SQLite, folder"
CLUSTER = "PostgreSQL, Redis"
WORKERS = 2
STUDY = 6
_PAUSE = "BENCHMARK_BACKLOG_PAUSE"
_LOOK_SECONDS = 0.02
_PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Row:
    """One form with one backlog."""

    form: str
    backlog: int
    batches_per_second: float | None
    taken_median_ms: float
    taken_worst_ms: float
    done_median_ms: float
    done_worst_ms: float
    messages_at_most: int


class Toy(Pipeline):
    """Claims, leases and ends batches as any; in between it only waits."""

    def _stages(self, batch: ClaimedBatch, *_: Any) -> list[EndedItem]:
        time.sleep(float(os.environ[_PAUSE]))
        with self._node.ledger.write() as unit:
            work_items.transition(
                unit, [item.work_item_id for item in batch.items], WorkEvent.PASS,
                audit=AuditEvent.WORK_PASS, batch_id=batch.batch_id,
            )  # fmt: skip
        return []


class NoDenoisers:
    """Stands in for the engines."""

    def get(self, *_: Any) -> None:
        """There is none, and none is asked for anything."""


def __getattr__(name: str) -> Any:
    """Celery asks this module for `app` in the worker's process."""
    if name == "app" and _PAUSE in os.environ:
        from workers.app import app  # noqa: PLC0415 -- only in a worker

        app.pipeline = Toy(app.node, NoDenoisers())  # type: ignore[arg-type]
        return app
    raise AttributeError(name)


class Trial:
    """A ledger, its broker, two workers and an upkeep."""

    def __init__(
        self, folder: Path, database: str | None, broker: str | None, pause: float
    ) -> None:
        self.config = folder / "node.toml"
        text = f'[storage]\npath = "{folder / "node"}"\nminimum_free_percent = 0\n'
        text += f'[database]\nurl = "{database}"\n' if database else ""
        text += f'[broker]\nurl = "{broker}"\n' if broker else ""
        self.config.write_text(text, encoding="utf-8")
        tree: Settings = load(self.config)
        migrate.upgrade(make_engine(tree.database_url))
        self.rings = rings_of(tree)
        self.ledger = Node.open(tree).ledger
        self._environment = {
            **os.environ, "DICOM_NODE_CONFIG": str(self.config), _PAUSE: str(pause),
        }  # fmt: skip
        self._log = folder / "log"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._number = 0

    def start(self) -> None:
        """Start workers and upkeep."""
        celery = ("-m", "celery", "-A", "benchmarks.backlog:app", "--quiet", "worker", "-Q",
                  "infer", "-P", "solo", "--without-gossip", "--without-mingle",
                  "--without-heartbeat")  # fmt: skip
        commands = [(*celery, "-n", f"w{number}@%h") for number in range(WORKERS)]
        for command in [*commands, ("-m", "dicom_node", "upkeep")]:
            with self._log.open("ab") as log:
                process = subprocess.Popen(
                    [sys.executable, *command], cwd=REPOSITORY, env=self._environment,
                    stdout=log, stderr=log,
                )  # fmt: skip
            self._processes.append(process)

    def add(self, batches: int, images: int, series: int) -> list[int]:
        """Make batches due now, each of so many images; returns their ids."""
        with self.ledger.write() as unit:
            if not self._number:
                association = {"id": "a", "calling_ae_title": "CT", "called_ae_title": "NODE",
                               "address": "127.0.0.1", "intake": "here",
                               "opened_at": unit.at}  # fmt: skip
                unit.session.execute(insert(AssociationRow), association)
            ids = self._batches(unit, batches, images, series)
            unit.ring(Ring(Queue.INFER, ids[0]))
        return ids

    def _batches(self, unit: UnitOfWork, count: int, images: int, series: int) -> list[int]:
        first = self._number + 1
        self._number += count
        numbers = range(first, self._number + 1)
        uid = {number: f"1.2.{first + (number - first) // series}" for number in numbers}
        rows = [
            {
                "series_uid": uid[number], "arrival": first + (number - first) // series,
                "route": "ct", "model_name": "toy", "model_version": "1.0.0",
                "model_sha256": "a" * 64, "plan": {"destinations": []}, "state": "due",
                "count": images, "size": 1, "association_id": "a", "opened_at": unit.at,
                "last_item_at": unit.at, "attempts": 0, "due_at": unit.at,
            }
            for number in numbers
        ]  # fmt: skip
        instances = [
            {
                "sop_instance_uid": f"1.3.{number}.{image}", "sop_class_uid": "1.2.3",
                "transfer_syntax_uid": "1.2.840.10008.1.2.1", "sha256": "b" * 64, "size": 1,
                "path": "none", "association_id": "a", "received_at": unit.at,
                "state": "planned", "series_uid": uid[number],
            }
            for number in numbers
            for image in range(images)
        ]  # fmt: skip
        ids = _insert(unit, BatchRow, rows)
        found = _insert(unit, InstanceRow, instances)
        items = [
            {
                "instance_id": instance_id, "route": "ct", "batch_id": ids[place // images],
                "state": "planned", "planned_at": unit.at,
            }
            for place, instance_id in enumerate(found)
        ]  # fmt: skip
        unit.session.execute(insert(WorkItemRow), items)
        return ids

    def done(self) -> int:
        """How many batches are done."""
        with self.ledger.read() as session:
            statement = select(func.count()).where(BatchRow.state == "done")
            return int(session.execute(statement).scalar_one())

    def rate(self, count: int) -> float:
        """Batches a second over the first `count` that were done, but for the very first ones."""
        with self.ledger.read() as session:
            statement = select(BatchRow.done_at).where(BatchRow.done_at.is_not(None))
            found = session.execute(statement.order_by(BatchRow.done_at)).scalars().all()
        times = [each for each in found if each is not None][10:count]
        return (len(times) - 1) / max((times[-1] - times[0]).total_seconds(), 1e-9)

    def wait(self, count: int, why: str) -> None:
        """Wait until so many batches are done."""
        deadline = time.monotonic() + _PATIENCE
        while self.done() < count:
            dead = [each for each in self._processes if each.poll() is not None]
            if dead or time.monotonic() > deadline:
                text = self._log.read_text(encoding="utf-8", errors="replace")
                raise SystemExit(f"{why} in time; the log ends:\n{text[-2000:]}")
            time.sleep(_LOOK_SECONDS)

    def waits(self, batch_id: int) -> tuple[timedelta, timedelta]:
        """From when a batch was due until it was taken, and until it was done."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            with self.ledger.read() as session:
                row = session.get_one(BatchRow, batch_id)
                due, done = row.opened_at, row.done_at
                taken: datetime | None = session.execute(
                    select(func.min(AuditRow.at))
                    .where(AuditRow.event == AuditEvent.WORK_START.value)
                    .where(AuditRow.batch_id == batch_id)
                ).scalar_one()
            if done is not None and taken is not None:
                return taken - due, done - due
            if time.monotonic() > deadline:
                raise SystemExit("a new study was not done in time")
            time.sleep(_LOOK_SECONDS)

    def close(self) -> None:
        """Stop everything."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.ledger.engine.dispose()


def _insert(unit: UnitOfWork, table: type[BatchRow | InstanceRow], rows: list[Any]) -> list[int]:
    statement = insert(table).returning(table.id, sort_by_parameter_order=True)
    return list(unit.session.execute(statement, rows).scalars())


@contextmanager
def counted(trial: Trial) -> Iterator[list[int]]:
    """The most messages that wait in the broker meanwhile; a list of one number."""
    most = [0]
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_SECONDS):
            most[0] = max(most[0], trial.rings.waiting(Queue.INFER))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


def measure(form: str, backlog: int, folder: Path, options: argparse.Namespace) -> Row:
    """One form with one backlog."""
    with ExitStack() as stack:
        database = broker = None
        if form == CLUSTER:
            database = stack.enter_context(Postgres()).url
            broker = stack.enter_context(Redis()).url
        trial = Trial(folder, database, broker, options.pause)
        stack.callback(trial.close)
        if backlog:
            trial.add(backlog, 1, 10)
        trial.start()
        if not backlog:
            trial.add(1, 1, 1)
        trial.wait(1, "nothing was done")
        with counted(trial) as most:
            waits = []
            for _ in range(options.studies):
                time.sleep(options.between)
                (study,) = trial.add(1, STUDY, 1)
                waits.append(trial.waits(study))
            enough = min(backlog, options.batches)
            if backlog:
                trial.wait(enough, "the backlog was not done")
        taken, done = zip(*waits, strict=True)
        return Row(
            form, backlog,
            trial.rate(enough) if backlog else None,
            *_spread(taken), *_spread(done), most[0],
        )  # fmt: skip


def _spread(waits: Sequence[timedelta]) -> tuple[float, float]:
    seconds = [wait.total_seconds() * 1000 for wait in waits]
    return statistics.median(seconds), max(seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print a table."""
    options = _parser().parse_args(arguments)
    end_in_order()
    if options.quick:
        options.backlogs, options.studies, options.batches = [0, 100, 1000], 3, 100
    forms = [ONE_MACHINE]
    if Postgres.missing() is None and Redis.missing() is None:
        forms.append(CLUSTER)
    before = busy_cores()
    rows = []
    for form in forms:
        for backlog in options.backlogs:
            with tempfile.TemporaryDirectory(prefix="backlog-") as name:
                rows.append(measure(form, backlog, Path(name), options))
    table = Table(title="waits of a new study of six images", title_justify="left")
    for name in asdict(rows[0]):
        table.add_column(name.replace("_", " "), justify="left" if name == "form" else "right")
    for row in rows:
        values = asdict(row).values()
        table.add_row(*(f"{v:.1f}" if isinstance(v, float) else str(v) for v in values))
    Console().print(table)
    if options.json:
        result = {"rows": [asdict(row) for row in rows], "workers": WORKERS}
        write(options.json, report("backlog", vars(options), (before, busy_cores()), result))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backlogs", type=int, nargs="*", default=[0, 100, 10_000])
    parser.add_argument("--studies", type=int, default=10, help="new studies, one after another")
    parser.add_argument("--between", type=float, default=0.3, help="seconds between them")
    parser.add_argument("--batches", type=int, default=500, help="batches for the rate")
    parser.add_argument("--pause", type=float, default=0.02, help="seconds that a batch takes")
    parser.add_argument("--quick", action="store_true", help="a short run")
    parser.add_argument("--json", type=Path, help="also write everything to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
