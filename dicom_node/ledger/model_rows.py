"""Rows of model versions, and of what is inserted unless it is there."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from dicom_node.ledger.tables import Base, ModelVersionRow
from dicom_node.ledger.unit_of_work import UnitOfWork
from model_store.ref import ModelName


def version_row(
    unit: UnitOfWork, name: ModelName, *, lock: bool = False, share: bool = False
) -> ModelVersionRow | None:
    """A version that is registered, as it is now; to be changed (`lock`), or to stay (`share`)."""
    statement = select(ModelVersionRow).where(
        ModelVersionRow.name == name.name, ModelVersionRow.version == name.tag
    )
    if lock or share:
        statement = statement.with_for_update(read=share)
    return unit.session.execute(
        statement.execution_options(populate_existing=True)
    ).scalar_one_or_none()


def adding(unit: UnitOfWork, row: type[Base]) -> sqlite.Insert | postgresql.Insert:
    """INSERT of a kind that can leave a row that is there already as it is."""
    if unit.connection.dialect.name == "postgresql":
        return postgresql.insert(row)
    return sqlite.insert(row)
