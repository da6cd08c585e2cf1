"""A storage SCU's association on a plain socket: one thread, a deadline on every wait.

The requestor's part of the upper layer state machine (PS3.8 9.2) with at most one operation
outstanding is a straight line: connect, request, (send, receive)*, release. Written down as such
it needs no reactor threads, and what the peer does or fails to do always ends in an exception
within the timeouts.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Mapping, Sequence
from typing import BinaryIO, Final

from dicom_node.dicom import pdus
from dicom_node.dicom.command_set import MalformedCommand, Response, parse_response, store_request
from dicom_node.dicom.pdus import PduType
from dicom_node.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_node.errors import StorageError
from dicom_node.network.request.address import Address
from dicom_node.network.request.association import (
    Link,
    LinkFailed,
    ProposedContext,
    aborted,
    rejection,
)
from dicom_node.network.request.dataset import DataSet

_BLOCK: Final = 256 * 1024
"""Bytes written at a time."""

_LARGEST_SENT: Final = 128 * 1024
"""Longest P-DATA-TF PDU that we send, whatever the peer takes."""

_SMALLEST_SENT: Final = 64
"""Shortest maximum PDU length of a peer that we can work with."""

_LARGEST_RECEIVED: Final = 1 << 20
"""Longest PDU that we take: associations and responses are far shorter."""

_HEADERS: Final = pdus.HEADER_LENGTH + pdus.PDV_HEADER_LENGTH
_STORE_RESPONSE: Final = 0x8001
_LAST_WORDS_SECONDS: Final = 0.5
"""How long an A-ABORT may take to leave, or the reason for a broken pipe to be read."""


def open_link(address: Address, contexts: Sequence[ProposedContext]) -> Link:
    """Associate with a destination.

    Parameters
    ----------
    address : Address
        The destination.
    contexts : sequence of ProposedContext
        1 to 128 presentation contexts.

    Raises
    ------
    LinkFailed
        If there is no association within the connect and ACSE timeouts.
    """
    connection = _Connection(_connect(address), address.timeouts.network)
    try:
        accepted = _associate(connection, address, contexts)
    except LinkFailed:
        connection.abort()
        raise
    return _WireLink(connection, address, accepted)


class _Connection:
    """PDUs over a socket, with deadlines."""

    def __init__(self, sock: socket.socket, write_timeout: float) -> None:
        self._socket = sock
        self._write_timeout = write_timeout
        self._torn = False
        self._closed = False

    def write(self, data: bytes | memoryview) -> None:
        """Write whole PDUs."""
        try:
            self._socket.settimeout(self._write_timeout)
            self._socket.sendall(data)
        except TimeoutError as error:
            self._torn = True
            waited = f"{self._write_timeout:g} s"
            message = f"the destination accepted no data for {waited}"
            raise LinkFailed(message) from error
        except OSError as error:
            self._torn = True
            raise self._why_broken(error) from error

    def read(self, deadline: float, waiting_for: str) -> tuple[int, bytes]:
        """Return the type and body of the next PDU."""
        head = self._read_exactly(pdus.HEADER_LENGTH, deadline, waiting_for)
        kind, length = struct.unpack(">BxI", head)
        if length > _LARGEST_RECEIVED:
            raise self.breach(f"a PDU of {length} bytes")
        return kind, self._read_exactly(length, deadline, waiting_for)

    def breach(self, what: str) -> LinkFailed:
        """Return the error for a peer that does not keep to the protocol."""
        return LinkFailed(f"the destination broke the protocol: {what}")

    def abort(self) -> None:
        """Send an A-ABORT if that still makes sense, and close."""
        if self._closed:
            return
        if not self._torn:
            with contextlib.suppress(OSError):
                self._socket.settimeout(_LAST_WORDS_SECONDS)
                self._socket.sendall(pdus.abort(0, 0))
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _read_exactly(self, count: int, deadline: float, waiting_for: str) -> bytes:
        data = bytearray(count)
        view = memoryview(data)
        while view:
            left = deadline - time.monotonic()
            try:
                if left <= 0:
                    raise TimeoutError  # noqa: TRY301 -- the same as a silent socket
                _acknowledge_at_once(self._socket)
                self._socket.settimeout(left)
                read = self._socket.recv_into(view)
            except TimeoutError as error:
                message = f"the destination sent no {waiting_for} in time"
                raise LinkFailed(message) from error
            except OSError as error:
                self._torn = True
                raise _connection_lost(waiting_for) from error
            if not read:
                self._torn = True
                raise _connection_lost(waiting_for)
            view = view[read:]
        return bytes(data)

    def _why_broken(self, error: OSError) -> LinkFailed:
        """Return why the peer closed while we wrote: it may have left an A-ABORT."""
        with contextlib.suppress(LinkFailed):
            kind, body = self.read(time.monotonic() + _LAST_WORDS_SECONDS, "reason")
            if kind == PduType.ABORT and len(body) >= 4:  # noqa: PLR2004
                return aborted(body[2], body[3])
        why = error.strerror or type(error).__name__
        message = f"the destination closed the connection during the transfer: {why}"
        return LinkFailed(message)


class _WireLink:
    """See `Link`."""

    def __init__(
        self, connection: _Connection, address: Address, accepted: pdus.AssociateAccept
    ) -> None:
        self._connection = connection
        self._timeouts = address.timeouts
        self._results = accepted.results
        longest = min(accepted.max_pdu or _LARGEST_SENT, _LARGEST_SENT)
        # Every fragment but the last has an even length, like all of DICOM.
        self._payload = (longest - pdus.PDV_HEADER_LENGTH) & ~1
        self._buffer = memoryview(bytearray(_BLOCK))
        self._filled = 0
        self._message_id = 0

    @property
    def results(self) -> Mapping[int, tuple[int, str]]:
        return self._results

    def store(
        self, context_id: int, sop_class_uid: str, sop_instance_uid: str, data: DataSet
    ) -> Response:
        message_id = self._next_message_id()
        command = store_request(message_id, sop_class_uid, sop_instance_uid)
        with data.open() as stream:
            self._filled = 0
            self._put_command(context_id, command)
            self._put_data(context_id, stream, data.length)
            self._flush()
        response = self._response(context_id, _STORE_RESPONSE, message_id)
        if response.sop_instance_uid not in {"", sop_instance_uid}:
            raise self._connection.breach("a response about another instance")
        return response

    def release(self) -> None:
        deadline = time.monotonic() + self._timeouts.acse
        try:
            self._connection.write(pdus.RELEASE_REQUEST)
            kind = None
            while kind != PduType.RELEASE_RP:
                kind, _ = self._connection.read(deadline, "release response")
                if kind == PduType.RELEASE_RQ:  # collision: the requestor answers first
                    self._connection.write(pdus.RELEASE_RESPONSE)
                elif kind not in {PduType.RELEASE_RP, PduType.P_DATA}:
                    break
        except LinkFailed:
            self._connection.abort()
        else:
            self._connection.close()

    def abort(self) -> None:
        self._connection.abort()

    def _next_message_id(self) -> int:
        self._message_id = self._message_id % 0xFFFF + 1
        return self._message_id

    def _put_command(self, context_id: int, command: bytes) -> None:
        for at in range(0, len(command), self._payload):
            part = command[at : at + self._payload]
            start = self._room_for(len(part))
            self._buffer[start : start + len(part)] = part
            last = at + len(part) == len(command)
            control = pdus.COMMAND_FRAGMENT | (pdus.LAST_FRAGMENT if last else 0)
            self._seal(context_id, control, len(part))

    def _put_data(self, context_id: int, stream: BinaryIO, length: int) -> None:
        left = length
        while left:
            size = min(self._payload, left)
            start = self._room_for(size)
            _fill(stream, self._buffer[start : start + size])
            left -= size
            self._seal(context_id, 0 if left else pdus.LAST_FRAGMENT, size)

    def _room_for(self, size: int) -> int:
        """Return where in the buffer the fragment's bytes go, behind its headers."""
        if self._filled + _HEADERS + size > len(self._buffer):
            self._flush()
        return self._filled + _HEADERS

    def _seal(self, context_id: int, control: int, size: int) -> None:
        pdus.write_pdv_header(self._buffer[self._filled :], context_id, control, size)
        self._filled += _HEADERS + size

    def _flush(self) -> None:
        self._connection.write(self._buffer[: self._filled])
        self._filled = 0

    def _response(self, context_id: int, kind: int, message_id: int) -> Response:
        deadline = time.monotonic() + self._timeouts.dimse
        try:
            response = parse_response(self._message(context_id, deadline, command=True))
            if response.has_data_set:
                self._message(context_id, deadline, command=False)
        except (pdus.MalformedPdu, MalformedCommand) as error:
            raise self._connection.breach(str(error)) from error
        if response.command != kind:
            raise self._connection.breach(f"command 0x{response.command:04X} in place of an answer")
        if response.message_id != message_id:
            raise self._connection.breach("a response to another message")
        return response

    def _message(self, context_id: int, deadline: float, *, command: bool) -> bytes:
        """Return a command set or data set, put together from its fragments."""
        message = b""
        while True:
            for context, control, part in pdus.fragments(self._p_data(deadline)):
                if context != context_id or bool(control & pdus.COMMAND_FRAGMENT) != command:
                    raise self._connection.breach("an unexpected fragment")
                message += part
                if len(message) > _LARGEST_RECEIVED:
                    raise self._connection.breach("an endless response")
                if control & pdus.LAST_FRAGMENT:
                    return message

    def _p_data(self, deadline: float) -> bytes:
        kind, body = self._connection.read(deadline, "response")
        if kind == PduType.RELEASE_RQ:
            with contextlib.suppress(LinkFailed):
                self._connection.write(pdus.RELEASE_RESPONSE)
            message = "the destination released the association instead of answering"
            raise LinkFailed(message)
        _expect(self._connection, PduType.P_DATA, kind, body)
        return body


def _associate(
    connection: _Connection, address: Address, contexts: Sequence[ProposedContext]
) -> pdus.AssociateAccept:
    connection.write(
        pdus.associate_request(
            called=address.called_ae_title,
            calling=address.calling_ae_title,
            contexts={c.context_id: (c.abstract_syntax, c.transfer_syntaxes) for c in contexts},
            max_pdu=address.max_pdu,
            implementation_class_uid=IMPLEMENTATION_CLASS_UID,
            implementation_version=IMPLEMENTATION_VERSION_NAME,
        )
    )
    deadline = time.monotonic() + address.timeouts.acse
    kind, body = connection.read(deadline, "answer to the association request")
    if kind == PduType.ASSOCIATE_RJ and len(body) >= 4:  # noqa: PLR2004
        raise rejection(
            *body[1:4], called=address.called_ae_title, calling=address.calling_ae_title
        )
    _expect(connection, PduType.ASSOCIATE_AC, kind, body)
    try:
        accepted = pdus.parse_accept(body)
    except pdus.MalformedPdu as error:
        raise connection.breach(str(error)) from error
    if 0 < accepted.max_pdu < _SMALLEST_SENT:
        raise connection.breach(f"a maximum PDU length of {accepted.max_pdu} bytes")
    return accepted


def _expect(connection: _Connection, wanted: PduType, kind: int, body: bytes) -> None:
    if kind == PduType.ABORT and len(body) >= 4:  # noqa: PLR2004
        raise aborted(body[2], body[3])
    if kind != wanted:
        raise connection.breach(f"PDU type 0x{kind:02X} in place of 0x{wanted:02X}")


def _connect(address: Address) -> socket.socket:
    where = f"{address.host}:{address.port}"
    try:
        sock = socket.create_connection((address.host, address.port), address.timeouts.connect)
    except TimeoutError as error:
        raise LinkFailed(f"{where} did not accept a connection in time") from error
    except ConnectionRefusedError as error:
        message = f"{where} refused the connection: nothing listens there"
        raise LinkFailed(message) from error
    except socket.gaierror as error:
        message = f"the host name {address.host} cannot be resolved"
        raise LinkFailed(message) from error
    except OSError as error:
        message = f"{where} cannot be reached: {error.strerror or error}"
        raise LinkFailed(message) from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock if address.tls is None else _secure(sock, address.tls, address.host)


def _secure(sock: socket.socket, tls: ssl.SSLContext, host: str) -> socket.socket:
    try:
        return tls.wrap_socket(sock, server_hostname=host)
    except TimeoutError as error:
        sock.close()
        raise LinkFailed("the TLS handshake did not end in time") from error
    except ssl.SSLCertVerificationError as error:
        sock.close()
        message = f"the destination's certificate is not trusted: {error.verify_message}"
        raise LinkFailed(message) from error
    except OSError as error:  # ssl.SSLError is one
        sock.close()
        why = getattr(error, "reason", None) or error.strerror or type(error).__name__
        raise LinkFailed(f"the TLS handshake failed: {why}") from error


def _fill(stream: BinaryIO, into: memoryview) -> None:
    """Read exactly as much as `into` takes."""
    while into:
        try:
            read = stream.readinto(into)  # type: ignore[attr-defined]
        except OSError as error:
            raise StorageError(f"the stored file cannot be read: {error.strerror}") from error
        if not read:
            raise StorageError("the stored file became shorter while it was sent")
        into = into[read:]


def _connection_lost(waiting_for: str) -> LinkFailed:
    message = f"the destination closed the connection before its {waiting_for}"
    return LinkFailed(message)


def _acknowledge_at_once(sock: socket.socket) -> None:
    """Ask for quick acknowledgement, which Linux forgets: a peer with Nagle on waits for it."""
    if hasattr(socket, "TCP_QUICKACK"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
