"""Columns that hold JSON, as both databases give them back."""

from __future__ import annotations

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, select, text

from dicom_node.ledger.document import DamagedDocument, Document, is_whole

TABLE = Table(
    "t",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("must", Document),
    Column("may", Document(optional=True)),
)


@pytest.mark.parametrize(
    ("stored", "must", "may"),
    [
        ('{"a": 1}', {"a": 1}, {"a": 1}),
        ("[1]", [1], [1]),
        ("null", DamagedDocument(), None),
        ("7", DamagedDocument(), DamagedDocument()),
        ('{"a"', DamagedDocument(), DamagedDocument()),
        ("", DamagedDocument(), DamagedDocument()),
    ],
)
def test_what_is_no_document_is_told_from_what_has_none(
    stored: str, must: object, may: object
) -> None:
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        TABLE.create(connection)
        connection.execute(text("insert into t values (1, :x, :x)"), {"x": stored})
        found = connection.execute(select(TABLE)).one()
    for got, wanted in ((found.must, must), (found.may, may)):
        assert got == wanted
        assert isinstance(got, DamagedDocument) is isinstance(wanted, DamagedDocument)


def test_nothing_comes_back_as_nothing() -> None:
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        TABLE.create(connection)
        connection.execute(TABLE.insert(), {"must": {"a": 1}, "may": None})
        found = connection.execute(select(TABLE)).one()
    assert found.may is None
    assert is_whole(found.must)
    assert not is_whole(found.may)
