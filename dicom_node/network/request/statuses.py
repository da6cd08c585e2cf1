"""What the node does with a C-STORE response status.

The table follows PS3.4 Table B.2-1 (Storage) and PS3.7 Annex C (general statuses and classes).
``docs/decisions/0005-sending.md`` says why each failure is retried or not.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class DeliveryOutcome(StrEnum):
    """What becomes of one delivery."""

    DELIVERED = "delivered"
    """The destination has it."""

    WARNING = "warning"
    """The destination has it, and said something that is kept beside it."""

    RETRY = "retry"
    """Not now: try again with back-off, up to the configured limit."""

    FAULT = "fault"
    """Nobody thought of what came up with this object: a try of it, and of nothing else."""

    REFUSED = "refused"
    """Never, as things are: a person has to look (dead letter)."""


class Meaning(NamedTuple):
    """Verdict on a status, and the words of the standard for it."""

    outcome: DeliveryOutcome
    words: str


_D, _W, _R, _X = (
    DeliveryOutcome.DELIVERED,
    DeliveryOutcome.WARNING,
    DeliveryOutcome.RETRY,
    DeliveryOutcome.REFUSED,
)

_TABLE: Final[tuple[tuple[int, int, Meaning], ...]] = (
    (0x0000, 0x0000, Meaning(_D, "Success")),
    (0x0001, 0x0001, Meaning(_W, "Requested optional attributes are not supported")),
    (0x0105, 0x0105, Meaning(_X, "No such attribute")),
    (0x0106, 0x0106, Meaning(_X, "Invalid attribute value")),
    (0x0107, 0x0107, Meaning(_W, "Attribute list error")),
    (0x0110, 0x0110, Meaning(_R, "Processing failure")),
    (0x0111, 0x0111, Meaning(_W, "Duplicate SOP instance: the destination has this UID already")),
    (0x0112, 0x0112, Meaning(_X, "No such SOP instance")),
    (0x0115, 0x0115, Meaning(_X, "Invalid argument value")),
    (0x0116, 0x0116, Meaning(_W, "Attribute value out of range")),
    (0x0117, 0x0117, Meaning(_X, "Invalid SOP instance")),
    (0x0118, 0x0118, Meaning(_X, "No such SOP class")),
    (0x0119, 0x0119, Meaning(_X, "Class-instance conflict")),
    (0x0120, 0x0120, Meaning(_X, "Missing attribute")),
    (0x0121, 0x0121, Meaning(_X, "Missing attribute value")),
    (0x0122, 0x0122, Meaning(_X, "Refused: SOP class not supported")),
    (0x0124, 0x0124, Meaning(_X, "Refused: not authorized")),
    (0x0210, 0x0210, Meaning(_R, "Duplicate invocation")),
    (0x0211, 0x0211, Meaning(_R, "Unrecognized operation")),
    (0x0212, 0x0212, Meaning(_R, "Mistyped argument")),
    (0x0213, 0x0213, Meaning(_R, "Resource limitation")),
    (0xA700, 0xA7FF, Meaning(_R, "Refused: out of resources")),
    (0xA900, 0xA9FF, Meaning(_X, "Error: data set does not match SOP class")),
    (0xB000, 0xB000, Meaning(_W, "Coercion of data elements")),
    (0xB006, 0xB006, Meaning(_W, "Elements discarded")),
    (0xB007, 0xB007, Meaning(_W, "Data set does not match SOP class")),
    (0xB000, 0xBFFF, Meaning(_W, "Warning that the standard does not define")),
    (0xC000, 0xCFFF, Meaning(_X, "Error: cannot understand")),
    (0xFE00, 0xFE00, Meaning(_R, "Cancelled by the destination")),
    (0xFF00, 0xFF01, Meaning(_R, "Pending, which is no answer to a C-STORE")),
)

_UNKNOWN: Final = Meaning(_R, "Failure that the standard does not define")


def meaning(status: int) -> Meaning:
    """Return what a C-STORE response status means for the delivery.

    Parameters
    ----------
    status : int
        (0000,0900) Status, 0x0000-0xFFFF.

    Returns
    -------
    Meaning
        Statuses that neither PS3.4 Table B.2-1 nor PS3.7 Annex C name are warnings when in
        0xB000-0xBFFF and otherwise failures that are retried, since nobody said they are final.
    """
    return next((what for low, high, what in _TABLE if low <= status <= high), _UNKNOWN)
