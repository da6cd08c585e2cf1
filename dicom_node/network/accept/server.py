"""The DICOM server: listens, admits, receives, and stops in good order."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self, cast

import structlog
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import build_context
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from dicom_node.dicom.sop_classes import VERIFICATION
from dicom_node.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_node.errors import ConfigError
from dicom_node.network.accept.admission import Admission
from dicom_node.network.accept.association import Associations, NodeAssociation, Reader, Services
from dicom_node.network.accept.ports import Intake
from dicom_node.network.accept.stock import AnswersOnly
from dicom_node.network.accept.transport import BufferedSocket, tune
from dicom_node.network.accept.upper_layer import MAX_CONTROL_PDU, Limits
from dicom_node.spool.spool import Spool

DEFAULT_MAX_PDU: Final = 131072
_PDU_RANGE: Final = (4096, MAX_CONTROL_PDU)
_PDUS_IN_BUFFER: Final = 3
_SPARE_CONNECTIONS: Final = 32
_POLL_SECONDS: Final = 0.1
_ABORT_SECONDS: Final = 5.0
_BACKLOG: Final = 128

log = structlog.get_logger(__name__)


class Server:
    """Listens for associations and receives what they store.

    Verification, and every storage SOP class in every transfer syntax; no other service.
    Everything happens in threads of its own: `start` and `stop` return.

    Parameters
    ----------
    ae_title
        The node's AE title, for its own answers; `admission` decides which it is called by.
    host, port
        Where to listen; an empty host is every address, port 0 is any free port.
    admission
        Who may associate.
    intake
        Takes over what was received.
    spool
        Where it is written.
    reader
        ``inline``, or ``stock``: pynetdicom's own path, slower, with the object in memory.
    max_pdu
        Longest P-DATA-TF PDU that the peers may send, 4,096 to 1,048,576 bytes.
    max_object_bytes
        Largest data set; 0 is unlimited. A larger one is answered 0xA701.
    idle_timeout
        Seconds of silence between messages after which the association is aborted.
    acse_timeout
        Seconds that a connection has to request an association, TLS included.
    dimse_timeout
        Seconds of silence inside a message after which the association is aborted.
    tls
        A server-side context; plain TCP if ``None``.
    after_burst
        Called when the last of several connections has ended; must not raise.
    on_round
        Called by the loop that accepts connections, again and again; must not raise.

    Raises
    ------
    ConfigError
        A value is out of its range.
    """

    def __init__(  # noqa: PLR0917 -- every one of them is needed
        self,
        ae_title: str,
        host: str,
        port: int,
        admission: Admission,
        intake: Intake,
        spool: Spool,
        *,
        reader: Reader = "inline",
        max_pdu: int = DEFAULT_MAX_PDU,
        max_object_bytes: int = 0,
        idle_timeout: float = 60.0,
        acse_timeout: float = 30.0,
        dimse_timeout: float = 60.0,
        tls: ssl.SSLContext | None = None,
        after_burst: Callable[[], None] = lambda: None,
        on_round: Callable[[], None] = lambda: None,
    ) -> None:
        if not _PDU_RANGE[0] <= max_pdu <= _PDU_RANGE[1]:
            raise ConfigError(f"the maximum PDU length must be {_PDU_RANGE[0]} to {_PDU_RANGE[1]}")
        if min(idle_timeout, acse_timeout, dimse_timeout) <= 0 or max_object_bytes < 0:
            raise ConfigError("timeouts must be positive, and the size limit not negative")
        limits = Limits(max_pdu, max_object_bytes, idle_timeout, acse_timeout, dimse_timeout)
        self._ae_title: Final = ae_title
        self._address: Final = (host, port)
        self._associations: Final = Associations(admission, after_burst)
        self._services: Final = Services(self._associations, intake, spool, limits, reader)
        self._max_connections: Final = admission.max_associations + _SPARE_CONNECTIONS
        self._tls: Final = tls
        self._on_round: Final = on_round
        self._listener: _Listener | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port that is listened on, or the one asked for before `start`."""
        if self._listener is None:
            return self._address[1]
        return int(self._listener.server_address[1])

    @property
    def associations(self) -> int:
        """How many associations are admitted and not ended."""
        return self._associations.admitted

    def start(self) -> None:
        """Listen.

        Raises
        ------
        ConfigError
            The address cannot be listened on.
        """
        limits = self._services.limits
        try:
            entity = ApplicationEntity(self._ae_title)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"'{self._ae_title}' is no AE title") from error
        entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        entity.maximum_pdu_size = limits.max_pdu
        entity.maximum_associations = 2 * self._max_connections  # counted by Admission instead
        entity.acse_timeout = limits.acse_timeout
        entity.dimse_timeout = limits.dimse_timeout
        entity.network_timeout = limits.idle_timeout
        try:
            self._listener = _Listener(
                entity, self._address, self._ae_title, self._services, self._tls
            )
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise ConfigError(f"port {self._address[1]} cannot be listened on: {reason}") from error
        self._listener.max_connections = self._max_connections
        self._listener.on_round = self._on_round
        entity._servers.append(self._listener)
        self._thread = threading.Thread(
            target=self._listener.serve_forever,
            kwargs={"poll_interval": _POLL_SECONDS},
            name=f"scp:{self.port}",
            daemon=True,
        )
        self._thread.start()
        log.info(
            "intake.listening",
            ae_title=self._ae_title,
            port=self.port,
            reader=self._services.reader,
        )

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Stop listening; end each association after the message that it is in the middle of.

        Parameters
        ----------
        grace_seconds
            How long a message in hand may take; then its association is aborted, and what was
            received of it is dropped. The peer has had no 0x0000 for it and sends it again.
        """
        listener, self._listener = self._listener, None
        if listener is None:
            return
        self._associations.stopping = True
        listener.shutdown()
        if self._thread is not None:
            self._thread.join()
        deadline = time.monotonic() + grace_seconds
        while True:
            left = self._associations.connections
            over = time.monotonic() >= deadline
            for association in left:
                if over or not association.busy:
                    association.abort(block=False)
            if over or not left:
                break
            time.sleep(_POLL_SECONDS)
        give_up = time.monotonic() + _ABORT_SECONDS
        for association in self._associations.connections:
            association.join(max(give_up - time.monotonic(), 0.0))
        log.info("intake.stopped", associations_left=len(self._associations.connections))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


class _Handler(RequestHandler):
    """Makes an association of an accepted connection."""

    server: _Listener

    def handle(self) -> None:
        """Secure the connection if need be, and start its association."""
        services = self.server.services
        connection = cast(socket.socket, self.request)
        try:
            tune(connection, services.limits.dimse_timeout)
            if self.server.tls is not None:
                connection.settimeout(services.limits.acse_timeout)
                connection = self.server.tls.wrap_socket(connection, server_side=True)
                connection.settimeout(services.limits.dimse_timeout)
        except OSError as error:
            log.warning(
                "connection.refused", address=self.client_address[0], reason=type(error).__name__
            )
            connection.close()
            return
        self._associate(connection).start()

    def _associate(self, connection: socket.socket) -> NodeAssociation:
        services = self.server.services
        association = NodeAssociation(self.ae, services)
        association._server = self.server
        association.name = f"AcceptorThread@{id(association):x}"
        association.set_socket(
            BufferedSocket(
                weakref.proxy(association),
                connection,
                capacity=_PDUS_IN_BUFFER * (services.limits.max_pdu + 6),
                patience=services.limits.dimse_timeout,
                unwanted=association.dul.unwanted,
            )
        )
        acceptor = association.acceptor
        acceptor.maximum_length = self.ae.maximum_pdu_size
        acceptor.ae_title = self.server.ae_title
        acceptor.address_info = self.local
        acceptor.implementation_class_uid = self.ae.implementation_class_uid
        acceptor.implementation_version_name = self.ae.implementation_version_name
        acceptor.supported_contexts = []
        association.requestor.address_info = self.remote
        return association


class _Listener(AnswersOnly, ThreadedAssociationServer):
    """pynetdicom's server, with a bound on connections, and TLS outside the accepting thread."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = _BACKLOG
    on_round: Callable[[], None] = staticmethod(lambda: None)

    def __init__(
        self,
        entity: ApplicationEntity,
        address: tuple[str, int],
        ae_title: str,
        services: Services,
        tls: ssl.SSLContext | None,
    ) -> None:
        self.services: Final = services
        self.tls: Final = tls
        self.max_connections = _SPARE_CONNECTIONS
        super().__init__(
            entity, address, ae_title, [build_context(VERIFICATION)], request_handler=_Handler
        )

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Refuse connections beyond what the associations allowed could need."""
        if len(self.services.associations.connections) < self.max_connections:
            return True
        log.warning("connection.refused", address=client_address[0], reason="too many connections")
        return False

    def service_actions(self) -> None:
        """Tell of the round; pynetdicom would collect garbage here, which has its collector."""
        self.on_round()
