"""What shadow versions did with live images, beside the versions that delivered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from dicom_node.ledger.tables import ShadowMeasureRow
from dicom_node.ledger.unit_of_work import UnitOfWork
from model_store.registry.records import Measure


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Two versions that ran beside each other under one label, and when last."""

    production: str
    shadow: str
    images: int
    last: datetime


_COLUMNS = [getattr(ShadowMeasureRow, field.name) for field in fields(Measure)]


def record(unit: UnitOfWork, measures: Sequence[Measure]) -> None:
    """Add rows, one for each measure."""
    if measures:
        unit.session.execute(
            insert(ShadowMeasureRow), [{"at": unit.at, **asdict(each)} for each in measures]
        )


def measures(
    session: Session, alias: str, production: str, shadow: str, *, since: datetime | None = None
) -> list[Measure]:
    """What was measured of two versions under a label, in order; from `since` on if given."""
    statement = (
        select(*_COLUMNS)
        .where(ShadowMeasureRow.production == production, ShadowMeasureRow.shadow == shadow)
        .where(ShadowMeasureRow.alias == alias)
        .order_by(ShadowMeasureRow.id)
    )
    if since is not None:
        statement = statement.where(ShadowMeasureRow.at >= since)
    return [Measure(**row) for row in session.execute(statement).mappings()]


def pairs(session: Session, alias: str) -> list[SideBySide]:
    """The pairs of versions that ran beside each other under a label, the latest first."""
    last = func.max(ShadowMeasureRow.at)
    statement = (
        select(ShadowMeasureRow.production, ShadowMeasureRow.shadow, func.count(), last)
        .where(ShadowMeasureRow.alias == alias)
        .group_by(ShadowMeasureRow.production, ShadowMeasureRow.shadow)
        .order_by(last.desc())
    )
    return [SideBySide(*row) for row in session.execute(statement)]
