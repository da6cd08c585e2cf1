"""A unit of work: changes and their audit events in one transaction, bells after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, insert
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from dicom_node.audit.events import AuditEvent
from dicom_node.db.tables import AuditRow
from dicom_node.errors import LedgerError
from dicom_node.outbox import Bell, Ring


def now() -> datetime:
    """Aware current time in UTC."""
    return datetime.now(UTC)


class UnitOfWork:
    """One transaction on the ledger. Made by `Ledger.write`.

    Attributes
    ----------
    session : sqlalchemy.orm.Session
    at : datetime
        Time of the transaction, UTC; used for every row that it writes.
    """

    def __init__(self, session: Session, at: datetime) -> None:
        self.session = session
        self.at = at
        self._audit: list[dict[str, Any]] = []
        self._rings: list[Ring] = []

    def record(self, event: AuditEvent, detail: dict[str, Any] | None = None, **ids: Any) -> None:
        """Add an audit event; it is written with the transaction or not at all.

        `ids` are ``association_id``, ``instance_id``, ``work_item_id``, ``delivery_id`` and
        ``batch_id``; `detail` holds UIDs, statuses and settings, never patient data.
        """
        columns = ("association_id", "instance_id", "work_item_id", "delivery_id", "batch_id")
        row = {"at": self.at, "event": event.value, "detail": detail}
        self._audit.append(row | {name: ids.get(name) for name in columns})

    def ring(self, ring: Ring) -> None:
        """Ring a bell once the transaction is committed."""
        self._rings.append(ring)

    def _finish(self) -> list[Ring]:
        if self._audit:
            self.session.execute(insert(AuditRow), self._audit)
        return self._rings


class Ledger:
    """The ledger of one node.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    bell : Bell
        Told about due work after a commit; a lost or failed ring loses nothing.
    clock : callable
        Tells the time of a transaction, UTC.
    """

    def __init__(self, engine: Engine, bell: Bell, clock: Callable[[], datetime] = now) -> None:
        self.engine = engine
        self.bell = bell
        self.clock = clock

    @contextmanager
    def write(self) -> Iterator[UnitOfWork]:
        """Open a transaction that commits at the end of the block.

        Raises
        ------
        LedgerError
            If the database cannot be reached or answers with an operational error.
        """
        try:
            with Session(self.engine, expire_on_commit=False) as session, session.begin():
                unit = UnitOfWork(session, self.clock())
                yield unit
                rings = unit._finish()
        except (OperationalError, DBAPIError) as error:
            raise ledger_error(error) from error
        for ring in rings:
            self.bell.ring(ring)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a transaction that only reads.

        Raises
        ------
        LedgerError
            If the database cannot be reached or answers with an operational error.
        """
        try:
            with Session(self.engine.execution_options(read_only=True)) as session:
                yield session
        except (OperationalError, DBAPIError) as error:
            raise ledger_error(error) from error


def ledger_error(error: DBAPIError) -> LedgerError:
    """Say what the database said, without statement, parameters or credentials."""
    text = str(error.orig).splitlines()[0] if error.orig and str(error.orig) else "no answer"
    return LedgerError(f"the ledger's database answered: {text}")
