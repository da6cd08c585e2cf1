"""The tests of the ledger, once more on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from dicom_node.db.tables import Base
from tests.ledgers import Life
from tests.servers import Postgres
from tests.unit.dicom_node.db.test_batches import *  # noqa: F403
from tests.unit.dicom_node.db.test_parcels import *  # noqa: F403

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
