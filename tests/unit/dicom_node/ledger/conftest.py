"""A ledger for each test, in SQLite and once more in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.databases import life_in
from tests.support.ledgers import Life


@pytest.fixture
def life(either_database: str | None, tmp_path: Path) -> Iterator[Life]:
    life = life_in(either_database, tmp_path / "node")
    yield life
    life.close()
