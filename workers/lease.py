"""Leases: a batch's is prolonged while its worker makes progress, any while work goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import structlog

from dicom_node.errors import LedgerError
from dicom_node.ledger import batches
from dicom_node.ledger.batches import ClaimedBatch
from dicom_node.ledger.unit_of_work import Ledger

_RENEW_AT: Final = 4
_LONGEST: Final = timedelta(minutes=30)


class Lease:
    """Keeps a claimed batch from being taken back.

    Parameters
    ----------
    ledger : Ledger
    batch : ClaimedBatch
    length : timedelta
        Time without a sign after which upkeep gives the batch to somebody else.
    """

    def __init__(self, ledger: Ledger, batch: ClaimedBatch, length: timedelta) -> None:
        self._ledger = ledger
        self._batch = batch
        self._length = length
        self._renewed = time.monotonic()
        self._lock = threading.Lock()
        self._log = structlog.get_logger("worker")

    def alive(self, _done: int = 0) -> None:
        """Give a sign; called after every piece of work, from any thread.

        Raises
        ------
        LedgerError
            The batch was taken back: what is being done now is somebody else's.
        """
        with self._lock:
            if time.monotonic() - self._renewed < self._length.total_seconds() / _RENEW_AT:
                return
            with self._ledger.write() as unit:
                if not batches.renew(unit, self._batch, self._length):
                    raise LedgerError(
                        f"batch {self._batch.batch_id} was taken back from this worker"
                    )
            self._renewed = time.monotonic()

    @contextmanager
    def kept(self, *, longest: timedelta = _LONGEST) -> Iterator[None]:
        """Keep the batch during work that gives no sign, such as building an engine.

        Parameters
        ----------
        longest : timedelta
            Work that takes longer is taken for hung: the batch is no longer kept.
        """
        until = time.monotonic() + longest.total_seconds()

        def prolong() -> bool:
            if time.monotonic() > until:
                self._log.error(
                    "lease.not_kept", batch=self._batch.batch_id,
                    why=f"no sign of the worker for {longest}",
                )  # fmt: skip
                return False
            self.alive()
            return True

        with renewed(self._length, prolong, self._log):
            yield


@contextmanager
def renewed(
    length: timedelta, prolong: Callable[[], bool], log: structlog.stdlib.BoundLogger
) -> Iterator[None]:
    """Prolong a lease from a thread of its own while the body runs.

    Parameters
    ----------
    length : timedelta
        Length of the lease; a quarter of it is between two prolongations.
    prolong : callable
        Prolongs; False ends it for good. A LedgerError is logged and tried again.
    log : logger
        Of whoever holds the lease.
    """
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(length.total_seconds() / _RENEW_AT):
            try:
                if not prolong():
                    return
            except LedgerError as error:
                log.warning("lease.not_renewed", error=str(error))

    thread = threading.Thread(target=run, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
