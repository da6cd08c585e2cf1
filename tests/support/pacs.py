"""PACS doubles: one that keeps to DICOM but may refuse, hang or leave, and one that does not.

`FakePacs` is a pynetdicom storage SCP that records what it gets and fails where it is told to.
`BrokenPacs` is a socket that breaks the upper layer protocol in one named way. Both are context
managers on a free port of loopback.

>>> with FakePacs(statuses=[0xA700]) as pacs:     # doctest: +SKIP
...     ...                                       # first store out of resources, then success
...     assert pacs.received[0].sop_instance_uid
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.transport import ThreadedAssociationServer

from tests.support.servers import free_port

Statuses = Mapping[str, int] | Sequence[int] | Callable[[str, int], int]

VERIFICATION = "1.2.840.10008.1.1"
UNPROPOSED = "1.2.840.10008.1.2.4.57"


@dataclass(frozen=True)
class Received:
    """One C-STORE that arrived whole, whatever was answered."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data: bytes
    calling_ae_title: str
    association: int
    status: int | None


class FakePacs:
    """A storage SCP that records, and misbehaves within DICOM where it is told to.

    Parameters
    ----------
    statuses : mapping, sequence or callable, optional
        What to answer: by SOP Instance UID; in order of arrival (then success); or
        ``f(sop_instance_uid, nth)`` with `nth` the count of all stores so far, from 0.
    accepted : sequence of (SOP class UID, transfer syntax UIDs), optional
        What to accept; default: every storage class in every transfer syntax.
    reject : (result, source, reason), optional
        Reject every association (PS3.8 Table 9-21).
    hang_after, close_after, abort_after : int, optional
        After so many answered stores in all, do not answer the next: keep quiet until stopped,
        close the connection, or abort.
    delay : float
        Seconds to wait before each answer.
    max_pdu : int
        Longest PDU to offer to receive, 0 for no limit.
    port : int, optional
        A free one by default; kept over `stop` and `start`.
    aet : str
        Its AE title.
    check_called : bool
        Reject other called AE titles.
    """

    def __init__(
        self,
        *,
        statuses: Statuses = (),
        accepted: Sequence[tuple[str, Sequence[str]]] | None = None,
        reject: tuple[int, int, int] | None = None,
        hang_after: int | None = None,
        close_after: int | None = None,
        abort_after: int | None = None,
        delay: float = 0.0,
        max_pdu: int = 131072,
        port: int | None = None,
        aet: str = "PACS",
        check_called: bool = False,
    ) -> None:
        self.port = port or free_port()
        self.aet = aet
        self.statuses = statuses
        self.reject = reject
        self.hang_after = hang_after
        self.close_after = close_after
        self.abort_after = abort_after
        self.delay = delay
        self.received: list[Received] = []
        self.associations = 0
        self.echoes = 0
        self.answered = 0
        self._accepted = accepted
        self._max_pdu = max_pdu
        self._check_called = check_called
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._server: Any = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def uids(self) -> list[str]:
        """SOP Instance UIDs of the stores answered with success or a warning, in order."""
        return [one.sop_instance_uid for one in list(self.received) if _kept(one.status)]

    @property
    def duplicates(self) -> dict[str, int]:
        """SOP Instance UID -> how often it was kept, where more than once."""
        return {uid: n for uid, n in Counter(self.uids).items() if n > 1}

    @property
    def conflicts(self) -> set[str]:
        """SOP Instance UIDs that came with different bytes in the same transfer syntax."""
        seen: dict[tuple[str, str], bytes] = {}
        found = set()
        for one in list(self.received):
            key = (one.sop_instance_uid, one.transfer_syntax_uid)
            if seen.setdefault(key, one.data) != one.data:
                found.add(one.sop_instance_uid)
        return found

    def start(self) -> None:
        """Listen (again, on the same port)."""
        self._stopping.clear()
        entity = AE(ae_title=self.aet)
        entity.maximum_pdu_size = self._max_pdu
        entity.require_called_aet = self._check_called
        entity.maximum_associations = 50
        entity.add_supported_context(VERIFICATION)
        if self._accepted is None:
            for context in AllStoragePresentationContexts:
                entity.add_supported_context(str(context.abstract_syntax), ALL_TRANSFER_SYNTAXES)
        else:
            for sop_class, syntaxes in self._accepted:
                entity.add_supported_context(sop_class, list(syntaxes))
        self._server = entity.make_server(
            ("127.0.0.1", self.port),
            server_class=ThreadedAssociationServer,
            evt_handlers=self._handlers(),
        )
        entity._servers.append(self._server)
        # What `start_server` does, with a shorter poll: `stop` waits for it.
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Close the port and every association."""
        self._stopping.set()
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()

    def wait_for(self, count: int, timeout: float = 30.0) -> None:
        """Wait until `count` different instances are kept.

        Raises
        ------
        TimeoutError
            If they are not in time.
        """
        deadline = time.monotonic() + timeout
        while len(set(self.uids)) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(set(self.uids))} of {count} instances came")
            time.sleep(0.02)

    def _handlers(self) -> list[tuple[Any, Callable[[Any], Any]]]:
        return [
            (evt.EVT_REQUESTED, self._on_request),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_C_ECHO, self._on_echo),
        ]

    def _on_request(self, event: Any) -> None:
        with self._lock:
            self.associations += 1
            event.assoc.number = self.associations
        if self.reject is not None:
            event.assoc.acse.send_reject(*self.reject)
            self._stopping.wait(0.1)  # the socket closes after this event, sent or not

    def _on_echo(self, event: Any) -> int:
        with self._lock:
            self.echoes += 1
        return 0x0000

    def _on_store(self, event: Any) -> int:
        request = event.request
        uid = str(request.AffectedSOPInstanceUID)
        with self._lock:
            at = self.answered
            nth = len(self.received)
            status = self._failure(at, uid, nth)
            self.received.append(
                Received(
                    sop_class_uid=str(request.AffectedSOPClassUID),
                    sop_instance_uid=uid,
                    transfer_syntax_uid=str(event.context.transfer_syntax),
                    data=request.DataSet.getvalue(),
                    calling_ae_title=event.assoc.requestor.ae_title,
                    association=event.assoc.number,
                    status=status,
                )
            )
        if at == self.hang_after:
            self._stopping.wait(60)
        elif at == self.close_after:
            reset(event.assoc.dul.socket.socket)
        elif at == self.abort_after:
            event.assoc.abort()
        elif self.delay:
            self._stopping.wait(self.delay)
        with self._lock:
            self.answered += status is not None
        return status or 0x0000

    def _failure(self, at: int, uid: str, nth: int) -> int | None:
        if at in {self.hang_after, self.close_after, self.abort_after}:
            return None
        if callable(self.statuses):
            return self.statuses(uid, nth)
        if isinstance(self.statuses, Mapping):
            return self.statuses.get(uid, 0x0000)
        return self.statuses[nth] if nth < len(self.statuses) else 0x0000


class Breach(StrEnum):
    """How a `BrokenPacs` breaks the protocol."""

    SILENT = "accepts the connection and says nothing"
    CLOSES_AT_ONCE = "accepts the connection and closes it"
    GARBAGE = "answers the association request with bytes that are no PDU"
    HALF_ACCEPT = "sends half of an A-ASSOCIATE-AC and stops"
    HUGE_PDU = "announces a PDU of 4 GB"
    ABORTS_REQUEST = "answers the association request with an A-ABORT"
    UNPROPOSED_SYNTAX = "accepts with a transfer syntax that was not proposed"
    NEVER_READS = "accepts the association and reads nothing more"
    CLOSES_MID_TRANSFER = "reads some of an object and closes"
    RESETS_MID_TRANSFER = "reads some of an object and resets the connection"
    HANGS_MID_TRANSFER = "reads some of an object and stops"
    HALF_RESPONSE = "sends half of a C-STORE response and stops"
    TRICKLES = "sends a response one byte at a time, too slowly"
    WRONG_MESSAGE_ID = "answers another message"
    WRONG_INSTANCE = "answers about another instance"
    WRONG_COMMAND = "sends a request in place of a response"
    NO_STATUS = "sends a response without a status"
    RELEASES = "asks for release in place of an answer"
    UNKNOWN_PDU = "sends a PDU of type 0x4D"
    NEVER_RELEASES = "stores, and does not answer the release"


class BrokenPacs:
    """A socket that breaks the upper layer protocol in one way, for every connection."""

    def __init__(self, breach: Breach, *, port: int | None = None) -> None:
        self.breach = breach
        self.port = port or free_port()
        self._listener: socket.socket | None = None
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._listener.settimeout(0.05)
        self._spawn(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(5)
        if self._listener is not None:
            self._listener.close()

    def _spawn(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        assert self._listener is not None
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = self._listener.accept()
                connection.settimeout(20)
                self._spawn(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, EOFError):
            if self.breach is Breach.CLOSES_AT_ONCE:
                return
            if self.breach is Breach.SILENT:
                self._stopping.wait(60)
                return
            kind, body = _read_pdu(connection)
            assert kind == 1
            request = A_ASSOCIATE_RQ()
            request.decode(struct.pack(">BBI", 1, 0, len(body)) + body)
            self._answer_request(connection, request, body)

    def _answer_request(
        self, connection: socket.socket, request: A_ASSOCIATE_RQ, body: bytes
    ) -> None:
        accept = _accept_pdu(request, body, self.breach is Breach.UNPROPOSED_SYNTAX)
        early = {
            Breach.GARBAGE: b"HTTP/1.1 400 Bad Request\r\n\r\n",
            Breach.HUGE_PDU: struct.pack(">BBI", 2, 0, 0xFFFFFFFF),
            Breach.ABORTS_REQUEST: bytes((7, 0, 0, 0, 0, 4, 0, 0, 2, 1)),
            Breach.HALF_ACCEPT: accept[: len(accept) // 2],
        }
        connection.sendall(early.get(self.breach, accept))
        if self.breach in early or self.breach is Breach.NEVER_READS:
            self._stopping.wait(60)
            return
        while not self._stopping.is_set():
            self._answer_message(connection)

    def _answer_message(self, connection: socket.socket) -> None:
        partly = {
            Breach.CLOSES_MID_TRANSFER,
            Breach.RESETS_MID_TRANSFER,
            Breach.HANGS_MID_TRANSFER,
        }
        if self.breach in partly:
            _read(connection, 2000)
            if self.breach is Breach.HANGS_MID_TRANSFER:
                self._stopping.wait(60)
            if self.breach is Breach.RESETS_MID_TRANSFER:
                reset(connection)
            raise EOFError
        message = _read_message(connection)
        if message is None:  # release
            self._stopping.wait(60)
            raise EOFError
        context_id, command = message
        connection_answers = {
            Breach.RELEASES: struct.pack(">BBI4x", 5, 0, 4),
            Breach.UNKNOWN_PDU: struct.pack(">BBI4x", 0x4D, 0, 4),
        }
        answer = connection_answers.get(self.breach) or self._response(context_id, command)
        if self.breach is Breach.HALF_RESPONSE:
            connection.sendall(answer[: len(answer) // 2])
            self._stopping.wait(60)
        elif self.breach is Breach.TRICKLES:
            for byte in answer:
                connection.sendall(bytes((byte,)))
                if self._stopping.wait(0.2):
                    return
        else:
            connection.sendall(answer)

    def _response(self, context_id: int, command: dict[int, bytes]) -> bytes:
        elements = {
            0x0002: command[0x0002],
            0x0100: struct.pack("<H", 0x8001),
            0x0120: command[0x0110],
            0x0800: struct.pack("<H", 0x0101),
            0x0900: struct.pack("<H", 0),
            0x1000: command[0x1000],
        }
        if self.breach is Breach.WRONG_MESSAGE_ID:
            elements[0x0120] = struct.pack("<H", 999)
        elif self.breach is Breach.WRONG_INSTANCE:
            elements[0x1000] = b"1.2.3.4\0"
        elif self.breach is Breach.WRONG_COMMAND:
            elements[0x0100] = struct.pack("<H", 0x0030)
        elif self.breach is Breach.NO_STATUS:
            del elements[0x0900]
        body = b"".join(
            struct.pack("<HHI", 0, tag, len(value)) + value for tag, value in elements.items()
        )
        body = struct.pack("<HHII", 0, 0, 4, len(body)) + body
        pdv = struct.pack(">IBB", len(body) + 2, context_id, 0x03) + body
        return struct.pack(">BBI", 4, 0, len(pdv)) + pdv


def _kept(status: int | None) -> bool:
    return status is not None and (status == 0x0000 or 0xB000 <= status <= 0xBFFF)


def reset(connection: socket.socket) -> None:
    """Close with a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        connection.close()


def _read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def _read_pdu(connection: socket.socket) -> tuple[int, bytes]:
    kind, length = struct.unpack(">BxI", _read(connection, 6))
    return kind, _read(connection, length)


def _read_message(connection: socket.socket) -> tuple[int, dict[int, bytes]] | None:
    """Read a request with its data set; return None for a release request."""
    command = b""
    while True:
        kind, body = _read_pdu(connection)
        if kind != 4:
            return None
        context_id, control = body[4], body[5]
        if control & 1:
            command += body[6:]
        elif control & 2:
            return context_id, _elements(command)


def _elements(command: bytes) -> dict[int, bytes]:
    elements = {}
    at = 0
    while at < len(command):
        _, tag, length = struct.unpack_from("<HHI", command, at)
        elements[tag] = command[at + 8 : at + 8 + length]
        at += 8 + length
    return elements


def _accept_pdu(request: A_ASSOCIATE_RQ, body: bytes, unproposed: bool) -> bytes:
    items = b"\x10\x00\x00\x15" + b"1.2.840.10008.3.1.1.1"
    for context in request.presentation_context:
        proposed = str(context.transfer_syntax[0])
        syntax = (UNPROPOSED if unproposed else proposed).encode()
        inner = struct.pack(">BBH", 0x40, 0, len(syntax)) + syntax
        head = struct.pack(">BBHBBBB", 0x21, 0, len(inner) + 4, context.context_id, 0, 0, 0)
        items += head + inner
    user = struct.pack(">BBHI", 0x51, 0, 4, 16384) + b"\x52\x00\x00\x07" + b"1.2.3.4"
    items += struct.pack(">BBH", 0x50, 0, len(user)) + user
    answer = body[:68] + items
    return struct.pack(">BBI", 2, 0, len(answer)) + answer
