"""Whose turn it is: the most urgent batch, and the most urgent parcel of each destination.

Turns alternate. In one, the series that arrived last comes first, so that a new study does not wait
behind a backlog; in the next, what has been due for longest, so that nothing waits for ever. Every
question here is answered by an index of what is due, and costs the same whatever else is due.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, Final

from sqlalchemy import Select, and_, func, literal, literal_column, select
from sqlalchemy.orm import Session, aliased

from dicom_node.bell.outbox import Queue, Ring
from dicom_node.ledger.aware_date_time import AwareDateTime
from dicom_node.ledger.tables import BatchRow, ParcelRow

# Written out, or the indices that have only such rows would not be used.
_DUE: Final[Any] = literal_column("'due'")
_SENDING: Final[Any] = literal_column("'sending'")


class Turn(Enum):
    """What is most urgent."""

    NEWEST = "newest"
    """The series that arrived last; of it, what came first."""

    OLDEST = "oldest"
    """What has been due for longest."""

    @property
    def other(self) -> Turn:
        """The turn after this one."""
        return Turn.OLDEST if self is Turn.NEWEST else Turn.NEWEST


def next_batch(
    session: Session, at: datetime, turn: Turn = Turn.OLDEST, without: Collection[str] = ()
) -> int | None:
    """The most urgent due batch; None if there is none.

    Parameters
    ----------
    at : datetime
        Now.
    without : collection of str
        sha256 of model versions that this worker cannot run.
    """
    statement = _first(BatchRow, at, turn)
    if without:
        statement = statement.where(BatchRow.model_sha256.not_in(sorted(without)))
    return session.execute(statement).scalar_one_or_none()


def _first(table: type[BatchRow | ParcelRow], at: datetime, turn: Turn) -> Select[int]:
    statement = select(table.id).where(table.state == _DUE).limit(1)
    if turn is Turn.OLDEST:
        return statement.where(table.due_at <= at).order_by(table.due_at, table.id)
    # Asked like this of a value, not of the index of when things are due: all of that is due.
    is_due = func.coalesce(table.due_at, literal(at, AwareDateTime())) <= at
    return statement.where(is_due).order_by(table.arrival.desc(), table.id)


def next_parcels(
    session: Session,
    at: datetime,
    limits: Mapping[str, int],
    turn: Turn = Turn.OLDEST,
    first: int = 0,
) -> list[int]:
    """The most urgent due parcel of each destination that has room for one more.

    Parameters
    ----------
    at : datetime
        Now.
    limits : mapping of str to int
        How many parcels may be on their way to a destination at a time; others have no limit.
    first : int
        Turns the order of destinations, so that each comes first in turn.
    """
    names = _destinations(session)
    if not names:
        return []
    sending = _sending(session)
    found = []
    start = first % len(names)
    for name in names[start:] + names[:start]:
        if name in limits and sending.get(name, 0) >= limits[name]:
            continue
        parcel_id = session.execute(
            _first(ParcelRow, at, turn).where(ParcelRow.destination == name)
        ).scalar_one_or_none()
        if parcel_id is not None:
            found.append(parcel_id)
    return found


def _destinations(session: Session) -> list[str]:
    """Names of the destinations of due parcels, one step in the index for each."""
    least = select(func.min(ParcelRow.destination)).where(ParcelRow.state == _DUE)
    names = select(least.scalar_subquery().label("name")).cte("names", recursive=True)
    after = aliased(ParcelRow)
    following = (
        select(func.min(after.destination))
        .where(and_(after.state == _DUE, after.destination > names.c.name))
        .scalar_subquery()
    )
    names = names.union_all(select(following).where(names.c.name.is_not(None)))
    found = session.execute(select(names.c.name).where(names.c.name.is_not(None)))
    return list(found.scalars())


def _sending(session: Session) -> dict[str, int]:
    rows = session.execute(
        select(ParcelRow.destination, func.count())
        .where(ParcelRow.state == _SENDING)
        .group_by(ParcelRow.destination)
    )
    return {name: count for name, count in rows}


def due(session: Session, at: datetime, limits: Mapping[str, int]) -> list[Ring]:
    """What to ring for: at most one batch and one parcel that could be taken now."""
    batch_id = next_batch(session, at)
    rings = [] if batch_id is None else [Ring(Queue.INFER, batch_id)]
    return rings + [Ring(Queue.DELIVER, each) for each in next_parcels(session, at, limits)[:1]]
