"""The lease of a batch: prolonged while its worker makes progress."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

from dicom_node.db import batches
from dicom_node.db.batches import ClaimedBatch
from dicom_node.db.unit_of_work import Ledger
from dicom_node.errors import LedgerError

_RENEW_AT = 4


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
