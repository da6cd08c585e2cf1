"""A work item on its way through a worker, stage by stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicom_node.errors import FailItem, NodeError, RetryLater
from dicom_node.ledger.batches import ClaimedItem
from dicom_node.places import place_of
from workers.load import Source

Pixels = NDArray[np.float32]


class ItemFault(RetryLater):
    """Nobody thought of what an item raised; it is tried again until its tries are used up."""


@dataclass(frozen=True, slots=True)
class EndedItem:
    """An item that ends here, without a result."""

    item: ClaimedItem
    error: NodeError

    @property
    def reason(self) -> str:
        """The message for the ledger, alike for all items that end alike: without the UID.

        The ledger has it beside the reason.
        """
        uid = self.item.sop_instance_uid
        return str(self.error).removeprefix(f"{uid}: ").removeprefix(f"{uid} ")


@dataclass(frozen=True, slots=True)
class LoadedItem:
    """An item after the first stage."""

    item: ClaimedItem
    source: Source


@dataclass(frozen=True, slots=True)
class InferredItem:
    """An item after the second stage."""

    item: ClaimedItem
    source: Source
    pixels: Sequence[Pixels]
    seconds: float


def at_fault(item: ClaimedItem, error: BaseException, most_tries: int) -> EndedItem:
    """How an item ends that raised what nobody thought of: another try, or a person.

    Parameters
    ----------
    most_tries : int
        Tries, this one counted, after which it fails.
    """
    if item.tries < most_tries:
        return EndedItem(item, ItemFault(f"try {item.tries} ended with {place_of(error)}"))
    tries = "1 try" if item.tries == 1 else f"{item.tries} tries"
    return EndedItem(
        item,
        FailItem(
            f"given up after {tries}: {place_of(error)}; this is a fault of the node: report that "
            "line; 'dicom-node study retry' tries it again"
        ),
    )
