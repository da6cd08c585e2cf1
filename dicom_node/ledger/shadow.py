"""What shadow versions did with live images, beside the versions that delivered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from dicom_node.ledger.tables import ShadowMeasureRow
from dicom_node.ledger.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Measure:
    """One image that a shadow version ran on, or why it could not.

    Parameters
    ----------
    batch_id, work_item_id : int
        What the image belongs to.
    route : str
    alias : str
        Label that the shadow stands beside, such as ``ct-default``.
    series_uid : str
        Series of the source.
    production, shadow : str
        ``name@version`` of what delivered, and of what did not.
    strength_production, strength_shadow : float, optional
        At which each ran; None of rows from before they were kept.
    noise_input, noise_production, noise_shadow : float, optional
        Standard deviation in flat windows, in `units`; None where the image has none.
    bias : float, optional
        Mean in these windows of the shadow's pixels minus the production's, in `units`.
    rms_difference, largest_difference : float, optional
        Between shadow and production over all pixels, in `units`.
    seconds_production, seconds_shadow : float, optional
        Time of the network for this image; None where it would not be comparable.
    units : str, optional
        ``HU`` or ``grey levels of 12 bits``.
    error : str, optional
        Why the shadow gave nothing; the measurements are then None.
    """

    batch_id: int
    work_item_id: int | None
    route: str
    alias: str
    series_uid: str
    production: str
    shadow: str
    strength_production: float | None = None
    strength_shadow: float | None = None
    noise_input: float | None = None
    noise_production: float | None = None
    noise_shadow: float | None = None
    bias: float | None = None
    rms_difference: float | None = None
    largest_difference: float | None = None
    seconds_production: float | None = None
    seconds_shadow: float | None = None
    units: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Pair:
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


def pairs(session: Session, alias: str) -> list[Pair]:
    """The pairs of versions that ran beside each other under a label, the latest first."""
    last = func.max(ShadowMeasureRow.at)
    statement = (
        select(ShadowMeasureRow.production, ShadowMeasureRow.shadow, func.count(), last)
        .where(ShadowMeasureRow.alias == alias)
        .group_by(ShadowMeasureRow.production, ShadowMeasureRow.shadow)
        .order_by(last.desc())
    )
    return [Pair(*row) for row in session.execute(statement)]
