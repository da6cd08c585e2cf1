"""A ledger with work in it goes from one release's migration to the next and keeps everything."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine, MetaData, select

from dicom_node.db import migrate, models, revision
from dicom_node.db.tables import Base, InstanceRow
from dicom_node.errors import LedgerError
from model_store.ref import ModelName
from tests.ledgers import Life


def contents(engine: Engine) -> dict[str, list[Any]]:
    """Every row of every table as the database has it, but for the migration's own."""
    found = MetaData()
    found.reflect(engine)
    with engine.connect() as connection:
        return {
            table.name: [dict(row) for row in connection.execute(select(table)).mappings()]
            for table in found.sorted_tables
            if table.name != "alembic_version"
        }


def go_back(engine: Engine, to: str) -> None:
    configuration = Config()
    configuration.set_main_option("script_location", str(files("dicom_node.db") / "migrations"))
    configuration.attributes["engine"] = engine
    command.downgrade(configuration, to)


def test_a_filled_ledger_gets_the_model_registry(life: Life) -> None:
    life.associate()
    life.receive_series(4)
    life.denoise_all()
    engine = life.ledger.engine
    go_back(engine, "0003")
    before = contents(engine)
    assert "alias_move" not in before
    assert len(before["result"]) == 8
    with pytest.raises(LedgerError, match=r"0003.*dicom-node db upgrade"):
        revision.require_current(engine)
    migrate.upgrade(engine)
    after = contents(engine)
    new = {"model_version", "alias_move", "certificate", "shadow_measure", "spool"}
    assert set(after) - set(before) == new
    for name, rows in before.items():
        assert [
            {key: row[key] for key in was} for row, was in zip(after[name], rows, strict=True)
        ] == rows
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    with life.ledger.write() as unit:
        models.move(
            unit, ModelName("toy", "production"), ModelName("toy", "1.1.0"),
            expected=ModelName("toy", "1.0.0"), action="promote", who="anna@pacs1", why="better",
        )  # fmt: skip
    life.deliver_all()


def test_of_two_instances_taken_under_one_uid_the_later_becomes_a_conflict(life: Life) -> None:
    life.associate()
    life.receive_series(2)
    engine = life.ledger.engine
    go_back(engine, "0005")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO instance (sop_instance_uid, sop_class_uid, transfer_syntax_uid, sha256, "
            "size, path, association_id, received_at, state) SELECT sop_instance_uid, "
            "sop_class_uid, transfer_syntax_uid, 'other', size, path, association_id, "
            "received_at, state FROM instance WHERE sop_instance_uid = '1.2.4.1'"
        )
    migrate.upgrade(engine)
    rows = life.rows(select(InstanceRow.sha256, InstanceRow.state).order_by(InstanceRow.id))
    assert [state for _, state in rows] == ["received", "received", "conflict"]
    assert rows[2].sha256 == "other"
