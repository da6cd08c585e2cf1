from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from dicom_node.db import migrate, revision
from dicom_node.db.engine import make_engine
from dicom_node.errors import LedgerError


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return make_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")


def test_the_needed_revision_is_the_newest_migration() -> None:
    configuration = Config()
    configuration.set_main_option("script_location", str(files("dicom_node.db") / "migrations"))
    assert ScriptDirectory.from_config(configuration).get_current_head() == revision.REVISION


def test_an_empty_database_is_refused_and_an_upgraded_one_is_not(engine: Engine) -> None:
    assert revision.current(engine) is None
    with pytest.raises(LedgerError, match=r"no ledger yet.*dicom-node db upgrade"):
        revision.require_current(engine)
    migrate.upgrade(engine)
    revision.require_current(engine)
    assert revision.current(engine) == revision.REVISION


def test_a_database_of_another_release_is_refused(engine: Engine) -> None:
    migrate.upgrade(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LedgerError, match="9999"):
        revision.require_current(engine)


def test_a_database_that_cannot_be_reached_says_so(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(LedgerError, match="database answered"):
        revision.current(make_engine(f"sqlite:///{tmp_path / 'folder'}"))
