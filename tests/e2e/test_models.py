"""A node that runs takes a moved alias into use, and goes on with what it had meanwhile."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from pydicom import Dataset
from sqlalchemy import select

from dicom_node.bell.outbox import SilentBell
from dicom_node.ledger import alias_moves
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.tables import BatchRow, ModelVersionRow
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.settings import load
from model_store.ref import ModelName
from model_store.trust.key import PrivateKey, generate
from model_store.trust.signature import sign
from tests.support.factories.dicom import ct_series
from tests.support.factories.models import convolutions, model_version
from tests.support.node import RunningNode
from tests.support.pacs import FakePacs
from tests.support.scanner import send

ALIAS = ModelName("ct-default", "production")
OLD, NEW = ModelName("toy-ct", "1.0.0"), ModelName("toy-ct", "1.1.0")


def test_a_moved_alias_is_taken_into_use_without_a_restart(
    running_node: RunningNode, tmp_path: Path
) -> None:
    store, keys = tmp_path / "models", tmp_path / "keys"
    generate("site", keys, "The site", date(2026, 1, 2))
    key = PrivateKey.read(keys / "site.key")
    for seed, name in enumerate((OLD, NEW)):
        sign(model_version(store, name.name, name.tag, network=convolutions(seed)), key)
    with FakePacs() as pacs:
        running_node.configure(
            {"pacs": ("PACS", pacs.port)},
            extra=f'[models]\npath = "{store}"\ntrust = "{keys}"\n',
        )
        running_node.command("db", "upgrade")
        ledger = Ledger(make_engine(load(running_node.config).database_url), SilentBell())
        move(ledger, OLD, None, "set")
        running_node.start()
        series = ct_series(3, size=(32, 32))
        study(running_node, series[:1], tmp_path / "first")
        pacs.wait_for(1, 60.0)
        move(ledger, NEW, OLD, "promote")
        study(running_node, series[1:2], tmp_path / "second")
        pacs.wait_for(2, 60.0)
        move(ledger, OLD, NEW, "rollback")
        study(running_node, series[2:], tmp_path / "third")
        pacs.wait_for(3, 60.0)
    with ledger.read() as session:
        used = session.execute(select(BatchRow.model_version).order_by(BatchRow.id)).scalars()
        assert list(used) == ["1.0.0", "1.1.0", "1.0.0"]
        rows = session.execute(select(ModelVersionRow)).scalars()
        signed = {row.version: row.signed_by for row in rows if row.name == "toy-ct"}
    assert signed == {"1.0.0": key.id, "1.1.0": key.id}
    ledger.engine.dispose()
    assert running_node.stop() == 0


def study(node: RunningNode, slices: list[Dataset], folder: Path) -> None:
    folder.mkdir()
    assert send(slices, node.port, folder) == [0] * len(slices)


def move(
    ledger: Ledger, target: ModelName, expected: ModelName | None, action: alias_moves.Action
) -> None:
    with ledger.write() as unit:
        alias_moves.move(
            unit, ALIAS, target, expected=expected, action=action, who="anna@pacs1", why="a test"
        )
