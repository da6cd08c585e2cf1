"""Associations by which the node asks a destination something: C-ECHO and C-FIND."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from dicom_node.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_node.errors import RetryLater
from dicom_node.settings import DestinationSettings

_LONGEST_PROBE: Final = 5.0
_ABORT_PDU: Final = "A_ABORT_RQ"
_CONNECTED: Final = "connected"

_REJECTIONS: Final = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognized",
    (1, 7): "called AE title not recognized",
    (2, 1): "no reason given by its association service",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}
_REMEDIES: Final = {
    (1, 3): "register our AE title '{calling}' at the destination",
    (1, 7): "the destination's AE title is not '{called}'",
}
_PERMANENT: Final = 1


class Trouble(StrEnum):
    """Why a destination did not answer a question."""

    UNKNOWN_HOST = "unknown-host"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    REJECTED = "rejected"
    NO_CONTEXT = "no-context"
    ABORTED = "aborted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Line:
    """An association, and what has come in over it.

    Attributes
    ----------
    association
        A `pynetdicom.association.Association`.
    seen
        ``connected``, then the names of the PDUs received so far.
    """

    association: Any
    seen: list[str] = field(default_factory=list)

    @property
    def aborted_by_peer(self) -> bool:
        """Whether the destination sent an A-ABORT."""
        return _ABORT_PDU in self.seen

    @property
    def is_up(self) -> bool:
        """Whether the association still stands, as far as is known."""
        association = self.association
        return bool(
            association.is_established
            and association.dul.is_alive()
            and not association.acse.is_aborted()
        )

    def cut(self) -> None:
        """Abort the association, whatever state it is in."""
        # Its reading thread may wait for the rest of a PDU, and aborting would wait for that.
        transport = self.association.dul.socket
        if transport is not None and transport.socket is not None:
            with suppress(OSError):
                transport.socket.shutdown(socket.SHUT_RDWR)
        if not (self.association.is_aborted or self.association.is_released):
            self.association.abort()


class NoAnswer(RetryLater):
    """A destination did not answer; the message says why and what to do.

    Attributes
    ----------
    trouble : Trouble
        Kind of failure.
    """

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble = trouble


def rejection_words(result: int, source: int, reason: int, *, called: str, calling: str) -> str:
    """Say what an A-ASSOCIATE-RJ means and what to do about it (PS3.8 Table 9-21)."""
    kind = "permanently" if result == _PERMANENT else "for now"
    words = _REJECTIONS.get((source, reason), f"source {source}, reason {reason}")
    remedy = _REMEDIES.get((source, reason), "").format(called=called, calling=calling)
    message = f"rejected the association {kind}: {words}"
    return f"{message} ({remedy})" if remedy else message


def address_of(destination: DestinationSettings) -> str:
    """Return ``AE@host:port``, as messages name a destination."""
    return f"{destination.ae_title}@{destination.host}:{destination.port}"


@contextmanager
def associated(
    destination: DestinationSettings, calling_ae_title: str, sop_class_uid: str, seconds: float
) -> Iterator[Line]:
    """Associate with a destination for one SOP class; release at the end.

    The association's own reactor may take the response that somebody waits for, so it is parked
    from the start; pynetdicom's ``send_c_...`` let it go again when they return.

    Parameters
    ----------
    destination : DestinationSettings
    calling_ae_title : str
        Ours, unless the destination's settings name another.
    sop_class_uid : str
        The one abstract syntax to propose.
    seconds : float
        Longest wait for connecting and for each answer.

    Yields
    ------
    Line
        Established, with the SOP class accepted.

    Raises
    ------
    NoAnswer
        There is no association; the message says why in plain words.
    """
    calling = destination.calling_ae_title or calling_ae_title
    line = _associate(destination, calling, sop_class_uid, seconds)
    try:
        yield line
    finally:
        if line.is_up:
            line.association.release()
        else:
            line.cut()


def _associate(
    destination: DestinationSettings, calling: str, sop_class_uid: str, seconds: float
) -> Line:
    from pynetdicom import AE, evt  # noqa: PLC0415 -- keeps start-up light

    entity = AE(calling)
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    entity.connection_timeout = entity.acse_timeout = seconds
    entity.dimse_timeout = entity.network_timeout = seconds
    entity.add_requested_context(sop_class_uid)
    seen: list[str] = []
    started = time.monotonic()
    try:
        association = entity.associate(
            destination.host,
            destination.port,
            ae_title=destination.ae_title,
            max_pdu=destination.max_pdu,
            evt_handlers=[
                (evt.EVT_CONN_OPEN, _connected, [seen, seconds]),
                (evt.EVT_ESTABLISHED, lambda event: event.assoc._reactor_checkpoint.clear()),
                (evt.EVT_PDU_RECV, lambda event: seen.append(type(event.pdu).__name__)),
            ],
        )
    except socket.gaierror as error:
        message = f"{address_of(destination)}: the host name cannot be resolved"
        raise NoAnswer(Trouble.UNKNOWN_HOST, message) from error
    line = Line(association, seen)
    if association.is_established:
        return line
    waited = time.monotonic() - started >= seconds
    trouble, words = _why_not(line, destination, calling, waited=waited)
    if trouble is None:
        trouble, words = _probe(destination, min(seconds, _LONGEST_PROBE))
    raise NoAnswer(trouble, f"{address_of(destination)} {words}")


def _connected(event: Any, seen: list[str], seconds: float) -> None:
    seen.append(_CONNECTED)
    transport = event.assoc.dul.socket
    if transport is not None and transport.socket is not None:
        # pynetdicom's sockets block without a limit once they are connected.
        transport.socket.settimeout(seconds)
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _why_not(
    line: Line, destination: DestinationSettings, calling: str, *, waited: bool
) -> tuple[Trouble | None, str]:
    answer = line.association.acceptor.primitive
    if line.association.is_rejected and answer is not None:
        words = rejection_words(
            answer.result or 0, answer.result_source or 0, answer.diagnostic or 0,
            called=destination.ae_title, calling=calling,
        )  # fmt: skip
        return Trouble.REJECTED, words
    if line.association.rejected_contexts:
        return Trouble.NO_CONTEXT, "associates, but does not offer this service"
    if line.aborted_by_peer:
        words = f"aborted the association; its log says why (we called as {calling!r})"
        return Trouble.ABORTED, words
    if _CONNECTED not in line.seen:
        return None, ""
    if waited:
        words = "accepts the connection but does not answer in time; is this its DICOM port?"
        return Trouble.TIMEOUT, words
    words = "closed the connection without a DICOM answer; is this its DICOM port?"
    return Trouble.FAILED, words


def _probe(destination: DestinationSettings, seconds: float) -> tuple[Trouble, str]:
    """Say why no connection came about, which pynetdicom does not."""
    try:
        with socket.create_connection((destination.host, destination.port), timeout=seconds):
            return Trouble.FAILED, "could not be connected to, but now can; try again"
    except ConnectionRefusedError:
        words = "refused the connection: nothing listens there, or a firewall blocks it"
        return Trouble.REFUSED, words
    except TimeoutError:
        words = "does not answer: wrong address, switched off, or a firewall drops our packets"
        return Trouble.TIMEOUT, words
    except OSError as error:
        return Trouble.FAILED, f"cannot be reached: {error.strerror or type(error).__name__}"
