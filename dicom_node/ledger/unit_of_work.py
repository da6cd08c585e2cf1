"""A unit of work: changes and their audit events in one transaction, bells after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, cast

from sqlalchemy import Connection, Engine, Table, insert
from sqlalchemy.orm import Session

from dicom_node.bell.outbox import Bell, Queue, Ring
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.bounds import COMMAND, Bounds
from dicom_node.ledger.prepared import PreparedStatement
from dicom_node.ledger.tables import AuditRow
from dicom_node.ledger.transactions import LOOK_AGAIN_SECONDS, Transactions

_NO_IDS: Final = dict.fromkeys(
    ("association_id", "instance_id", "work_item_id", "delivery_id", "batch_id")
)
_AUDIT: Final = PreparedStatement(
    insert(cast(Table, AuditRow.__table__)), ["at", "event", "detail", *_NO_IDS]
)


class UnitOfWork:
    """One transaction on the ledger. Made by `Ledger.write`.

    Attributes
    ----------
    connection : sqlalchemy.Connection
        For statements on tables; without the session's bookkeeping they cost half as much.
    at : datetime
        Time of the transaction, UTC; used for every row that it writes.
    """

    def __init__(self, connection: Connection, at: datetime) -> None:
        self.connection = connection
        self.at = at
        self._session: Session | None = None
        self._audit: list[dict[str, Any]] = []
        self._rings: dict[Queue, Ring] = {}

    @property
    def session(self) -> Session:
        """Session on the connection, made when it is first asked for."""
        if self._session is None:
            self._session = Session(self.connection, expire_on_commit=False)
        return self._session

    def record(self, event: AuditEvent, detail: dict[str, Any] | None = None, **ids: Any) -> None:
        """Add an audit event; it is written with the transaction or not at all.

        `ids` are ``association_id``, ``instance_id``, ``work_item_id``, ``delivery_id`` and
        ``batch_id``; `detail` holds UIDs, statuses and settings, never patient data.
        """
        row = {"at": self.at, "event": event.value, "detail": detail, **_NO_IDS, **ids}
        self._audit.append(row)

    def ring(self, ring: Ring) -> None:
        """Ring a bell once the transaction is committed; one ring a queue is enough."""
        self._rings.setdefault(ring.queue, ring)

    def _finish(self) -> list[Ring]:
        if self._session is not None:
            self._session.flush()
        if self._audit:
            _AUDIT.execute(self.connection, *self._audit)
        return list(self._rings.values())

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()


class Reading(Session):
    """A session of a transaction that only reads.

    Attributes
    ----------
    at : datetime
        The ledger's time when it began, UTC; what is due or has run out is so by this.
    """

    def __init__(self, connection: Connection, at: datetime) -> None:
        super().__init__(connection)
        self.at = at


class Ledger:
    """The ledger of one node.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    bell : Bell
        Told about due work after a commit; a lost or failed ring loses nothing.
    clock : callable, optional
        Tells the time of a transaction, UTC; absent, it is the database's own.
    bounds : Bounds
        How long a transaction may take.
    look_again_seconds : float
        How often it is asked whether somebody has migrated or replaced the ledger meanwhile.
    """

    def __init__(
        self,
        engine: Engine,
        bell: Bell,
        clock: Callable[[], datetime] | None = None,
        *,
        bounds: Bounds = COMMAND,
        look_again_seconds: float = LOOK_AGAIN_SECONDS,
    ) -> None:
        self.engine = engine
        self.bell = bell
        self._transactions = Transactions(engine, bounds, clock, look_again_seconds)

    @contextmanager
    def write(self) -> Iterator[UnitOfWork]:
        """Open a transaction that commits at the end of the block.

        It holds the write lock of a ledger in SQLite: nothing but its statements belongs into it.

        Raises
        ------
        LedgerError
            If the database cannot be reached in time, or answers with an error.
        CommitInDoubt
            If it did not say whether it has committed.
        OtherLedger
            If somebody has migrated or replaced the ledger meanwhile: this process has to end.
        """
        with self._transactions.open() as (connection, at):
            unit = UnitOfWork(connection, at)
            try:
                yield unit
                rings = unit._finish()
            finally:
                unit._close()
        for ring in rings:
            self.bell.ring(ring)

    @contextmanager
    def read(self) -> Iterator[Reading]:
        """Open a transaction that only reads.

        While it is open, SQLite cannot shorten its log: read, end it, then render.

        Raises
        ------
        LedgerError
            If the database cannot be reached in time, or answers with an error.
        OtherLedger
            If somebody has migrated or replaced the ledger meanwhile: this process has to end.
        """
        with (
            self._transactions.open(read_only=True) as (connection, at),
            Reading(connection, at) as session,
        ):
            yield session

    def clock(self) -> datetime:
        """The ledger's time now, UTC, asked for on its own; a transaction has its `at`.

        Raises
        ------
        LedgerError
            If the database cannot be reached.
        """
        with self.read() as session:
            return session.at

    def require_still(self) -> None:
        """Ask now and then, also while nothing is to be done, whether the ledger was migrated.

        Raises
        ------
        LedgerError
            If the database cannot be reached.
        OtherLedger
            If somebody has migrated or replaced the ledger meanwhile: this process has to end.
        """
        with self.read():
            pass
