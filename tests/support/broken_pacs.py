"""A PACS that breaks the protocol, at will."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

from pynetdicom.pdu import A_ASSOCIATE_RQ

from tests.support.pacs import reset
from tests.support.servers import free_port

UNPROPOSED = "1.2.840.10008.1.2.4.57"


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
