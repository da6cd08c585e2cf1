"""pynetdicom's association, with the node's admission, limits and reader."""

from __future__ import annotations

import logging
import threading
import uuid
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import structlog
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.acse import ACSE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import build_context

from dicom_node.dicom.command_set import clean_uid
from dicom_node.dicom.sop_classes import VERIFICATION, is_storage
from dicom_node.dicom.syntaxes import best_of
from dicom_node.errors import NodeError
from dicom_node.network.accept.admission import (
    APPLICATION_CONTEXT,
    CONGESTED,
    MALFORMED,
    STORE,
    Acceptance,
    Admission,
    Rejection,
)
from dicom_node.network.accept.inline import InlineReader, MessageAssembler
from dicom_node.network.accept.ports import Caller, Intake
from dicom_node.network.accept.receiver import StoreReceiver
from dicom_node.network.accept.stock import AnswersOnly, GuardedDimse, serve_store
from dicom_node.network.accept.transport import BufferedSocket
from dicom_node.network.accept.upper_layer import Limits, NodeDul, untie

if TYPE_CHECKING:
    from pynetdicom.ae import ApplicationEntity
    from pynetdicom.pdu_primitives import A_ASSOCIATE
    from pynetdicom.presentation import PresentationContext

    from dicom_node.spool.spool import Spool

Reader = Literal["inline", "stock"]

BURST: Final = 8
"""Connections at a time, from which on it is worth while to tidy up after the last."""

APPLICATION_CONTEXT_NAME: Final = "1.2.840.10008.3.1.1.1"
_MAX_OTHER_MESSAGE: Final = 1024 * 1024

log = structlog.get_logger(__name__)


class Associations:
    """The associations of one server: how many, from whom, and whether new ones are wanted.

    Parameters
    ----------
    admission
        Decides.
    after_burst
        Called when the last of several connections has ended.
    """

    def __init__(
        self, admission: Admission, after_burst: Callable[[], None] = lambda: None
    ) -> None:
        self._admission: Final = admission
        self._after_burst: Final = after_burst
        self._most = 0
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
            self._most = max(self._most, len(self._connections))

    def admit(
        self, association: NodeAssociation, calling: str, called: str, address: str
    ) -> Acceptance | Rejection:
        """Decide on a request, and count it if it is admitted."""
        peer = (calling.strip(), address)
        with self._lock:
            counts = Counter(self._admitted.values())
            decision = self._admission.decide(
                calling, called, address, total=counts.total(), from_peer=counts[peer]
            )
            if isinstance(decision, Acceptance):
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
            over = not self._connections and self._most >= BURST
            if over:
                self._most = 0
        if over:
            self._after_burst()


@dataclass(frozen=True, slots=True)
class Services:
    """What every association of a server shares."""

    associations: Associations
    intake: Intake
    spool: Spool
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


class NodeAssociation(AnswersOnly, Association):
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
        untie(self.dul)  # pynetdicom's own, which nobody will start
        # Its parts do not keep the association: when its thread has ended, all of it goes away at
        # once, and does not wait for the garbage collector with whatever it holds.
        own = cast("NodeAssociation", weakref.proxy(self))
        self.requestor.assoc = self.acceptor.assoc = own
        self.acse = NodeAcse(own)
        self.dul: NodeDul = NodeDul(own, limits)
        stock_limit = limits.max_object_bytes and limits.max_object_bytes + 1
        self.dimse = GuardedDimse(
            own, stock_limit if services.reader == "stock" else _MAX_OTHER_MESSAGE
        )
        self.acse_timeout = limits.acse_timeout
        self.network_timeout = limits.idle_timeout
        self.dimse_timeout = limits.dimse_timeout
        self.bind(evt.EVT_RELEASED, _on_released)
        self._caller: Caller | None = None
        self._receiver: StoreReceiver | None = None
        self._serving = False
        self._reported: Final = threading.Lock()
        services.associations.add(self)

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

    def admit(self) -> Rejection | None:
        """Decide on the association request, and prepare for what it asks for."""
        request = cast("A_ASSOCIATE", self.requestor.primitive)
        calling = str(request.calling_ae_title).strip()
        called = str(request.called_ae_title).strip()
        address = cast(Any, self.requestor.address_info).address
        contexts = cast(
            "list[PresentationContext]", request.presentation_context_definition_list or []
        )
        associations = self._services.associations
        decision: Acceptance | Rejection
        if request.application_context_name != APPLICATION_CONTEXT_NAME:
            decision = APPLICATION_CONTEXT
        elif any(not cx.transfer_syntax or not cx.abstract_syntax for cx in contexts):
            decision = MALFORMED
        else:
            decision = associations.admit(self, calling, called, address)
        if isinstance(decision, Acceptance):
            caller = Caller(uuid.uuid4().hex, calling, called, address)
            try:
                self._services.intake.opened(caller)
            except NodeError as error:
                associations.forget(self)
                decision = Rejection(
                    CONGESTED.result, CONGESTED.source, CONGESTED.diagnostic, str(error)
                )
        if isinstance(decision, Rejection):
            log.log(
                logging.DEBUG if self._is_own(calling, called) else logging.WARNING,
                "association.rejected",
                calling=calling,
                called=called,
                address=address,
                reason=decision.reason,
            )
            return decision
        self._caller = caller
        self._receiver = StoreReceiver(
            self._services.spool,
            self._services.intake,
            caller,
            self._services.limits.max_object_bytes,
        )
        self.acceptor.supported_contexts = _supported(contexts, store=STORE in decision.may)
        if self._services.reader == "inline":
            self.dul.reader = self._inline_reader(self._receiver)
        return None

    def _is_own(self, calling: str, called: str) -> bool:
        """Whether ``dicom-node check`` asks, of this machine, whether the node listens."""
        own = str(self.acceptor.ae_title).strip()
        here = cast(Any, self.acceptor.address_info).address
        return calling == called == own and (here == cast(Any, self.requestor.address_info).address)

    def run_reactor(self) -> None:
        """Run the association to its end; whatever happens, the end is reported."""
        try:
            super().run_reactor()
        finally:
            self._end()

    def _serve_request(self, msg: Any, context_id: int) -> None:
        if msg.MessageIDBeingRespondedTo is None and not isinstance(msg, C_STORE | C_ECHO):
            log.warning(
                "association.aborted",
                association=self._caller.association_id if self._caller else None,
                reason="a request for a service not offered",
            )
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
                transfer_syntaxes=_AcceptedSyntaxes(weakref.proxy(self)),
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

    def released(self) -> None:
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
        self.dul.let_go()
        self.__dict__.pop("abort", None)  # pynetdicom puts its own bound method there
        self._services.associations.remove(self)
        if self.is_released:
            self._report("released")
        elif self.dul.timed_out:
            self._report("timeout")
        elif self._sent_abort and self._services.associations.stopping:
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
                "association.end_not_recorded",
                association=self._caller.association_id,
                reason=str(error),
            )


def _on_released(event: evt.Event) -> None:
    cast("NodeAssociation", event.assoc).released()


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
        offered = [one for one in map(str, context.transfer_syntax) if clean_uid(one)]
        if not offered:
            continue  # text that is no UID is neither stored nor repeated
        syntax = best_of(offered)
        context.transfer_syntax = [UID(syntax)]
        syntaxes = chosen.setdefault(uid, [])
        if syntax not in syntaxes:
            syntaxes.append(syntax)
    return [build_context(uid, syntaxes) for uid, syntaxes in chosen.items()]
