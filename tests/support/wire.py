"""An intake that keeps what it gets in a folder and a list, and peers that speak raw PDUs."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Self, TypeVar

from dicom_node.errors import NodeError
from dicom_node.network.accept.ports import Caller, ReceivedInstance
from dicom_node.spool.spool import Spool

Sliceable = TypeVar("Sliceable", bytes, list[bytes])

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
ECHO = "1.2.840.10008.1.1"


@dataclass
class RecordingIntake:
    """Commits every instance and remembers it; can be told to refuse, fail, or take its time."""

    spool: Spool
    status: int = 0x0000
    error: NodeError | None = None
    refuse_opening: NodeError | None = None
    space: bool = True
    gate: threading.Event | None = None
    stored: list[tuple[ReceivedInstance, Path]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    outcomes: dict[str, str] = field(default_factory=dict)
    callers: list[Caller] = field(default_factory=list)
    hints: list[int] = field(default_factory=list)
    entered: threading.Event = field(default_factory=threading.Event)

    def opened(self, caller: Caller) -> None:
        if self.refuse_opening is not None:
            raise self.refuse_opening
        self.calls.append("opened")
        self.callers.append(caller)

    def store(self, received: ReceivedInstance) -> int:
        self.entered.set()
        if self.gate is not None:
            self.gate.wait(10)
        if self.error is not None:
            raise self.error
        self.calls.append("stored")
        if self.status == 0x0000:
            final = self.spool.instance_path(received.sop_instance_uid)
            self.spool.commit(received.path, final)
            self.stored.append((received, final))
        return self.status

    def closed(self, caller: Caller, outcome: str) -> None:
        self.calls.append("closed")
        assert caller.association_id not in self.outcomes, "closed twice"
        self.outcomes[caller.association_id] = outcome

    def has_space(self, size_hint: int) -> bool:
        self.hints.append(size_hint)
        return self.space

    @property
    def ends(self) -> list[str]:
        return list(self.outcomes.values())


def left_over(spool: Spool) -> list[Path]:
    """What lies in the incoming folder."""
    return list((spool.root / "incoming").iterdir())


def data_set_of(file: bytes) -> bytes:
    """The bytes after the File Meta Information of a Part 10 file."""
    assert file[128:132] == b"DICM"
    return file[144 + struct.unpack_from("<I", file, 140)[0] :]


def element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHI", 0, number, len(value)) + value


def uid(text: str) -> bytes:
    return text.encode() + b"\0" * (len(text) % 2)


def store_request(
    sop_class: str | None = CT,
    instance: str | None = "1.2.3.4",
    message_id: int | None = 7,
    data_set: bool = True,
    command: int = 0x0001,
) -> bytes:
    """An encoded C-STORE-RQ; what is None is left out."""
    parts = []
    if sop_class is not None:
        parts.append(element(0x0002, uid(sop_class)))
    parts.append(element(0x0100, struct.pack("<H", command)))
    if message_id is not None:
        parts.append(element(0x0110, struct.pack("<H", message_id)))
    parts.append(element(0x0700, struct.pack("<H", 0)))
    parts.append(element(0x0800, struct.pack("<H", 0x0001 if data_set else 0x0101)))
    if instance is not None:
        parts.append(element(0x1000, uid(instance)))
    body = b"".join(parts)
    return element(0, struct.pack("<I", len(body))) + body


def echo_request(message_id: int = 1) -> bytes:
    body = b"".join(
        (
            element(0x0002, uid(ECHO)),
            element(0x0100, struct.pack("<H", 0x0030)),
            element(0x0110, struct.pack("<H", message_id)),
            element(0x0800, struct.pack("<H", 0x0101)),
        )
    )
    return element(0, struct.pack("<I", len(body))) + body


def pdv(fragment: bytes, *, command: bool, last: bool, context: int = 1) -> bytes:
    control = (1 if command else 0) | (2 if last else 0)
    return struct.pack(">IBB", len(fragment) + 2, context, control) + fragment


def p_data(*values: bytes) -> bytes:
    body = b"".join(values)
    return struct.pack(">BBI", 4, 0, len(body)) + body


def message(command: bytes, data: bytes | None, *, context: int = 1, chunk: int = 16000) -> bytes:
    """One message in P-DATA-TF PDUs as most peers cut them."""
    pdus = [p_data(pdv(command, command=True, last=True, context=context))]
    if data is not None:
        pieces = [data[i : i + chunk] for i in range(0, len(data), chunk)] or [b""]
        pdus += [
            p_data(pdv(piece, command=False, last=i == len(pieces) - 1, context=context))
            for i, piece in enumerate(pieces)
        ]
    return b"".join(pdus)


def associate_request(
    contexts: Sequence[tuple[int, str, Sequence[str]]] = ((1, CT, (IMPLICIT,)),),
    *,
    calling: str = "SCANNER",
    called: str = "DENOISE",
    application: str = "1.2.840.10008.3.1.1.1",
    max_length: int = 16384,
    extra: bytes = b"",
) -> bytes:
    """An A-ASSOCIATE-RQ PDU; `extra` goes into the user information."""

    def item(kind: int, value: bytes) -> bytes:
        return struct.pack(">BBH", kind, 0, len(value)) + value

    body = struct.pack(">HH", 1, 0) + called.encode().ljust(16) + calling.encode().ljust(16)
    body += bytes(32) + item(0x10, application.encode())
    for number, abstract, syntaxes in contexts:
        value = bytes([number, 0, 0, 0]) + item(0x30, abstract.encode())
        value += b"".join(item(0x40, syntax.encode()) for syntax in syntaxes)
        body += item(0x20, value)
    user = item(0x51, struct.pack(">I", max_length)) + item(0x52, b"1.2.3")
    body += item(0x50, user + extra)
    return struct.pack(">BBI", 1, 0, len(body)) + body


RELEASE_RQ = struct.pack(">BBII", 5, 0, 4, 0)
ABORT = struct.pack(">BBII", 7, 0, 4, 0)


class RawPeer:
    """A peer that sends whatever bytes it is told to."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *data: bytes) -> None:
        self.socket.sendall(b"".join(data))

    def reset(self) -> None:
        """Close with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def receive(self) -> tuple[int, bytes]:
        """The next PDU: type and body; type 0 when the connection is closed."""
        try:
            header = self._exactly(6)
            return header[0], self._exactly(int.from_bytes(header[2:], "big"))
        except (ConnectionError, EOFError):
            return 0, b""

    def associate(self, **options: object) -> None:
        self.send(associate_request(**options))  # type: ignore[arg-type]
        kind, _ = self.receive()
        assert kind == 2, f"not accepted: PDU type {kind}"

    def response(self) -> dict[int, bytes]:
        """The elements of the next response, which must be one message."""
        encoded = b""
        while True:
            kind, body = self.receive()
            assert kind == 4, f"no P-DATA-TF: PDU type {kind}"
            encoded += body[6:]
            if body[5] & 2:
                return elements(encoded)

    def status(self) -> int:
        return int.from_bytes(self.response()[0x0900], "little")

    def closed(self) -> bool:
        """Whether the connection ends, an A-ABORT before it or not."""
        kind, _ = self.receive()
        return kind == 0 or (kind == 7 and self.receive()[0] in (0, 7))

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise EOFError
            data += part
        return data


def elements(encoded: bytes) -> dict[int, bytes]:
    found, position = {}, 0
    while position < len(encoded):
        _, number, length = struct.unpack_from("<HHI", encoded, position)
        found[number] = encoded[position + 8 : position + 8 + length]
        position += 8 + length
    return found


def cut(data: Sliceable, places: Iterable[int]) -> list[Sliceable]:
    """`data` in pieces, empty ones among them."""
    marks = [0, *sorted(place for place in places if place <= len(data)), len(data)]
    return [data[a:b] for a, b in pairwise(marks)]
