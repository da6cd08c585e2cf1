from __future__ import annotations

import fcntl
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event

from dicom_node.bell.outbox import SilentBell
from dicom_node.errors import LedgerError, OtherMigration
from dicom_node.ledger import migrate, revision
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.unit_of_work import Ledger
from tests.support.ledgers import Life


@pytest.fixture
def either_database() -> None:
    """SQLite: the lock of a migration is a file's."""


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return make_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")


def test_the_needed_revision_is_the_newest_migration() -> None:
    configuration = Config()
    configuration.set_main_option("script_location", str(files("dicom_node.ledger") / "migrations"))
    scripts = ScriptDirectory.from_config(configuration)
    assert scripts.get_current_head() == revision.REVISION
    assert {each.revision for each in scripts.walk_revisions()} == set(revision.KNOWN)


def test_an_empty_database_is_refused_and_an_upgraded_one_is_not(engine: Engine) -> None:
    assert revision.current(engine) is None
    with pytest.raises(LedgerError, match=r"no ledger yet.*dicom-node db upgrade.*mount"):
        revision.require_current(engine)
    migrate.upgrade(engine)
    revision.require_current(engine)
    assert revision.current(engine) == revision.REVISION


def stamp(engine: Engine, found: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{found}'")


def test_a_database_of_an_earlier_release_is_to_be_upgraded(engine: Engine) -> None:
    migrate.upgrade(engine)
    stamp(engine, "0003")
    with pytest.raises(OtherMigration, match=r"0003.*dicom-node db upgrade"):
        revision.require_current(engine)


@pytest.mark.parametrize("step", [revision.require_current, migrate.upgrade])
def test_a_database_of_a_newer_release_is_left_alone(
    engine: Engine, step: Callable[[Engine], None]
) -> None:
    migrate.upgrade(engine)
    stamp(engine, "9999")
    with pytest.raises(OtherMigration) as caught:
        step(engine)
    assert "9999, which this release (" in str(caught.value)
    assert "install that release, or restore the backup" in str(caught.value)
    assert "db upgrade" not in str(caught.value)
    assert revision.current(engine) == "9999"


def test_who_migrates_for_too_long_is_named(engine: Engine, tmp_path: Path) -> None:
    with (tmp_path / "ledger.sqlite.migrating").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LedgerError, match=r"this process .* has been migrating"):
            migrate.upgrade(engine, wait_seconds=0.2)
    migrate.upgrade(engine, wait_seconds=0.2)


def test_a_ledger_migrated_under_a_running_process_is_not_written(life: Life) -> None:
    ledger = Ledger(life.ledger.engine, SilentBell(), look_again_seconds=0)
    with ledger.write():
        pass
    stamp(life.ledger.engine, "9999")
    with pytest.raises(OtherMigration), ledger.write():
        pytest.fail("must not be reached")
    with pytest.raises(OtherMigration), ledger.read():
        pytest.fail("must not be reached")
    stamp(life.ledger.engine, revision.REVISION)
    ledger.require_still()


def test_a_process_does_not_ask_for_the_migration_each_time(life: Life) -> None:
    asked: list[str] = []

    @event.listens_for(life.ledger.engine, "before_cursor_execute")
    def _saw(_c: Any, _k: Any, statement: str, *_rest: Any) -> None:
        asked.append(statement)

    for _ in range(20):
        with life.ledger.write():
            pass
    assert not [statement for statement in asked if "alembic_version" in statement]


def test_a_database_that_cannot_be_reached_says_so(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(LedgerError, match="database answered"):
        revision.current(make_engine(f"sqlite:///{tmp_path / 'folder'}"))
