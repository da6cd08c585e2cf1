"""Opens transactions on the ledger: bounded, at the ledger's own time, on the right migration."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from dicom_node.errors import LedgerError
from dicom_node.ledger import faults, revision
from dicom_node.ledger.bounds import Bounds
from dicom_node.ledger.deadline import Deadlines, HasSocket, WatchedTransaction
from dicom_node.ledger.identity import Identity

LOOK_AGAIN_SECONDS: Final = 5.0
"""How long a process goes on before it asks whether the ledger is still at its migration."""

_SHORTEST: Final = 1.0
"""Seconds that a transaction has at least, however long its connection took."""


@dataclass(slots=True)
class _Open:
    connection: Connection
    at: datetime
    watch: WatchedTransaction | None


class Transactions:
    """The transactions of one process on one ledger.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    bounds : Bounds
        How long they may take.
    clock : callable, optional
        Tells the time, UTC. Absent, it is the database server's, which all machines share; SQLite
        is on this machine and has this machine's.
    look_again_seconds : float
        A transaction asks first whether somebody has migrated or replaced the ledger meanwhile, if
        none has asked for so long.
    """

    def __init__(
        self,
        engine: Engine,
        bounds: Bounds,
        clock: Callable[[], datetime] | None,
        look_again_seconds: float = LOOK_AGAIN_SECONDS,
    ) -> None:
        self._engine = engine
        self._bounds = bounds
        self._clock = clock
        self._reading = engine.execution_options(read_only=True)
        self._has_server = engine.dialect.name == "postgresql"
        self._deadlines = Deadlines()
        self._identity = Identity()
        self._look_again_seconds = look_again_seconds
        self._look_again_at = time.monotonic() + look_again_seconds

    @contextmanager
    def open(self, *, read_only: bool = False) -> Iterator[tuple[Connection, datetime]]:
        """Open a transaction; it is committed at the end of the block, unless it only reads.

        Yields
        ------
        Connection
        datetime
            The time of the transaction; of one that writes, once it was let to.

        Raises
        ------
        LedgerError
            The database cannot be reached in time, or answers with an error.
        CommitInDoubt
            It did not say whether it has committed.
        OtherLedger
            Somebody has migrated or replaced the ledger meanwhile: this process has to end.
        """
        opened: _Open | None = None
        committing = False
        try:
            opened = self._begin(read_only)
            yield opened.connection, opened.at
            committing = not read_only
            if committing:
                opened.connection.commit()
        except DBAPIError as error:
            late = opened is not None and opened.watch is not None and opened.watch.ended
            raise self._fault(error, late, committing) from error
        except PoolTimeout as error:
            raise faults.busy(self._bounds.lock) from error
        finally:
            if opened is not None:
                self._end(opened)

    def _begin(self, read_only: bool) -> _Open:
        """Connect and ask for the time.

        A connection that was kept may be to a server that has gone since; nothing was done on it
        yet, so another is opened.
        """
        began = time.monotonic()
        while True:
            connection = (self._reading if read_only else self._engine).connect()
            opened = _Open(connection, datetime.min, self._watch(connection, began))
            try:
                connection.begin()
                opened.at = self._now(connection)
                self._require_still(connection)
            except DBAPIError as error:
                self._end(opened)
                late = opened.watch is not None and opened.watch.ended
                if late:
                    raise self._fault(error, True, False) from error
                if not error.connection_invalidated or self._spent(began):
                    raise
            except BaseException:
                self._end(opened)
                raise
            else:
                return opened

    def _spent(self, began: float) -> bool:
        return time.monotonic() - began > self._bounds.connect

    def _watch(self, connection: Connection, began: float) -> WatchedTransaction | None:
        limit = self._bounds.transaction
        if limit is None or not self._has_server:
            return None
        until = max(began + limit, time.monotonic() + _SHORTEST)
        return self._deadlines.watch(cast(HasSocket, connection.connection), until)

    def _end(self, opened: _Open) -> None:
        """Roll back what was not committed, and let the connection go."""
        try:
            opened.connection.rollback()
        except DBAPIError:
            opened.connection.invalidate()
        finally:
            if opened.watch is not None:
                self._deadlines.over(opened.watch)
            opened.connection.close()

    def _fault(self, error: DBAPIError, late: bool, committing: bool) -> LedgerError:
        if faults.is_read_only(error):
            self._engine.dispose()
        if committing and (late or error.connection_invalidated):
            return faults.in_doubt()
        if late:
            return faults.silent(self._bounds.transaction or 0.0)
        return faults.ledger_error(error, self._engine)

    def _now(self, connection: Connection) -> datetime:
        """The time; of a server its own, which is also a sign of life."""
        if not self._has_server:
            return datetime.now(UTC) if self._clock is None else self._clock()
        told = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
        return told.astimezone(UTC) if self._clock is None else self._clock()

    def _require_still(self, connection: Connection) -> None:
        if time.monotonic() < self._look_again_at:
            return
        revision.require_still(connection)
        self._identity.require_same(connection)
        self._look_again_at = time.monotonic() + self._look_again_seconds
