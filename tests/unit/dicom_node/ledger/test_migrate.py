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

from dicom_node.errors import LedgerError
from dicom_node.ledger import alias_moves, migrate, revision
from dicom_node.ledger.tables import Base, BatchRow, InstanceRow, ParcelRow
from model_store.ref import ModelName
from tests.support.ledgers import Life

GONE = ("ring_at", "rings")
"""Columns of rings: since 0006 what is due is found by its turn."""


OLDER = sorted(
    path.name[:4]
    for path in (files("dicom_node.ledger") / "migrations" / "versions").iterdir()
    if path.name[:4].isdigit()
)[:-1]


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
    configuration.set_main_option("script_location", str(files("dicom_node.ledger") / "migrations"))
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
    new = {"model_version", "alias_move", "certificate", "shadow_measure", "spool", "process"}
    assert set(after) - set(before) == new
    for name, rows in before.items():
        kept = [{key: each for key, each in row.items() if key not in GONE} for row in rows]
        assert [
            {key: row[key] for key in was} for row, was in zip(after[name], kept, strict=True)
        ] == kept
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    with life.ledger.write() as unit:
        alias_moves.move(
            unit, ModelName("toy", "production"), ModelName("toy", "1.1.0"),
            expected=ModelName("toy", "1.0.0"), action="promote", who="anna@pacs1", why="better",
        )  # fmt: skip
    life.deliver_all()


@pytest.mark.parametrize("old", OLDER)
def test_a_ledger_of_any_older_release_keeps_its_work_and_takes_new(life: Life, old: str) -> None:
    life.associate()
    life.receive_series(3)
    life.denoise_all()
    engine = life.ledger.engine
    go_back(engine, old)
    before = contents(engine)
    migrate.upgrade(engine)
    revision.require_current(engine)
    after = contents(engine)
    for name in ("association", "instance", "work_item", "batch", "parcel", "result", "delivery"):
        assert [row["id"] for row in after[name]] == [row["id"] for row in before[name]], name
    for name in ("instance", "result"):
        same = ("sop_instance_uid", "sha256", "path", "transfer_syntax_uid")
        assert [[row[key] for key in same] for row in after[name]] == [
            [row[key] for key in same] for row in before[name]
        ]
    life.receive_series(2, series="1.2.9")
    life.denoise_all()
    counts = {name: len(rows) for name, rows in contents(engine).items()}
    assert (counts["instance"], counts["result"]) == (5, len(before["result"]) // 3 * 5)


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


def test_series_of_an_older_ledger_are_in_the_order_in_which_they_arrived(life: Life) -> None:
    life.associate()
    for series in ("1.2.9", "1.2.8", "1.2.9"):
        count = len(life.rows(select(InstanceRow.id)))
        life.receive(f"{series}.{count}", series=series)
        life.denoise_all()
    arrivals = select(BatchRow.id, BatchRow.series_uid, BatchRow.arrival).order_by(BatchRow.id)
    of_parcels = select(ParcelRow.batch_id, ParcelRow.arrival).order_by(ParcelRow.id)
    before = life.rows(arrivals), life.rows(of_parcels)
    first = {uid: min(row.id for row in before[0] if row.series_uid == uid)
             for uid in ("1.2.9", "1.2.8")}  # fmt: skip
    assert [row.arrival for row in before[0]] == [first[row.series_uid] for row in before[0]]
    assert len({row.arrival for row in before[0]}) == 2
    go_back(life.ledger.engine, "0005")
    migrate.upgrade(life.ledger.engine)
    assert (life.rows(arrivals), life.rows(of_parcels)) == before


def test_the_tables_are_those_of_the_migrations(life: Life) -> None:
    with life.ledger.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
