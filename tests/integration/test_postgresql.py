"""The tests of the ledger, once more on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from dicom_node.errors import LedgerError
from dicom_node.ledger.tables import Base
from tests.support.ledgers import Life, open_ledger
from tests.support.postgres import Postgres
from tests.unit.dicom_node.ledger.test_batches import *  # noqa: F403
from tests.unit.dicom_node.ledger.test_batches_given_up import *  # noqa: F403
from tests.unit.dicom_node.ledger.test_batches_joining import *  # noqa: F403
from tests.unit.dicom_node.ledger.test_batches_splitting import *  # noqa: F403
from tests.unit.dicom_node.ledger.test_concurrency import *  # noqa: F403
from tests.unit.dicom_node.ledger.test_conflicts import *  # noqa: F403
from tests.unit.dicom_node.ledger.test_instances import *  # noqa: F403
from tests.unit.dicom_node.ledger.test_leases import *  # noqa: F403
from tests.unit.dicom_node.ledger.test_migrate import *  # noqa: F403
from tests.unit.dicom_node.ledger.test_model_versions import *  # noqa: F403
from tests.unit.dicom_node.ledger.test_parcels import *  # noqa: F403
from tests.unit.dicom_node.ledger.test_parcels_destinations import *  # noqa: F403
from tests.unit.dicom_node.ledger.test_proof import *  # noqa: F403
from tests.unit.dicom_node.ledger.test_recall import *  # noqa: F403
from tests.unit.dicom_node.ledger.test_shadow import *  # noqa: F403
from tests.unit.dicom_node.ledger.test_turns import *  # noqa: F403
from tests.unit.dicom_node.ledger.test_work_items import *  # noqa: F403
from tests.unit.dicom_node.upkeep.test_timekeeping import *  # noqa: F403

pytestmark = pytest.mark.postgresql


@pytest.fixture(scope="module")
def database(postgres_server: Postgres) -> str:
    return postgres_server.create_database("ledger")


@pytest.fixture
def life(database: str, tmp_path: Path) -> Iterator[Life]:
    life = Life(tmp_path / "node", url=database)
    names = ", ".join(table.name for table in Base.metadata.sorted_tables)
    with life.ledger.engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
    yield life
    life.close()


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
