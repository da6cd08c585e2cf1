"""A node with model versions of its own, aliases, and somebody whose signature it trusts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import select

from dicom_node.ledger import alias_moves, model_versions
from dicom_node.ledger.tables import WorkItemRow
from dicom_node.models import Models
from dicom_node.routing.planning import Planner
from dicom_node.spool.spool import Spool
from model_store.ref import ModelName
from model_store.trust.key import PrivateKey, generate
from model_store.trust.signature import sign
from tests.support.factories.models import convolutions, model_version
from tests.support.ledgers import Life
from tests.support.servers import free_port

ALIAS = ModelName("ct-default", "production")
OLD, NEW = ModelName("toy-ct", "1.0.0"), ModelName("toy-ct", "1.1.0")


@dataclass
class Seconds:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Site:
    """A node with two signed versions of its own, its ledger, and the time."""

    folder: Path
    store: Path
    life: Life
    key: PrivateKey
    seconds: Seconds = field(default_factory=Seconds)

    @classmethod
    def made(cls, folder: Path, spool: Spool) -> Site:
        store, keys = folder / "store", folder / "keys"
        generate("site", keys, "The site", date(2026, 1, 2))
        key = PrivateKey.read(keys / "site.key")
        for seed, name in enumerate((OLD, NEW)):
            sign(model_version(store, name.name, name.tag, network=convolutions(seed)), key)
        tree = {
            "models": {"path": str(store), "trust": keys},
            "destinations": [{"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1"}],
            "routes": [{"name": "ct", "model": str(ALIAS), "destinations": ["pacs"]}],
            "node": {"host": "127.0.0.1", "port": free_port()},
        }
        life = Life(folder / "node", shared=spool, tree=tree)
        life.associate()
        return cls(folder, store, life, key)

    def models(self, **changes: Any) -> Models:
        section = self.life.settings.models.model_copy(update=changes)
        settings = self.life.settings.model_copy(update={"models": section})
        return Models(settings, self.life.ledger, self.seconds)

    def planner(self, models: Models) -> Planner:
        return Planner(self.life.settings, self.life.ledger, self.life.spool, models)

    def move(self, target: ModelName | None, expected: ModelName | None, **values: Any) -> None:
        values = {"action": "promote", "who": "anna@pacs1", "why": "less noise"} | values
        with self.life.ledger.write() as unit:
            alias_moves.move(unit, ALIAS, target, expected=expected, **values)

    def retire(self, name: ModelName) -> None:
        with self.life.ledger.write() as unit:
            model_versions.retire(unit, name, "anna@pacs1", "blurs lesions")

    def items(self) -> list[tuple[str, str]]:
        statement = select(WorkItemRow.state, WorkItemRow.reason).order_by(WorkItemRow.id)
        return [(state, reason or "") for state, reason in self.life.rows(statement)]

    def file(self, name: ModelName) -> Path:
        return self.store / name.name / name.tag / "model.onnx"

    def spoil(self, name: ModelName) -> None:
        data = bytearray(self.file(name).read_bytes())
        data[-1] ^= 1
        self.file(name).write_bytes(data)
