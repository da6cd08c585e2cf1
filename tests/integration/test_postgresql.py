"""What only PostgreSQL can do to a ledger; `tests/unit/dicom_node/ledger` runs on it as well."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from dicom_node.errors import LedgerError
from tests.support.ledgers import Life, open_ledger
from tests.support.postgres import Postgres

pytestmark = pytest.mark.postgresql


@pytest.fixture(scope="module")
def database(postgres_server: Postgres) -> str:
    return postgres_server.create_database("ledger")


def test_many_processes_may_open_connections_and_close_them(database: str) -> None:
    for _ in range(3):
        ledger = open_ledger(database)
        with ledger.read() as session:
            assert session.execute(text("SELECT 1")).scalar_one() == 1
        ledger.engine.dispose()


def test_a_server_that_goes_away_and_comes_back_is_used_again(
    tmp_path: Path,
) -> None:
    with Postgres() as server:
        life = Life(tmp_path / "node", url=server.url)
        life.associate()
        server.stop()
        with pytest.raises(LedgerError) as caught:
            life.receive("1.2.4.1")
        assert "INSERT" not in str(caught.value)
        server.start()
        life.receive("1.2.4.1")
        assert life.planner.plan() == 1
        life.close()


@pytest.mark.parametrize(("asked", "runs"), [("off", "on"), ("on", "on"), ("remote_write",) * 2])
def test_a_commit_is_on_disk_when_it_returns_whatever_the_server_was_told(
    postgres_server: Postgres, asked: str, runs: str
) -> None:
    url = postgres_server.create_database(f"commits_{asked}")
    with open_ledger(url).engine.begin() as connection:
        connection.execute(
            text(f"ALTER DATABASE commits_{asked} SET synchronous_commit = '{asked}'")
        )
    ledger = open_ledger(url)
    with ledger.write() as unit:
        assert unit.connection.execute(text("SHOW synchronous_commit")).scalar_one() == runs
    ledger.engine.dispose()
