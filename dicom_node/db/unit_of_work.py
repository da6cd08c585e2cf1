"""A unit of work: changes and their audit events in one transaction, bells after it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, cast

from sqlalchemy import Connection, Engine, Table, insert
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from dicom_node.audit.events import AuditEvent
from dicom_node.db import revision
from dicom_node.db.faults import ledger_error
from dicom_node.db.prepared import Prepared
from dicom_node.db.tables import AuditRow
from dicom_node.outbox import Bell, Ring

LOOK_AGAIN_SECONDS: Final = 5.0
"""How long a process goes on before it asks whether the ledger is still at its migration."""

_NO_IDS: Final = dict.fromkeys(
    ("association_id", "instance_id", "work_item_id", "delivery_id", "batch_id")
)
_AUDIT: Final = Prepared(
    insert(cast(Table, AuditRow.__table__)), ["at", "event", "detail", *_NO_IDS]
)


def now() -> datetime:
    """Aware current time in UTC."""
    return datetime.now(UTC)


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
        self._rings: list[Ring] = []

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
        """Ring a bell once the transaction is committed."""
        self._rings.append(ring)

    def _finish(self) -> list[Ring]:
        if self._session is not None:
            self._session.flush()
        if self._audit:
            _AUDIT.execute(self.connection, *self._audit)
        return self._rings

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()


class Ledger:
    """The ledger of one node.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    bell : Bell
        Told about due work after a commit; a lost or failed ring loses nothing.
    clock : callable
        Tells the time of a transaction, UTC.
    look_again_seconds : float
        A transaction asks first whether somebody has migrated the ledger meanwhile, if none has
        asked for so long.
    """

    def __init__(
        self,
        engine: Engine,
        bell: Bell,
        clock: Callable[[], datetime] = now,
        *,
        look_again_seconds: float = LOOK_AGAIN_SECONDS,
    ) -> None:
        self.engine = engine
        self.bell = bell
        self.clock = clock
        self._look_again_seconds = look_again_seconds
        self._look_again_at = time.monotonic() + look_again_seconds

    @contextmanager
    def write(self) -> Iterator[UnitOfWork]:
        """Open a transaction that commits at the end of the block.

        Raises
        ------
        LedgerError
            If the database cannot be reached or answers with an operational error.
        OtherMigration
            If somebody has migrated the ledger meanwhile: this process has to end.
        """
        try:
            with self.engine.begin() as connection:
                self._require_still(connection)
                unit = UnitOfWork(connection, self.clock())
                try:
                    yield unit
                    rings = unit._finish()
                finally:
                    unit._close()
        except (OperationalError, DBAPIError) as error:
            raise ledger_error(error, self.engine) from error
        for ring in rings:
            self.bell.ring(ring)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a transaction that only reads.

        Raises
        ------
        LedgerError
            If the database cannot be reached or answers with an operational error.
        OtherMigration
            If somebody has migrated the ledger meanwhile: this process has to end.
        """
        try:
            with Session(self.engine.execution_options(read_only=True)) as session:
                self._require_still(session.connection())
                yield session
        except (OperationalError, DBAPIError) as error:
            raise ledger_error(error, self.engine) from error

    def require_still(self) -> None:
        """Ask now and then, also while nothing is to be done, whether the ledger was migrated.

        Raises
        ------
        LedgerError
            If the database cannot be reached.
        OtherMigration
            If somebody has migrated the ledger meanwhile: this process has to end.
        """
        with self.read():
            pass

    def _require_still(self, connection: Connection) -> None:
        if time.monotonic() < self._look_again_at:
            return
        revision.require_still(connection)
        self._look_again_at = time.monotonic() + self._look_again_seconds
