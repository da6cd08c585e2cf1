"""A ledger in SQLite is made once, by a migration, and never where it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from dicom_node.bell.outbox import SilentBell
from dicom_node.errors import LedgerError
from dicom_node.ledger import migrate, revision
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.tables import AuditRow
from dicom_node.ledger.unit_of_work import Ledger
from tests.support.ledgers import fresh_url


def test_only_a_migration_makes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a folder?&#" / "ledger.sqlite"
    engine = make_engine(f"sqlite:///{path}")
    assert revision.current(engine) is None
    with pytest.raises(LedgerError, match="there is no ledger yet"):
        revision.require_current(engine)
    with pytest.raises(LedgerError), Ledger(engine, SilentBell()).write():
        pass
    assert not path.parent.exists()
    migrate.upgrade(engine)
    revision.require_current(engine)
    engine.dispose()


def test_while_its_folder_is_away_no_other_ledger_is_made_and_then_it_goes_on(
    tmp_path: Path,
) -> None:
    """As a file system that is unmounted for a while leaves it: an empty folder."""
    spool, away = tmp_path / "spool", tmp_path / "away"
    engine = make_engine(fresh_url(spool))
    ledger = Ledger(engine, SilentBell())
    count = select(func.count()).select_from(AuditRow)
    with ledger.read() as session:
        assert session.execute(count).scalar_one() == 0
        spool.rename(away)
        spool.mkdir()
        with pytest.raises(LedgerError), ledger.read() as another:  # the first one is in use
            another.execute(count)
    assert not list(spool.iterdir())
    spool.rmdir()
    away.rename(spool)
    with ledger.read() as one, ledger.read() as another:
        assert one.execute(count).scalar_one() == another.execute(count).scalar_one() == 0
    engine.dispose()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_ledger_in_memory_has_no_folder_and_no_file(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE x (y)"))
        assert connection.execute(text("SELECT count(*) FROM x")).scalar_one() == 0
    engine.dispose()
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_in_sqlite_is_durable_bounded_and_checked(tmp_path: Path) -> None:
    """A commit is on disk; the log does not stay as large as it once was; keys name what is."""
    engine = make_engine(fresh_url(tmp_path))
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1,
              "journal_size_limit": 64 * 2**20}  # fmt: skip
    with engine.connect() as connection:
        found = {name: connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in wanted}
    assert found == wanted
    engine.dispose()
