"""pynetdicom's association, with the node's admission, limits and reader."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import structlog
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.acse import ACSE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import build_context

from dicom_node.errors import NodeError
from dicom_node.scp.admission import (
    APPLICATION_CONTEXT,
    CONGESTED,
    MALFORMED,
    STORE,
    Admission,
    Admitted,
    Rejected,
)
from dicom_node.scp.contexts import VERIFICATION, choose_transfer_syntax, is_storage
from dicom_node.scp.inline import (
    CONNECTION_CLOSED,
    HEADER,
    INVALID_PDU,
    P_DATA_TF,
    InlineReader,
    MessageAssembler,
)
from dicom_node.scp.ports import Caller, Intake
from dicom_node.scp.receiver import StoreReceiver
from dicom_node.scp.stock import GuardedDimse, serve_store
from dicom_node.scp.transport import BufferedSocket

if TYPE_CHECKING:
    from pynetdicom.ae import ApplicationEntity
    from pynetdicom.pdu_primitives import A_ASSOCIATE
    from pynetdicom.presentation import PresentationContext

    from dicom_node.storage import Storage

Reader = Literal["inline", "stock"]

APPLICATION_CONTEXT_NAME: Final = "1.2.840.10008.3.1.1.1"
MAX_CONTROL_PDU: Final = 1024 * 1024
"""Longest PDU of another type than P-DATA-TF: 128 contexts with 60 transfer syntaxes fit."""

_MAX_OTHER_MESSAGE: Final = 1024 * 1024
_LINGER_SECONDS: Final = 0.5
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


class Registry:
    """The associations of one server: how many, from whom, and whether new ones are wanted."""

    def __init__(self, admission: Admission) -> None:
        self._admission: Final = admission
        self._lock: Final = threading.Lock()
        self._connections: set[NodeAssociation] = set()
        self._admitted: dict[NodeAssociation, tuple[str, str]] = {}
        self.stopping = False

    @property
    def connections(self) -> tuple[NodeAssociation, ...]:
        """All that have a connection, admitted or not."""
        with self._lock:
            return tuple(self._connections)

    @property
    def admitted(self) -> int:
        """How many are admitted and not yet ended."""
        with self._lock:
            return len(self._admitted)

    def add(self, association: NodeAssociation) -> None:
        """Note a connection."""
        with self._lock:
            self._connections.add(association)

    def admit(
        self, association: NodeAssociation, calling: str, called: str, address: str
    ) -> Admitted | Rejected:
        """Decide on a request, and count it if it is admitted."""
        peer = (calling.strip(), address)
        with self._lock:
            counts = Counter(self._admitted.values())
            decision = self._admission.decide(
                calling, called, address, total=counts.total(), from_peer=counts[peer]
            )
            if isinstance(decision, Admitted):
                self._admitted[association] = peer
            return decision

    def forget(self, association: NodeAssociation) -> None:
        """Stop counting an association that was not accepted after all."""
        with self._lock:
            self._admitted.pop(association, None)

    def remove(self, association: NodeAssociation) -> None:
        """Note the end of a connection."""
        with self._lock:
            self._connections.discard(association)
            self._admitted.pop(association, None)


@dataclass(frozen=True, slots=True)
class Services:
    """What every association of a server shares."""

    registry: Registry
    intake: Intake
    storage: Storage
    limits: Limits
    reader: Reader


class NodeAcse(ACSE):
    """Association control that asks the node first."""

    def _negotiate_as_acceptor(self) -> None:
        association = cast("NodeAssociation", self.assoc)
        rejected = association.admit()
        if rejected is None:
            super()._negotiate_as_acceptor()
            return
        self.send_reject(rejected.result, rejected.source, rejected.diagnostic)
        evt.trigger(self.assoc, evt.EVT_REJECTED, {})
        self.assoc.kill()


class NodeDul(DULServiceProvider):
    """pynetdicom's upper layer, with limits, and with the inline reader once it is attached."""

    def __init__(self, association: NodeAssociation, limits: Limits) -> None:
        super().__init__(association)
        self._limits: Final = limits
        self._closing_since: float | None = None
        self.reader: InlineReader | None = None

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
        """Tell the association's thread that it may give up; it is told why it did."""
        expired = super().idle_timer_expired()
        if expired:
            cast("NodeAssociation", self.assoc).timed_out = True
        return expired

    def _process_recv_primitive(self) -> bool:
        """Send what is queued, in the states that PS3.8 Section 9.2 allows it in."""
        state = self.state_machine.current_state
        if self.to_provider_queue.queue and state in (_AWAITING_REQUEST, _CLOSING):
            self.to_provider_queue.get()
            if state == _AWAITING_REQUEST:  # an abort, before there is an association
                cast(BufferedSocket, self.socket).close()
            return True
        return super()._process_recv_primitive()

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
        if self.reader.timed_out:
            cast("NodeAssociation", self.assoc).timed_out = True
        return True

    def _read_pdu_data(self) -> None:
        connection = cast(BufferedSocket, self.socket)
        try:
            header = connection.fill(HEADER)
        except OSError:
            self.report(CONNECTION_CLOSED)
            return
        limit = self._limits.max_pdu if header[0] == P_DATA_TF else MAX_CONTROL_PDU
        if int.from_bytes(header[2:HEADER], "big") > limit:
            log.warning("association aborted", reason="a PDU over the maximum length")
            self.report(INVALID_PDU)
            return
        super()._read_pdu_data()

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


class NodeAssociation(Association):
    """One association with a peer, from the connection to the report of its end.

    Parameters
    ----------
    ae
        The application entity of the server.
    services
        What it shares with the others.
    """

    def __init__(self, ae: ApplicationEntity, services: Services) -> None:
        super().__init__(ae, MODE_ACCEPTOR)
        limits = services.limits
        self._services: Final = services
        self.acse = NodeAcse(self)
        self.dul: NodeDul = NodeDul(self, limits)
        stock_limit = limits.max_object_bytes and limits.max_object_bytes + 1
        self.dimse = GuardedDimse(
            self, stock_limit if services.reader == "stock" else _MAX_OTHER_MESSAGE
        )
        self.acse_timeout = limits.acse_timeout
        self.network_timeout = limits.idle_timeout
        self.dimse_timeout = limits.dimse_timeout
        self.bind(evt.EVT_RELEASED, self._on_released)
        self.timed_out = False
        self._caller: Caller | None = None
        self._receiver: StoreReceiver | None = None
        self._serving = False
        self._reported: Final = threading.Lock()
        services.registry.add(self)

    @property
    def busy(self) -> bool:
        """Whether a message is being received or served."""
        reader = self.dul.reader
        return (
            self._serving
            or self.dimse.message is not None
            or not self.dimse.msg_queue.empty()
            or (reader is not None and reader.busy)
        )

    def admit(self) -> Rejected | None:
        """Decide on the association request, and prepare for what it asks for."""
        request = cast("A_ASSOCIATE", self.requestor.primitive)
        calling = str(request.calling_ae_title).strip()
        called = str(request.called_ae_title).strip()
        address = cast(Any, self.requestor.address_info).address
        contexts = cast(
            "list[PresentationContext]", request.presentation_context_definition_list or []
        )
        registry = self._services.registry
        decision: Admitted | Rejected
        if request.application_context_name != APPLICATION_CONTEXT_NAME:
            decision = APPLICATION_CONTEXT
        elif any(not cx.transfer_syntax or not cx.abstract_syntax for cx in contexts):
            decision = MALFORMED
        else:
            decision = registry.admit(self, calling, called, address)
        if isinstance(decision, Admitted):
            caller = Caller(uuid.uuid4().hex, calling, called, address)
            try:
                self._services.intake.opened(caller)
            except NodeError as error:
                registry.forget(self)
                decision = Rejected(
                    CONGESTED.result, CONGESTED.source, CONGESTED.diagnostic, str(error)
                )
        if isinstance(decision, Rejected):
            log.warning(
                "association rejected",
                calling=calling,
                called=called,
                address=address,
                reason=decision.reason,
            )
            return decision
        self._caller = caller
        self._receiver = StoreReceiver(
            self._services.storage,
            self._services.intake,
            caller,
            self._services.limits.max_object_bytes,
        )
        self.acceptor.supported_contexts = _supported(contexts, store=STORE in decision.may)
        if self._services.reader == "inline":
            self.dul.reader = self._inline_reader(self._receiver)
        return None

    def run_reactor(self) -> None:
        """Run the association to its end; whatever happens, the end is reported."""
        try:
            super().run_reactor()
        finally:
            self._end()

    def _bind_defaults(self) -> None:
        """Bind what answers; what only logs every PDU stays out."""
        for event in evt._INTERVENTION_EVENTS:
            self.bind(event, evt.get_default_handler(event))

    def _serve_request(self, msg: Any, context_id: int) -> None:
        if msg.MessageIDBeingRespondedTo is None and not isinstance(msg, C_STORE | C_ECHO):
            log.warning("association aborted", reason="a request for a service not offered")
            self.abort()
            return
        is_store = isinstance(msg, C_STORE) and msg.MessageIDBeingRespondedTo is None
        if not is_store or self._receiver is None or context_id not in self._accepted_cx:
            super()._serve_request(msg, context_id)
            return
        self._serving = True
        try:
            serve_store(self, self._receiver, msg, context_id)
        finally:
            self._serving = False

    def _inline_reader(self, receiver: StoreReceiver) -> InlineReader:
        limits = self._services.limits
        connection = cast(BufferedSocket, self.dul.socket)
        return InlineReader(
            connection,
            MessageAssembler(
                receiver=receiver,
                transfer_syntaxes=_AcceptedSyntaxes(self),
                send=connection.send,
                hand_over=self._hand_over,
                peer_max_length=self.requestor.maximum_length or 0,
            ),
            self.dul,
            max_pdu=limits.max_pdu,
            idle_timeout=limits.idle_timeout,
            message_timeout=limits.dimse_timeout,
        )

    def _hand_over(self, context_id: int, value: bytes) -> bool:
        primitive = P_DATA()
        primitive.presentation_data_value_list.append((context_id, value))
        self.dimse.receive_primitive(primitive)
        return self.dimse.message is not None

    def _on_released(self, _event: evt.Event) -> None:
        """Report at once: the last batch of a series waits for it."""
        if self._receiver is not None:
            self._receiver.discard()
        self._report("released")

    def _end(self) -> None:
        self._kill = True
        self._reactor_checkpoint.set()
        self.dul.kill_dul()
        if self.dul.is_alive():
            self.dul.join()
        connection = cast("BufferedSocket | None", self.dul.socket)
        if connection is not None:
            if connection.socket is not None:
                connection._shutdown_socket()
            connection.release()
        if self._receiver is not None:
            self._receiver.discard()
        self._services.registry.remove(self)
        if self.is_released:
            self._report("released")
        elif self.timed_out:
            self._report("timeout")
        elif self._sent_abort and self._services.registry.stopping:
            self._report("shutdown")
        else:
            self._report("aborted")

    def _report(self, outcome: str) -> None:
        """Report the end once; the lock is taken and never given back."""
        if self._caller is None or not self._reported.acquire(blocking=False):
            return
        try:
            self._services.intake.closed(self._caller, outcome)
        except NodeError as error:
            log.warning(
                "end of association not recorded",
                association=self._caller.association_id,
                reason=str(error),
            )


class _AcceptedSyntaxes(dict[int, str]):
    """Transfer syntax of each accepted context, read when it is first used."""

    def __init__(self, association: Association) -> None:
        super().__init__()
        self._association: Final = association

    def __contains__(self, context_id: object) -> bool:
        return context_id in self._association._accepted_cx

    def __missing__(self, context_id: int) -> str:
        syntax = str(self._association._accepted_cx[context_id].transfer_syntax[0])
        self[context_id] = syntax
        return syntax


def _supported(proposed: list[PresentationContext], *, store: bool) -> list[PresentationContext]:
    """Say what is supported of what is proposed, and leave each proposal its one best syntax.

    pynetdicom looks a proposal up by abstract syntax and takes the acceptor's first match; with
    one transfer syntax left in each, its answer is the node's choice for that very context.
    """
    chosen: dict[str, list[str]] = {}
    for context in proposed:
        uid = str(context.abstract_syntax)
        if uid != VERIFICATION and not (store and is_storage(uid)):
            continue
        syntax = choose_transfer_syntax([str(one) for one in context.transfer_syntax])
        context.transfer_syntax = [UID(syntax)]
        syntaxes = chosen.setdefault(uid, [])
        if syntax not in syntaxes:
            syntaxes.append(syntax)
    return [build_context(uid, syntaxes) for uid, syntaxes in chosen.items()]
