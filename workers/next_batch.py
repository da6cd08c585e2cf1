"""Which batch a worker takes next: the most urgent one that it can run."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from dicom_node.bell.outbox import Queue, Ring
from dicom_node.errors import LedgerError
from dicom_node.ledger import turns
from dicom_node.ledger.turns import Turn
from dicom_node.ledger.unit_of_work import Ledger
from model_store.ref import ModelRef

LEFT_OUT_SECONDS: Final = 30.0
"""Until a model version that could not be run here is tried again."""

_LOOKS: Final = 5
"""Batches that somebody else took first, before the worker waits for another ring."""


class NextBatch:
    """Looks for the next batch of one process.

    Parameters
    ----------
    ledger : Ledger
    clock : callable
        Monotonic time, seconds.
    """

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._clock = clock
        self._turn = Turn.NEWEST
        self._left_out: dict[str, float] = {}

    def find(self) -> int | None:
        """The id of the most urgent batch; None if none is due that runs here. Writes nothing.

        Raises
        ------
        LedgerError
            The ledger is away.
        """
        at = self._clock()
        self._left_out = {sha: until for sha, until in self._left_out.items() if until > at}
        with self._ledger.read() as session:
            return turns.next_batch(session, session.at, self._turn, self._left_out)

    def run(self, run: Callable[[int], bool]) -> bool:
        """Run the most urgent batch, or the next where somebody else was faster.

        Parameters
        ----------
        run : callable
            Claims and runs a batch; False if it could not be claimed.

        Returns
        -------
        bool
            False if there was none.

        Raises
        ------
        LedgerError
            The ledger is away.
        """
        for _ in range(_LOOKS):
            batch_id = self.find()
            if batch_id is None:
                return False
            if run(batch_id):
                return True
        return False

    def taken(self) -> None:
        """The batch was claimed: if more is due, ring for the next idle worker, who does so too."""
        self._turn = self._turn.other
        with suppress(LedgerError):
            with self._ledger.read() as session:
                more = turns.next_batch(session, session.at)
            if more is not None:
                self._ledger.bell.ring(Ring(Queue.INFER, more))

    def leave_out(self, model: ModelRef) -> None:
        """A model version cannot be run here now: for a while its batches are for others."""
        self._left_out[model.sha256] = self._clock() + LEFT_OUT_SECONDS
