"""Ledgers in either database that a node can have."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from dicom_node.ledger.tables import Base
from tests.support.ledgers import Life


def life_in(database: str | None, folder: Path) -> Life:
    """A life that begins with an empty ledger."""
    if database is None:
        return Life(folder)
    life = Life(folder, url=database)
    names = ", ".join(table.name for table in Base.metadata.sorted_tables)
    with life.ledger.engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
    return life
