"""Reception by pynetdicom's own path: the fallback, and the way of every other message."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from pynetdicom import evt
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dimse_primitives import C_STORE

from dicom_node.dicom.command_set import (
    C_STORE_RQ,
    KNOWN_COMMANDS,
    MAX_COMMAND_LENGTH,
    Command,
    MalformedCommand,
    clean_uid,
    parse_command,
)
from dicom_node.network.accept.receiver import COMMENTS, StoreReceiver

if TYPE_CHECKING:
    from pynetdicom.association import Association
    from pynetdicom.pdu_primitives import P_DATA

_INVALID: Final = "Evt19"
_COMMAND: Final = 0x01
_LAST: Final = 0x02


class AnswersOnly:
    """Of a server or an association of pynetdicom: of its own handlers it binds what answers."""

    bind: Any

    def _bind_defaults(self) -> None:
        """What only logs every PDU stays out."""
        for event in evt._INTERVENTION_EVENTS:
            self.bind(event, evt.get_default_handler(event))


class BoundedBytes(BytesIO):
    """Memory that takes any number of bytes and keeps the first `limit`.

    Attributes
    ----------
    written
        All bytes that came, kept or not.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit: Final = limit
        self.written = 0

    def write(self, data: bytes | bytearray | memoryview, /) -> int:  # type: ignore[override]
        """Keep what fits."""
        view = memoryview(data)
        room = max(self._limit - self.written, 0) if self._limit else len(view)
        self.written += len(view)
        super().write(view[:room])
        return len(view)


class GuardedDimse(DIMSEServiceProvider):
    """pynetdicom's DIMSE provider, that survives any message and bounds its memory.

    Parameters
    ----------
    assoc
        The association.
    limit
        Bytes of a data set that are kept in memory; 0 is unlimited.
    """

    def __init__(self, assoc: Association, limit: int) -> None:
        super().__init__(assoc)
        self._limit: Final = limit
        self._command: bytearray | None = bytearray()

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the fragments of one P-DATA; what is no message aborts the association."""
        if self.message is None:
            self.message = DIMSEMessage()
            self.message.data_set = BoundedBytes(self._limit)
            self._command = bytearray()
        try:
            for _, value in primitive.presentation_data_value_list or [(0, b"")]:
                self._check(value)
        except MalformedCommand:
            self.message = None
            self.dul.event_queue.put(_INVALID)
            return
        super().receive_primitive(primitive)

    def _check(self, value: bytes) -> None:
        if not value:
            raise MalformedCommand("a presentation data value without a control header")
        if not value[0] & _COMMAND:
            if self._command is not None:
                raise MalformedCommand("a data set without a command set")
            return
        if self._command is None:
            raise MalformedCommand("a command set inside a data set")
        self._command += value[1:]
        if len(self._command) > MAX_COMMAND_LENGTH:
            raise MalformedCommand("a command set without end")
        if value[0] & _LAST:
            command = parse_command(self._command)
            self._command = None
            if command.field not in KNOWN_COMMANDS or (
                command.field == C_STORE_RQ and command.message_id is None
            ):
                raise MalformedCommand("an unknown command")


def serve_store(
    assoc: Association, receiver: StoreReceiver, request: C_STORE, context_id: int
) -> None:
    """Receive the object of a C-STORE-RQ that pynetdicom has put together in memory, and answer."""
    data_set = request.DataSet
    command = Command(
        field=C_STORE_RQ,
        message_id=request.MessageID,
        has_data_set=data_set is not None,
        sop_class_uid=clean_uid(request.AffectedSOPClassUID or ""),
        sop_instance_uid=clean_uid(request.AffectedSOPInstanceUID or ""),
    )
    context = assoc._accepted_cx[context_id]
    receiver.begin(command, str(context.transfer_syntax[0]))
    if data_set is not None:
        receiver.data(data_set.getbuffer())
    status = receiver.finish()
    response = C_STORE()
    response.MessageIDBeingRespondedTo = request.MessageID
    response.AffectedSOPClassUID = command.sop_class_uid or None
    response.AffectedSOPInstanceUID = command.sop_instance_uid or None
    response.Status = status
    if status in COMMENTS:
        setattr(response, "ErrorComment", COMMENTS[status])  # noqa: B010 -- declared as None
    assoc.dimse.send_msg(response, context_id)
