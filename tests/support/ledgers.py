"""A ledger under test with everything around it that is not Celery, an engine or a network."""

from __future__ import annotations

import atexit
import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import InitVar, dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

from pydicom.uid import generate_uid
from sqlalchemy import Engine, event, select

from dicom_node.bell.outbox import SilentBell
from dicom_node.dicom.uids import result_sop_instance_uid
from dicom_node.intake.intake import take_over
from dicom_node.ledger import answers, batches, instances, migrate, parcels
from dicom_node.ledger.batches import ClaimedBatch
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.instances import InstanceAnswer, InstanceEntry, NewInstance
from dicom_node.ledger.parcels import ClaimedParcel
from dicom_node.ledger.results import NewResult, record_results
from dicom_node.ledger.states import BatchState, ParcelState
from dicom_node.ledger.tables import BatchRow, ParcelRow, ResultRow
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.network.accept.ports import Caller
from dicom_node.node import Node
from dicom_node.routing.planning import Planner
from dicom_node.settings import Settings
from dicom_node.spool.spool import Spool
from dicom_node.upkeep.upkeep import Upkeep
from model_store.errors import UnknownModelError
from model_store.ref import ModelName, ModelRef
from tests.support import write_blocks
from tests.support.clock import Clock
from tests.support.factories import ct_slice, to_bytes
from tests.support.factories.received import CT, EXPLICIT, data_set_of, received

LEASE = timedelta(seconds=60)
GIVE_UP = timedelta(hours=72)
TWO_ROUTES: dict[str, Any] = {
    "destinations": [
        {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1"},
        {"name": "archive", "ae_title": "ARCHIVE", "host": "127.0.0.1"},
    ],
    "routes": [
        {
            "name": "ct",
            "when": {"Modality": "CT"},
            "model": "toy@production",
            "destinations": ["pacs", "archive"],
        },
        {"name": "soft", "when": {"Modality": "CT"}, "model": "toy@1.0.0", "strength": 0.5,
         "destinations": ["pacs"]},
    ],
    "routing": {"matches": "all"},
    "batching": {"instances": 3},
}  # fmt: skip


class FakeModels:
    """A model store without files: every version exists, aliases can be moved."""

    def __init__(self, *, units: str = "HU", modality: Sequence[str] = ("CT",)) -> None:
        self.aliases = {"production": "1.0.0"}
        self.known = {"toy"}
        self.strengths: dict[str, float] = {}
        self._stated = {"modality": tuple(modality), "input": SimpleNamespace(units=units)}

    def look_again(self) -> None:
        """Aliases are never remembered here."""

    def resolve(self, name: ModelName | str) -> Any:
        parsed = ModelName.parse(name) if isinstance(name, str) else name
        if parsed.name not in self.known:
            raise UnknownModelError(f"no model {parsed.name}")
        version = self.aliases.get(parsed.tag, parsed.tag)
        digit = version.partition(".")[0][-1]
        ref = ModelRef(parsed.name, version, digit * 64)
        strength = self.strengths.get(version, 1.0)
        return SimpleNamespace(ref=ref, manifest=SimpleNamespace(**self._stated, strength=strength))


def open_ledger(url: str, clock: Callable[[], datetime] | None = None) -> Ledger:
    """A migrated ledger at `url`; SQLite without waiting for the disk.

    A write transaction of it that does anything but its statements fails.
    """
    engine = make_engine(url)
    if engine.dialect.name == "sqlite":
        _fast(engine)
    migrate.upgrade(engine)
    write_blocks.guard(engine)
    bell = SilentBell()
    return Ledger(engine, bell) if clock is None else Ledger(engine, bell, clock=clock)


def _fast(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _entry: Any) -> None:
        connection.execute("PRAGMA synchronous = OFF")


def reversed_where_unordered(engine: Engine) -> None:
    """Have SQLite turn round what it is asked for without an order, as another database may."""
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "begin")
        def _turn(connection: Any) -> None:
            connection.exec_driver_sql("PRAGMA reverse_unordered_selects = ON")


def temporary_folder() -> Path:
    """A folder that goes away with the process."""
    folder = Path(mkdtemp(prefix="dnt-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def template() -> Path:
    """An empty ledger in SQLite, to be copied."""
    path = temporary_folder() / "template.sqlite"
    engine = open_ledger(f"sqlite:///{path}").engine
    with engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA journal_mode = DELETE")
    engine.dispose()
    return path


def fresh_url(folder: Path) -> str:
    """URL of a new SQLite ledger in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "ledger.sqlite"
    shutil.copy(template(), path)
    return f"sqlite:///{path}"


@cache
def ct_header(series: str, sop: str, study: str = "1.2.3", version: int = 0) -> bytes:
    """Bytes of a small CT slice; of each version others."""
    return to_bytes(
        ct_slice(
            size=(4, 4), StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=sop,
            AcquisitionNumber=version,
        )
    )  # fmt: skip


@dataclass
class Life:
    """The ways of one ledger: what intake, upkeep, workers and couriers do to it."""

    folder: Path
    url: str = ""
    shared: InitVar[Spool | None] = None
    tree: Mapping[str, Any] = field(default_factory=lambda: TWO_ROUTES)

    def __post_init__(self, shared: Spool | None) -> None:
        self.clock = Clock()
        # Tests do not wait for room on the disk of whoever runs them.
        storage = {"path": self.folder, "minimum_free_percent": 0, "minimum_free_megabytes": 0}
        self.settings = Settings(storage=storage, **self.tree)
        self.ledger = open_ledger(self.url or fresh_url(self.folder), self.clock)
        self.bell: SilentBell = self.ledger.bell  # type: ignore[assignment]
        self.spool = shared or Spool(self.folder)
        self.models = FakeModels()
        self.planner = self.another_planner()
        self.upkeep = self.another_upkeep()
        self.retention = self.upkeep.retention

    def another_planner(self) -> Planner:
        return Planner(self.settings, self.ledger, self.spool, self.models)  # type: ignore[arg-type]

    def another_upkeep(self) -> Upkeep:
        return Upkeep(self.settings, self.ledger, self.spool, self.planner, self.clock.machine)

    def node(self, settings: Settings | None = None) -> Node:
        """A process of the node at this ledger and this spool."""
        models: Any = self.models
        return Node(settings or self.settings, self.ledger, self.spool, models)

    def close(self) -> None:
        self.ledger.engine.dispose()
        with suppress(OSError):
            shutil.rmtree(self.folder)

    def associate(self, association_id: str = "a") -> str:
        with self.ledger.write() as unit:
            instances.open_association(
                unit, association_id=association_id, calling="CT1", called="NODE",
                address="10.0.0.1", intake="here:1",
            )  # fmt: skip
        return association_id

    def release(self, association_id: str = "a") -> None:
        with self.ledger.write() as unit:
            instances.close_association(unit, association_id, "released")

    def receive(
        self,
        sop: str,
        *,
        series: str = "1.2.4",
        association: str = "a",
        version: int = 0,
        data: bytes | None = None,
        refuse_conflicts: bool = False,
    ) -> InstanceAnswer:
        whole = ct_header(series, sop, version=version) if data is None else data
        caller = Caller(association, "CT1", "NODE", "10.0.0.1")

        def admit(new: NewInstance) -> InstanceEntry:
            with self.ledger.write() as unit:
                return instances.admit(unit, [new], refuse_conflicts=refuse_conflicts)[0]

        one = received(self.spool, sop, data_set_of(whole), caller=caller)
        return take_over(self.ledger, self.spool, one, admit)

    def receive_series(self, count: int, series: str = "1.2.4", **how: Any) -> list[str]:
        uids = [f"{series}.{number}" for number in range(1, count + 1)]
        for uid in uids:
            self.receive(uid, series=series, **how)
        return uids

    def due_batches(self) -> list[int]:
        with self.ledger.read() as session:
            return list(
                session.execute(
                    select(BatchRow.id)
                    .where(BatchRow.state == BatchState.DUE.value)
                    .where(BatchRow.due_at <= self.clock())
                    .order_by(BatchRow.id)
                ).scalars()
            )

    def due_parcels(self, destination: str | None = None) -> list[int]:
        statement = (
            select(ParcelRow.id)
            .where(ParcelRow.state == ParcelState.DUE.value, ParcelRow.due_at <= self.clock())
            .order_by(ParcelRow.id)
        )
        if destination is not None:
            statement = statement.where(ParcelRow.destination == destination)
        with self.ledger.read() as session:
            return list(session.execute(statement).scalars())

    def claim(self, batch_id: int, worker: str = "w:1") -> ClaimedBatch | None:
        with self.ledger.write() as unit:
            return batches.claim(unit, batch_id, worker, LEASE, self.settings.workers.attempts)

    def record(self, batch: ClaimedBatch, items: Sequence[Any] | None = None) -> None:
        results = [new_result(batch, item) for item in (batch.items if items is None else items)]
        with self.ledger.write() as unit:
            record_results(unit, batch, results)

    def write_results(self) -> None:
        """Give every result a file that holds an object."""
        written: dict[int, tuple[str, bytes]] = {}
        for row_id, uid in self.rows(select(ResultRow.id, ResultRow.sop_instance_uid)):
            whole = ct_header("1.2.5", uid)
            path = self.spool.result_path(uid)
            self.spool.write_atomic(path, whole)
            written[row_id] = (self.spool.name(path), whole)
        with self.ledger.write() as unit:
            for row in unit.session.execute(select(ResultRow)).scalars():
                row.path, whole = written[row.id]
                row.sha256 = hashlib.sha256(whole).hexdigest()
                row.sop_class_uid, row.transfer_syntax_uid = CT, EXPLICIT

    def finish(self, batch: ClaimedBatch) -> None:
        with self.ledger.write() as unit:
            batches.finish(unit, batch)

    def denoise_all(self) -> None:
        """Plan everything, close every batch and work all that is due."""
        while self.planner.plan():
            pass
        self.clock.advance(10)
        self.planner.close_batches()
        for batch_id in self.due_batches():
            batch = self.claim(batch_id)
            if batch is not None:
                self.record(batch)
                self.finish(batch)

    def take(self, parcel_id: int, worker: str = "d:1", limit: int = 1) -> ClaimedParcel | None:
        with self.ledger.write() as unit:
            return parcels.claim(unit, parcel_id, worker, LEASE, limit)

    def answer(
        self, parcel: ClaimedParcel, delivery_id: int, *, delivered: bool = True, status: int = 0
    ) -> None:
        with self.ledger.write() as unit:
            answers.answered(
                unit, parcel, delivery_id, delivered=delivered, status=status, message="said",
                lease=LEASE,
            )  # fmt: skip

    def postpone(self, parcel: ClaimedParcel, delivery_id: int, *, tried: bool = True) -> None:
        with self.ledger.write() as unit:
            answers.postponed(
                unit, parcel, delivery_id, tried=tried, status=None, message="no answer",
                lease=LEASE,
            )  # fmt: skip

    def end_try(self, parcel: ClaimedParcel, retry_after: float = 5.0) -> None:
        with self.ledger.write() as unit:
            parcels.finish(
                unit, parcel, retry_after=timedelta(seconds=retry_after), give_up_after=GIVE_UP
            )

    def deliver_all(self, destination: str | None = None, *, delivered: bool = True) -> None:
        """Send every due parcel (of one destination); it takes, or refuses, everything."""
        for parcel_id in self.due_parcels(destination):
            parcel = self.take(parcel_id)
            if parcel is not None:
                for each in parcel.deliveries:
                    self.answer(parcel, each.delivery_id, delivered=delivered)
                self.end_try(parcel)

    def rows(self, statement: Any) -> list[Any]:
        with self.ledger.read() as session:
            return list(session.execute(statement).all())


def new_result(batch: ClaimedBatch, item: Any) -> NewResult:
    """What a worker records for an item."""
    uid = result_sop_instance_uid(
        item.sop_instance_uid, batch.route, batch.model.sha256, batch.plan["parameters"]
    )
    return NewResult(
        item.work_item_id, uid, generate_uid(), "1.2.840.10008.5.1.4.1.1.7",
        "1.2.840.10008.1.2.1", f"results/00/{uid}.dcm", "0" * 64, 1000, {"engine": "toy"},
        dict(batch.plan["parameters"]), 0.1,
    )  # fmt: skip
