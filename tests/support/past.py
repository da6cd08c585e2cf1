"""A node that made results with a real engine, and copies of its ledger to do things to."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from sqlalchemy import select, update

from dicom_node.bell.outbox import SilentBell
from dicom_node.ledger import past
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.tables import InstanceRow, ResultRow
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.models import Models
from dicom_node.node import Node
from dicom_node.settings import Settings
from dicom_node.spool.spool import Spool
from tests.support.factories import ct_slice, enhanced_ct, to_bytes
from tests.support.factories.models import model_version
from tests.support.ledgers import Life
from workers.engines import Denoisers
from workers.pipeline import Pipeline
from workers.replay import Replayer, ReplayReport

STUDY, SLICES = "1.2.3", "1.2.4"
SYNTAX = "1.2.840.10008.1.2.1"


def tree(models: Path) -> dict[str, Any]:
    return {
        "destinations": [{"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1"}],
        "routes": [
            {"name": "ct", "when": {"Modality": "CT"}, "model": "toy-ct@1.0.0", "strength": 0.8,
             "destinations": ["pacs"]},
        ],
        "models": {"path": str(models), "unsigned": "accept"},
        "workers": {"engine": "openvino", "threads": 1},
    }  # fmt: skip


@dataclass
class Past:
    """A node that made results, and a copy of its ledger and models to do things to."""

    node: Node
    models: Path
    folder: Path

    def replay(self, uid: str = STUDY) -> list[ReplayReport]:
        with self.node.ledger.read() as session:
            wanted = past.named(session, uid)
        with Replayer(self.node) as replayer:
            return list(replayer.replay(wanted, "tester@here"))

    def change(self, row: Any, **values: Any) -> None:
        with self.node.ledger.write() as unit:
            unit.session.execute(update(row).values(**values))

    def rows(self, *columns: Any) -> list[Any]:
        with self.node.ledger.read() as session:
            return [tuple(row) for row in session.execute(select(*columns))]

    def engine(self, **changes: str | None) -> None:
        """Let the ledger say something else of the engines of then."""
        (first, *_) = self.rows(ResultRow.engine)
        said = {key: value for key, value in (first[0] | changes).items() if value is not None}
        self.change(ResultRow, engine=said)


def made_in(folder: Path) -> Life:
    """Four slices and an enhanced CT of three frames, denoised by a real engine."""
    model_version(folder / "models")
    life = Life(folder / "node", tree=tree(folder / "models"))
    life.models = Models.open(life.settings, life.ledger)  # type: ignore[assignment]
    life.planner = life.another_planner()
    life.associate()
    objects = [
        ct_slice(seed=number, StudyInstanceUID=STUDY, SeriesInstanceUID=SLICES,
                 SOPInstanceUID=f"{SLICES}.{number}", InstanceNumber=number)
        for number in range(1, 5)
    ]  # fmt: skip
    objects.append(
        enhanced_ct(size=(64, 64), StudyInstanceUID=STUDY, SeriesInstanceUID="1.2.5",
                    SOPInstanceUID="1.2.5.1")
    )  # fmt: skip
    for number, each in enumerate(objects):
        receive(life, each, number)
    while life.planner.plan():
        pass
    life.clock.advance(10)
    life.planner.close_batches()
    node = life.node()
    pipeline = Pipeline(node, Denoisers(node.models, life.settings.workers))
    for batch_id in life.due_batches():
        pipeline.run(batch_id)
    return life


def receive(life: Life, dataset: Dataset, number: int) -> None:
    data = to_bytes(dataset)
    uid = str(dataset.SOPInstanceUID)
    life.receive(uid, data=data, version=number)
    offset = 144 + int.from_bytes(data[140:144], "little")
    sha256 = hashlib.sha256(SYNTAX.encode() + b"\0" + data[offset:]).hexdigest()
    with life.ledger.write() as unit:
        unit.session.execute(
            update(InstanceRow).where(InstanceRow.sop_instance_uid == uid).values(sha256=sha256)
        )


def copy_of(made: Life, folder: Path) -> Past:
    """The same spool, with a ledger and models of one's own."""
    shutil.copytree(made.folder.parent / "models", folder / "models")
    source = sqlite3.connect(made.folder / "ledger.sqlite")
    copy = sqlite3.connect(folder / "ledger.sqlite")
    source.backup(copy)
    source.close()
    copy.close()
    return Past(opened(folder, made.spool), folder / "models", folder)


def opened(folder: Path, spool: Spool, more: Mapping[str, Any] | None = None) -> Node:
    """The node on a ledger and models in `folder`."""
    url = f"sqlite:///{folder / 'ledger.sqlite'}"
    settings = Settings(
        storage={"path": folder}, database={"url": url},
        **(tree(folder / "models") | dict(more or {})),
    )  # fmt: skip
    ledger = Ledger(make_engine(url), SilentBell())
    return Node(settings, ledger, spool, Models.open(settings, ledger))
