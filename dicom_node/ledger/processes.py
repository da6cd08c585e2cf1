"""Processes of the node as the ledger knows them: who runs where, since when, and its last sign.

A process that ends in order takes its row with it. One whose machine is gone is forgotten after a
few days; one that is known to be gone, by whoever takes back what it held.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from dicom_node.ledger.states import BatchState, ParcelState
from dicom_node.ledger.tables import AssociationRow, BatchRow, InstanceRow, ParcelRow, ProcessRow
from dicom_node.ledger.unit_of_work import Ledger, Reading, UnitOfWork
from dicom_node.process_names import process_name

WRITTEN_EVERY: Final = 10.0
"""Seconds from one time that a process writes down its last sign to the next."""

_LATE: Final = timedelta(seconds=45)
"""Several times that: the ledger may have been locked, or the machine busy."""

_FORGOTTEN: Final = timedelta(days=3)


class Role(StrEnum):
    """What a process of the node is for; ``up`` starts the others where they have one machine."""

    UP = "up"
    INTAKE = "intake"
    UPKEEP = "upkeep"
    INFER = "infer"
    DELIVER = "deliver"


_PROBE: Final = "check"


@dataclass(frozen=True, slots=True)
class Process:
    """What a process says of itself.

    Attributes
    ----------
    name : str
        `dicom_node.process_names.process_name`; it holds work under it.
    place : str
        Told apart by this from others of its role; whoever is started in its place has the same.
    """

    name: str
    role: str
    place: str
    host: str
    pid: int
    version: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """A process as it was seen last.

    Attributes
    ----------
    sign_at : datetime
        When its own loop last went round, by the ledger's clock.
    silent : bool
        Whether that was too long ago.
    in_hand : str
        What it works on, in words; empty if on nothing.
    """

    process: Process
    started_at: datetime
    sign_at: datetime
    silent: bool
    in_hand: str


def beat(unit: UnitOfWork, process: Process, age: timedelta, within: float) -> None:
    """Write down a process's last sign, which is `age` old."""
    signs = {"sign_at": unit.at - age, "within": within, "written_at": unit.at}
    there = update(ProcessRow).where(ProcessRow.name == process.name).values(**signs)
    if unit.connection.execute(there).rowcount:
        return
    unit.connection.execute(
        delete(ProcessRow).where(ProcessRow.role == process.role, ProcessRow.place == process.place)
    )
    unit.connection.execute(
        insert(ProcessRow).values(
            name=process.name, role=process.role, place=process.place, host=process.host,
            pid=process.pid, version=process.version, started_at=unit.at, **signs,
        )
    )  # fmt: skip


def over(unit: UnitOfWork, name: str) -> bool:
    """Forget a process that has ended; False if it was not there."""
    return bool(unit.connection.execute(delete(ProcessRow).where(ProcessRow.name == name)).rowcount)


def names(session: Session) -> list[str]:
    """Names of all that have left a sign."""
    return list(session.execute(select(ProcessRow.name)).scalars())


def any_forgotten(session: Reading) -> bool:
    """Whether `forget` has anything to do; for a look before a transaction that writes."""
    old = select(ProcessRow.name).where(ProcessRow.written_at < session.at - _FORGOTTEN)
    return session.execute(old.limit(1)).first() is not None


def forget(unit: UnitOfWork) -> None:
    """Forget whoever has been silent for days."""
    old = ProcessRow.written_at < unit.at - _FORGOTTEN
    unit.connection.execute(delete(ProcessRow).where(old))


def seen(session: Reading, *, role: Role | None = None, host: str | None = None) -> list[Sighting]:
    """The processes of the node, by role and place: all, or those of one role or machine.

    Whether one is silent goes by the ledger's clock alone; of its own machine more can be known.
    """
    rows = select(ProcessRow).where(ProcessRow.role != _PROBE)
    if role is not None:
        rows = rows.where(ProcessRow.role == role.value)
    if host is not None:
        rows = rows.where(ProcessRow.host == host)
    found = session.execute(rows.order_by(ProcessRow.role, ProcessRow.place)).scalars().all()
    return [
        Sighting(
            Process(row.name, row.role, row.place, row.host, row.pid, row.version),
            row.started_at,
            row.sign_at,
            _is_silent(row, session.at),
            _in_hand(session, row),
        )
        for row in found
    ]


def can_be_written(ledger: Ledger) -> bool:
    """Write a row that tells of no process, read it back and take it away again.

    Raises
    ------
    LedgerError
        It cannot be written: it is locked, its disk is full, or it is away.
    """
    name = f"{_PROBE}:{process_name()}"
    with ledger.write() as unit:
        beat(unit, Process(name, _PROBE, name, "", 0, ""), timedelta(0), 0.0)
    with ledger.read() as session:
        there = name in names(session)
    with ledger.write() as unit:
        over(unit, name)
    return there


def _is_silent(row: ProcessRow, at: datetime) -> bool:
    due = timedelta(seconds=row.within + WRITTEN_EVERY)
    return at - row.written_at > _LATE or at - row.sign_at > due


def _in_hand(session: Session, row: ProcessRow) -> str:
    batches = session.execute(
        select(BatchRow.id)
        .where(BatchRow.worker == row.name, BatchRow.state == BatchState.RUNNING.value)
        .order_by(BatchRow.id)
    ).scalars()
    parcels = session.execute(
        select(ParcelRow.id)
        .where(ParcelRow.worker == row.name, ParcelRow.state == ParcelState.SENDING.value)
        .order_by(ParcelRow.id)
    ).scalars()
    words = [f"batch {each}" for each in batches] + [f"parcel {each}" for each in parcels]
    if row.role == Role.UPKEEP:
        held = select(func.count()).where(InstanceRow.worker == row.name)
        words += _counted(session.execute(held).scalar_one(), "instance")
    if row.role == Role.INTAKE:
        still = AssociationRow.closed_at.is_(None)
        held = select(func.count()).where(AssociationRow.intake == row.place, still)
        words += _counted(session.execute(held).scalar_one(), "association")
    return ", ".join(words)


def _counted(count: int, what: str) -> list[str]:
    return [f"{count} {what}{'' if count == 1 else 's'}"] if count else []
