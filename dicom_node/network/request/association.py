"""An association with a destination, as the sender sees it, whatever carries it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from dicom_node.dicom.command_set import Response
from dicom_node.errors import DeliveryRetry
from dicom_node.network.request.dataset import DataSet
from dicom_node.network.request.scu import rejection_words

MAX_CONTEXTS: Final = 128


class LinkFailed(DeliveryRetry):
    """There is no association with the destination, or no longer one; the message says why."""


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """A presentation context to propose (PS3.8 7.1.1.13).

    Attributes
    ----------
    context_id
        Odd, 1-255.
    abstract_syntax
        SOP class UID.
    transfer_syntaxes
        UIDs, any of which the peer may accept.
    """

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


class Link(Protocol):
    """An established association. Every call ends within the timeouts of its `Address`.

    After `LinkFailed` the association is gone and only `abort` may be called.
    """

    @property
    def results(self) -> Mapping[int, tuple[int, str]]:
        """Presentation context id -> (result 0-4, accepted transfer syntax or "")."""

    def store(
        self, context_id: int, sop_class_uid: str, sop_instance_uid: str, data: DataSet
    ) -> Response:
        """Send one C-STORE-RQ and return the response to it.

        Raises
        ------
        LinkFailed
            If no valid response came.
        StorageError
            If the data set cannot be read; nothing was sent when it failed to open, and the
            association has been aborted when it ended early.
        """

    def release(self) -> None:
        """Release the association; never fails."""

    def abort(self) -> None:
        """Abort the association and close the connection; never fails; may be repeated."""


_ABORT_REASONS: Final = {
    0: "no reason given",
    1: "unrecognized PDU",
    2: "unexpected PDU",
    4: "unrecognized PDU parameter",
    5: "unexpected PDU parameter",
    6: "invalid PDU parameter value",
}

_SERVICE_USER: Final = 0


def rejection(result: int, source: int, reason: int, *, called: str, calling: str) -> LinkFailed:
    """Return the error for an A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""
    words = rejection_words(result, source, reason, called=called, calling=calling)
    return LinkFailed(f"the destination {words}")


def aborted(source: int, reason: int) -> LinkFailed:
    """Return the error for an A-ABORT from the peer (PS3.8 Table 9-26)."""
    if source == _SERVICE_USER:
        return LinkFailed("the destination aborted the association")
    words = _ABORT_REASONS.get(reason, f"reason {reason}")
    return LinkFailed(f"the destination aborted the association: {words}")


def numbered(contexts: Sequence[tuple[str, tuple[str, ...]]]) -> tuple[ProposedContext, ...]:
    """Give ids 1, 3, 5... to (abstract syntax, transfer syntaxes) pairs, at most 128 of them."""
    if len(contexts) > MAX_CONTEXTS:
        raise ValueError(f"an association has at most {MAX_CONTEXTS} presentation contexts")
    return tuple(
        ProposedContext(2 * i + 1, abstract, to) for i, (abstract, to) in enumerate(contexts)
    )
