"""What becomes of a batch that its worker could not finish: it is given back, or fails."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog

from dicom_node.domain.backoff import delay
from dicom_node.errors import FailItem
from dicom_node.ledger import batches
from dicom_node.ledger.batches import ClaimedBatch
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.settings import Settings
from workers.item import EndedItem, ItemFault

_SHORTEST_WAIT: Final = timedelta(seconds=5)
_LONGEST_WAIT: Final = timedelta(minutes=10)
_ROOM_WAIT: Final = timedelta(seconds=30)


class Returns:
    """Gives batches back.

    Parameters
    ----------
    ledger : Ledger
    settings : Settings
    """

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger = ledger
        self._give_up = timedelta(hours=settings.delivery.give_up_hours)
        self._log = structlog.get_logger("worker")

    def try_again(self, batch: ClaimedBatch, again: Sequence[EndedItem]) -> None:
        """Return a batch for those of its items that are not done."""
        outside = [each for each in again if not isinstance(each.error, ItemFault)]
        if outside:
            self.wait(batch, str(outside[0].error), at_fault=at_fault(again))
        else:
            self.give_back(batch, str(again[0].error))

    def give_back(self, batch: ClaimedBatch, why: str) -> None:
        """Return a batch in which something went wrong that nobody thought of; the try counts."""
        wait = delay(batch.attempts)
        self._log.warning(
            "batch.retry", batch=batch.batch_id, reason=why,
            seconds=round(wait.total_seconds(), 1),
        )  # fmt: skip
        with self._ledger.write() as unit:
            batches.give_back(unit, batch, after=wait, why=why)

    def wait(self, batch: ClaimedBatch, why: str, *, at_fault: Sequence[int] = ()) -> None:
        """Return a batch because something outside it is at fault.

        Half as long again as it has been there, up to a limit: a disk that is full over a weekend
        fails nothing. What stays at fault as long as a delivery may take counts as tries.
        """
        with self._ledger.write() as unit:
            age = unit.at - batch.opened_at
            wait = min(max(_SHORTEST_WAIT, age / 2), _LONGEST_WAIT)
            counted = age > self._give_up
            batches.give_back(unit, batch, after=wait, why=why, counted=counted, at_fault=at_fault)
        self._say_waits(batch, why, wait)

    def wait_for_room(self, batch: ClaimedBatch, why: str, *, at_fault: Sequence[int] = ()) -> None:
        """Return a batch because no result may be written now; that is never a try of it."""
        with self._ledger.write() as unit:
            batches.give_back(
                unit, batch, after=_ROOM_WAIT, why=why, counted=False, at_fault=at_fault
            )
        self._say_waits(batch, why, _ROOM_WAIT)

    def hand_on(self, batch: ClaimedBatch, why: str) -> None:
        """Return a batch at once because its model does not run here.

        What nobody can run for as long as a delivery may take counts as tries.
        """
        with self._ledger.write() as unit:
            counted = unit.at - batch.opened_at > self._give_up
            batches.give_back(unit, batch, after=timedelta(0), why=why, counted=counted)
        self._log.warning("batch.handed_on", batch=batch.batch_id, reason=why)

    def fail_rest(self, batch: ClaimedBatch, error: FailItem) -> None:
        """Fail what has not ended of a batch."""
        self._log.error("batch.failed", batch=batch.batch_id, reason=str(error))
        with self._ledger.write() as unit:
            batches.fail_running(unit, batch, str(error))

    def _say_waits(self, batch: ClaimedBatch, why: str, wait: timedelta) -> None:
        self._log.warning(
            "batch.waits", batch=batch.batch_id, reason=why, seconds=round(wait.total_seconds(), 1)
        )


def at_fault(again: Sequence[EndedItem]) -> list[int]:
    """Work items that are at fault themselves, of those that are tried again."""
    return [each.item.work_item_id for each in again if isinstance(each.error, ItemFault)]
