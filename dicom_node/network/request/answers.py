"""What is sent, and what is known about it afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dicom_node.network.request.statuses import DeliveryOutcome
from dicom_node.spool.stored import StoredObject


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One stored result that is to reach a destination.

    Attributes
    ----------
    delivery_id
        Its row in the ledger.
    result
        What its row says; a file that holds something else is not sent.
    path
        Its DICOM file; only read.
    """

    delivery_id: int
    result: StoredObject
    path: Path


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one `Outgoing`.

    Attributes
    ----------
    delivery_id
        Its row in the ledger.
    outcome
        What to do next.
    status
        (0000,0900) Status of the C-STORE response; None when there was none.
    message
        Why, in plain words; UIDs at most, never patient data.
    sent_transfer_syntax
        Transfer syntax in which it was sent; None when it was not.
    seconds
        From reading the file to the answer; 0 when it was not sent.
    tried
        Whether its transfer had begun. False: the association failed before its turn, which
        says nothing about this object.
    """

    delivery_id: int
    outcome: DeliveryOutcome
    status: int | None
    message: str
    sent_transfer_syntax: str | None
    seconds: float
    tried: bool = True
