"""Send a batch of stored results to a destination, and say what became of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dicom_node.dicom.command_set import Response
from dicom_node.errors import EncodeError, NodeError, StorageError
from dicom_node.network.request import wire
from dicom_node.network.request.address import Address
from dicom_node.network.request.answers import Answer, Outgoing
from dicom_node.network.request.association import Link, LinkFailed
from dicom_node.network.request.dataset import DataSet, StoredDataSet
from dicom_node.network.request.negotiation import Choice, Proposal, Refusal, choose, propose
from dicom_node.network.request.statuses import DeliveryOutcome, meaning
from dicom_node.network.request.transcode import transcode
from dicom_node.places import place_of


def send(
    address: Address,
    batch: Sequence[Outgoing],
    *,
    on_answer: Callable[[Answer], None],
    on_open: Callable[[], None] = lambda: None,
) -> None:
    """C-STORE a batch over one association and report each instance as soon as it is known.

    More than one association is opened only when the batch needs more than 128 presentation
    contexts, or an object came up with a fault while it was sent. If the association fails, the
    rest of the batch is answered `DeliveryOutcome.RETRY` with the reason; ``tried`` tells the
    instance in hand from those whose turn did not come.

    Parameters
    ----------
    address : Address
        The destination.
    batch : sequence of Outgoing
        What to send, in this order. The files are only read.
    on_answer : callable
        Called exactly once for each instance, before the next is sent. What it raises ends the
        association and comes out of `send`.
    on_open : callable
        Called when an association stands, before anything is sent over it; likewise.

    Notes
    -----
    Statuses follow PS3.4 Table B.2-1 and PS3.7 Annex C, see
    `dicom_node.network.request.statuses`. Nothing is raised for what the destination does or fails
    to do; every wait ends within ``address.timeouts``.
    """
    for proposal in propose(batch):
        rest = proposal
        while rest.batch:
            left = _send_one_association(address, rest, on_open, on_answer)
            rest = replace(rest, batch=left)


@dataclass(frozen=True, slots=True)
class _AssociationEnd:
    """An association has ended: `message` says why, empty where an object was at fault."""

    message: str = ""


def _send_one_association(
    address: Address,
    proposal: Proposal,
    on_open: Callable[[], None],
    on_answer: Callable[[Answer], None],
) -> tuple[Outgoing, ...]:
    """Send what one association takes; what is left for another one."""
    try:
        link = wire.open_link(address, proposal.contexts)
    except LinkFailed as failure:
        _put_off(proposal.batch, str(failure), on_answer)
        return ()
    try:
        on_open()
        for at, outgoing in enumerate(proposal.batch):
            ended = _send_one(link, proposal, outgoing, on_answer)
            if ended is None:
                continue
            rest = proposal.batch[at + 1 :]
            if not ended.message:
                return rest
            _put_off(rest, ended.message, on_answer)
            return ()
        link.release()
    finally:
        link.abort()
    return ()


def _put_off(rest: Sequence[Outgoing], message: str, on_answer: Callable[[Answer], None]) -> None:
    for outgoing in rest:
        on_answer(
            Answer(
                outgoing.delivery_id, DeliveryOutcome.RETRY, None, message, None, 0.0, tried=False
            )
        )


def _send_one(
    link: Link, proposal: Proposal, outgoing: Outgoing, on_answer: Callable[[Answer], None]
) -> _AssociationEnd | None:
    """Send and answer one instance; say so if the association ended with it."""
    started = time.monotonic()

    def answer(
        outcome: DeliveryOutcome, message: str, status: int | None = None, sent: str = ""
    ) -> None:
        seconds = time.monotonic() - started
        on_answer(Answer(outgoing.delivery_id, outcome, status, message, sent or None, seconds))

    choices = choose(outgoing, proposal.contexts, link.results)
    if isinstance(choices, Refusal):
        answer(DeliveryOutcome.REFUSED if choices.final else DeliveryOutcome.RETRY, choices.message)
        return None
    try:
        choice, data = _prepare(outgoing, choices)
    except Exception as error:  # noqa: BLE001 -- what nobody thought of is counted as the object's
        answer(*_of(error))
        return None
    try:
        response = link.store(
            choice.context_id, outgoing.result.sop_class_uid, outgoing.result.sop_instance_uid, data
        )
    except (LinkFailed, StorageError) as failure:
        link.abort()
        answer(DeliveryOutcome.RETRY, str(failure), sent=choice.transfer_syntax_uid)
        return _AssociationEnd(str(failure))
    except Exception as error:  # noqa: BLE001 -- counted as the object's
        link.abort()
        answer(DeliveryOutcome.FAULT, place_of(error), sent=choice.transfer_syntax_uid)
        return _AssociationEnd()
    outcome, message = _judge(response)
    answer(outcome, message, response.status, choice.transfer_syntax_uid)
    return None


def _of(error: Exception) -> tuple[DeliveryOutcome, str]:
    """What becomes of an object that could not be prepared, and why."""
    if isinstance(error, StorageError):
        return DeliveryOutcome.RETRY, str(error)
    if isinstance(error, NodeError):
        return DeliveryOutcome.REFUSED, str(error)
    return DeliveryOutcome.FAULT, place_of(error)


def _prepare(outgoing: Outgoing, choices: Sequence[Choice]) -> tuple[Choice, DataSet]:
    """Return the first choice in which the instance can be written, and its bytes.

    Raises
    ------
    StorageError
        If the file cannot be read.
    WrongBytes
        If it is not the object that the ledger says it is, byte for byte.
    UnreadableObject
        If it is malformed.
    EncodeError
        If it can be written in none of the choices.
    """
    stored = StoredDataSet.at(outgoing.path, outgoing.result)
    problem: EncodeError | None = None
    for choice in choices:
        try:
            return choice, transcode(stored, choice.transfer_syntax_uid)
        except EncodeError as error:
            problem = error
    raise problem or EncodeError("the destination accepts no transfer syntax that we can write")


def _judge(response: Response) -> tuple[DeliveryOutcome, str]:
    what = meaning(response.status)
    if what.outcome is DeliveryOutcome.DELIVERED:
        return what.outcome, ""
    message = f"the destination answered 0x{response.status:04X}: {what.words}"
    if response.offending:
        tags = ", ".join(f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in response.offending)
        message += f" (offending elements: {tags})"
    return what.outcome, message
