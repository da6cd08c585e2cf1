"""The inline reader: P-DATA-TF PDUs straight from the socket's buffer to the receiver.

pynetdicom hands every PDU through two threads and three queues with sleeps of 1 ms; for C-STORE
that costs more than the work itself. While an association does nothing but store, this reader
runs in pynetdicom's DUL thread in place of its read loop. It takes P-DATA-TF PDUs only: any other
PDU is left in the buffer, any other message is given to pynetdicom's DIMSE provider, and every
fault is reported as the event that PS3.8 Section 9.2 gives it, so one state machine decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from dicom_node.dicom.command_set import (
    C_STORE_RQ,
    KNOWN_COMMANDS,
    MAX_COMMAND_LENGTH,
    Command,
    MalformedCommand,
    parse_command,
    store_response,
)
from dicom_node.dicom.pdus import command_pdus
from dicom_node.network.accept.receiver import COMMENTS, StoreReceiver
from dicom_node.network.accept.transport import BufferedSocket, PeerGone, Stalled

if TYPE_CHECKING:
    from collections.abc import Mapping

P_DATA_TF: Final = 0x04
HEADER: Final = 6
CONNECTION_CLOSED: Final = "Evt17"
INVALID_PDU: Final = "Evt19"

_COMMAND: Final = 0x01
_LAST: Final = 0x02
_PDV_HEADER: Final = 6

log = structlog.get_logger(__name__)


class IllegalPdu(ValueError):
    """A PDU or message that PS3.8 or PS3.7 does not allow here; the association is aborted."""


class MessageAssembler:
    """Puts the fragments of messages together again (PS3.8 Annex E), however they are cut.

    Parameters
    ----------
    receiver
        Takes the data sets of C-STORE-RQs.
    transfer_syntaxes
        Accepted presentation contexts: context ID to transfer syntax UID.
    send
        Sends one encoded PDU to the peer.
    hand_over
        Takes one fragment (context ID, control header and data) of any other message; returns
        whether the message is still incomplete.
    peer_max_length
        The peer's Maximum Length; 0 is unlimited.
    """

    def __init__(
        self,
        *,
        receiver: StoreReceiver,
        transfer_syntaxes: Mapping[int, str],
        send: Callable[[bytes], None],
        hand_over: Callable[[int, bytes], bool],
        peer_max_length: int,
    ) -> None:
        self._receiver: Final = receiver
        self._transfer_syntaxes: Final = transfer_syntaxes
        self._send: Final = send
        self._hand_over: Final = hand_over
        self._peer_max_length: Final = peer_max_length
        self._encoded: Final = bytearray()
        self._context_id = 0
        self._store: Command | None = None
        self._foreign = False
        self.handed_over = False
        """Set when a message was given to `hand_over`; the user of this object clears it."""

    @property
    def busy(self) -> bool:
        """In the middle of a message."""
        return bool(self._encoded) or self._store is not None or self._foreign

    def take(self, payload: memoryview) -> None:
        """Take the presentation data values of one P-DATA-TF PDU.

        Raises
        ------
        IllegalPdu
            The PDU or the message is not allowed; nothing more can be taken.
        """
        position, end = 0, len(payload)
        if end == 0:
            raise IllegalPdu("a P-DATA-TF PDU without presentation data values")
        while position < end:
            if end - position < _PDV_HEADER:
                raise IllegalPdu("a presentation data value is cut off")
            length = int.from_bytes(payload[position : position + 4], "big")
            stop = position + 4 + length
            if length < 2 or stop > end:  # noqa: PLR2004 -- context ID and control header
                raise IllegalPdu("a presentation data value has an impossible length")
            self._take_value(
                payload[position + 4], payload[position + 5], payload[position + 6 : stop]
            )
            position = stop

    def _take_value(self, context_id: int, control: int, fragment: memoryview) -> None:
        if self.busy and context_id != self._context_id:
            raise IllegalPdu("fragments of one message in two presentation contexts")
        last = bool(control & _LAST)
        if self._foreign:
            self._foreign = self._hand_over(context_id, bytes([control & 3]) + fragment)
            self.handed_over = True
        elif control & _COMMAND:
            self._take_command(context_id, fragment, last=last)
        elif self._store is not None:
            self._receiver.data(fragment)
            if last:
                self._finish(self._store)
        else:
            raise IllegalPdu("a data set without a command set")

    def _take_command(self, context_id: int, fragment: memoryview, *, last: bool) -> None:
        if self._store is not None:
            raise IllegalPdu("a command set inside a data set")
        if context_id not in self._transfer_syntaxes:
            raise IllegalPdu("a presentation context that was not accepted")
        self._context_id = context_id
        self._encoded.extend(fragment)
        if len(self._encoded) > MAX_COMMAND_LENGTH:
            raise IllegalPdu("a command set without end")
        if not last:
            return
        encoded = bytes(self._encoded)
        self._encoded.clear()
        try:
            command = parse_command(encoded)
        except MalformedCommand as error:
            raise IllegalPdu(str(error)) from error
        if command.field != C_STORE_RQ:
            if command.field not in KNOWN_COMMANDS:
                raise IllegalPdu("an unknown command")
            self.handed_over = True
            self._foreign = self._hand_over(context_id, b"\x03" + encoded)
            return
        if command.message_id is None:
            raise IllegalPdu("a C-STORE-RQ without a message ID")
        self._receiver.begin(command, self._transfer_syntaxes[context_id])
        self._store = command
        if not command.has_data_set:
            self._finish(command)

    def _finish(self, command: Command) -> None:
        status = self._receiver.finish()
        self._store = None
        response = store_response(command, status, COMMENTS.get(status, ""))
        for pdu in command_pdus(self._context_id, response, self._peer_max_length):
            self._send(pdu)


class ReaderThread(Protocol):
    """What the inline reader needs of the thread that it runs in."""

    def report(self, event: str) -> None:
        """Queue an event for the state machine."""

    def progress(self) -> None:
        """Restart the idle timer."""

    def wanted_elsewhere(self) -> bool:
        """Say whether this side has something to send or to end."""


class InlineReader:
    """Reads the P-DATA-TF PDUs of one association.

    Parameters
    ----------
    socket
        With a buffer that holds one PDU of `max_pdu` and its header.
    assembler
        Takes what the PDUs carry.
    machine
        Gets the events.
    max_pdu
        The Maximum Length that was announced to the peer; a longer PDU is illegal.
    idle_timeout, message_timeout
        Seconds of silence between messages, and inside one.
    """

    def __init__(
        self,
        socket: BufferedSocket,
        assembler: MessageAssembler,
        machine: ReaderThread,
        *,
        max_pdu: int,
        idle_timeout: float,
        message_timeout: float,
    ) -> None:
        self._socket: Final = socket
        self._assembler: Final = assembler
        self._machine: Final = machine
        self._max_pdu: Final = max_pdu
        self._idle_timeout: Final = idle_timeout
        self._message_timeout: Final = message_timeout
        self.timed_out = False
        """Whether the reader has given up on a silent peer."""

    @property
    def busy(self) -> bool:
        """In the middle of a message, its answer included."""
        return self._assembler.busy

    def run(self) -> None:
        """Read PDU after PDU, until something is due that is not P-DATA-TF.

        Returns with the next PDU, if any, untouched in the buffer; and with an event reported, if
        the connection or the peer is at fault.
        """
        try:
            while self._next():
                pass
        except Stalled:
            if not self._machine.wanted_elsewhere():
                self.timed_out = True
                self._machine.report(INVALID_PDU)
        except (PeerGone, OSError):
            self._machine.report(CONNECTION_CLOSED)
        except IllegalPdu as error:
            log.warning("association.aborted", reason=str(error))
            self._machine.report(INVALID_PDU)

    def _next(self) -> bool:
        patience = self._message_timeout if self.busy else self._idle_timeout
        header = self._socket.fill(HEADER, patience)
        if header[0] != P_DATA_TF:
            return False
        length = int.from_bytes(header[2:HEADER], "big")
        if length > self._max_pdu:
            raise IllegalPdu("a P-DATA-TF PDU over the maximum length")
        self._socket.widen()
        pdu = self._socket.fill(HEADER + length, self._message_timeout)
        self._assembler.take(pdu[HEADER:])
        self._socket.consume(HEADER + length)
        self._machine.progress()
        if self._assembler.handed_over:
            self._assembler.handed_over = False
            return False
        return not self._machine.wanted_elsewhere()
