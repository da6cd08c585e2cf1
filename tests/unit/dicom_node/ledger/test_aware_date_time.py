"""Columns of the ledger that a damaged file of SQLite may hold anything in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, select, text

from dicom_node.ledger.aware_date_time import AwareDateTime

TABLE = Table("t", MetaData(), Column("id", Integer, primary_key=True), Column("at", AwareDateTime))


@pytest.mark.parametrize("stored", ["", "yesterday", "2026-13-45 00:00:00", 7, b"\xff", "2026-11"])
def test_what_is_no_time_is_now(stored: Any) -> None:
    """Due, nobody's any more, and too young to be forgotten; it stops nobody who reads the row."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        TABLE.create(connection)
        connection.execute(text("insert into t values (1, :x)"), {"x": stored})
        found = connection.execute(select(TABLE.c.at)).scalar_one()
    assert abs(datetime.now(UTC) - found) < timedelta(minutes=1)


def test_a_time_comes_back_as_it_was_and_none_as_none() -> None:
    engine, at = create_engine("sqlite://"), datetime(2026, 11, 28, 3, 0, 0, 123, UTC)
    with engine.begin() as connection:
        TABLE.create(connection)
        connection.execute(TABLE.insert(), [{"at": at}, {"at": None}])
        found = connection.execute(select(TABLE.c.at).order_by(TABLE.c.id)).scalars().all()
    assert found == [at, None]
