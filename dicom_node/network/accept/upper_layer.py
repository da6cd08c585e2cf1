"""pynetdicom's upper layer (PS3.8 Section 9), with limits and with the inline reader."""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import structlog
from pynetdicom.dul import DULServiceProvider

from dicom_node.network.accept.inline import (
    CONNECTION_CLOSED,
    HEADER,
    INVALID_PDU,
    P_DATA_TF,
    InlineReader,
)
from dicom_node.network.accept.transport import BufferedSocket

if TYPE_CHECKING:
    from pynetdicom.association import Association

MAX_CONTROL_PDU: Final = 1024 * 1024
"""Longest PDU of another type than P-DATA-TF: 128 contexts with 60 transfer syntaxes fit."""

_LINGER_SECONDS: Final = 0.5
_REQUESTED: Final = "Evt6"
_AWAITING_REQUEST: Final = "Sta2"
_ESTABLISHED: Final = "Sta6"
_CLOSING: Final = "Sta13"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one association may cost.

    Attributes
    ----------
    max_pdu
        Maximum Length announced, in bytes; a longer P-DATA-TF PDU aborts the association.
    max_object_bytes
        Largest data set; 0 is unlimited.
    idle_timeout
        Seconds of silence between messages.
    acse_timeout
        Seconds from the connection to the association request, and for closing.
    dimse_timeout
        Seconds of silence inside a message, and for a peer to read an answer.
    """

    max_pdu: int
    max_object_bytes: int
    idle_timeout: float
    acse_timeout: float
    dimse_timeout: float


def untie(unused: DULServiceProvider) -> None:
    """Break the cycles of an upper layer that is never started."""
    unused.state_machine.dul = weakref.proxy(unused)
    cast(Any, unused)._target = None


class NodeDul(DULServiceProvider):
    """pynetdicom's upper layer, with limits, and with the inline reader once it is attached."""

    def __init__(self, association: Association, limits: Limits) -> None:
        super().__init__(association)
        self.state_machine.dul = weakref.proxy(self)
        self._limits: Final = limits
        self._closing_since: float | None = None
        self.reader: InlineReader | None = None
        self.timed_out = False
        """Whether the association ended because the peer was silent."""

    def let_go(self) -> None:
        """Drop the reader and the connection of an association that has ended; they refer back."""
        self.reader = None
        self.socket = None

    def unwanted(self) -> bool:
        """Whether this side is ending the association."""
        return self._kill_thread or self.assoc._kill or self.assoc._sent_abort

    def report(self, event: str) -> None:
        """Queue an event for the state machine."""
        self.event_queue.put(event)

    def progress(self) -> None:
        """Restart the idle timer."""
        self._idle_timer.restart()

    def wanted_elsewhere(self) -> bool:
        """Say whether this side has something to send or to end."""
        return bool(self.to_provider_queue.queue) or self.unwanted()

    def idle_timer_expired(self) -> bool:
        """Tell the association's thread that it may give up, and remember why it did."""
        expired = super().idle_timer_expired()
        if expired:
            self.timed_out = True
        return expired

    def _process_recv_primitive(self) -> bool:
        """Send what is queued, in the states that PS3.8 Section 9.2 allows it in."""
        state = self.state_machine.current_state
        if self.to_provider_queue.queue and state in (_AWAITING_REQUEST, _CLOSING):
            self.to_provider_queue.get()
            if state == _AWAITING_REQUEST:  # an abort, before there is an association
                cast(BufferedSocket, self.socket).close()
                self._nobody_asks()
            return True
        return super()._process_recv_primitive()

    def _nobody_asks(self) -> None:
        """Spare the association's thread its wait for a request; a port check sends none."""
        if self.state_machine.current_state == _AWAITING_REQUEST:
            self.to_user_queue.put(cast(Any, None))  # what `receive_pdu` returns at its timeout

    def _is_transport_event(self) -> bool:
        connection = cast(BufferedSocket, self.socket)
        state = self.state_machine.current_state
        if state == _CLOSING:
            return self._linger(connection)
        if state != _ESTABLISHED or self.reader is None:
            return super()._is_transport_event()
        if not connection.ready:
            return False
        try:
            inline = connection.fill(1)[0] == P_DATA_TF
        except OSError:
            self.report(CONNECTION_CLOSED)
            return True
        if not inline:
            return super()._is_transport_event()
        with self._association_parked():
            self.reader.run()
            self.progress()
        self.timed_out = self.timed_out or self.reader.timed_out
        return True

    def _read_pdu_data(self) -> None:
        connection = cast(BufferedSocket, self.socket)
        try:
            header = connection.fill(HEADER)
        except OSError:
            self._nobody_asks()
            self.report(CONNECTION_CLOSED)
            return
        limit = self._limits.max_pdu if header[0] == P_DATA_TF else MAX_CONTROL_PDU
        if int.from_bytes(header[2:HEADER], "big") > limit:
            log.warning("association.aborted", reason="a PDU over the maximum length")
            self._nobody_asks()
            self.report(INVALID_PDU)
            return
        super()._read_pdu_data()
        reported = self.event_queue.queue
        if reported and reported[-1] != _REQUESTED:
            self._nobody_asks()

    @contextmanager
    def _association_parked(self) -> Iterator[None]:
        """Spare the association's thread its polling while there is nothing for it."""
        self.assoc._reactor_checkpoint.clear()
        try:
            yield
        finally:
            self.assoc._reactor_checkpoint.set()

    def _linger(self, connection: BufferedSocket) -> bool:
        """Wait a little for the peer to close, so that it can still read our last PDU.

        Closing with unread bytes would reset the connection. What comes is thrown away: after an
        illegal PDU there is no telling where the next one starts.
        """
        now = time.monotonic()
        if self._closing_since is None:
            self._closing_since = now
        if now - self._closing_since > _LINGER_SECONDS:
            connection.close()
            return True
        if connection.ready:
            if not connection.drain():
                connection.close()
            return True
        return False
