"""The accepted socket, read through one reusable buffer, and the server that accepts it."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pynetdicom.transport import AssociationSocket

if TYPE_CHECKING:
    from pynetdicom.association import Association

SLICE_SECONDS: Final = 0.25
"""How long one read blocks before it looks whether the association is still wanted."""

_NARROW: Final = 8192
"""Bytes of the buffer before the first object: an association request is rarely longer."""

_QUICKACK: Final = getattr(socket, "TCP_QUICKACK", None)


class PeerGone(ConnectionError):
    """The peer closed the connection."""


class Stalled(TimeoutError):
    """The peer sent nothing for too long, or the association is being ended here."""


def tune(connection: socket.socket, seconds: float) -> None:
    """Set the options of an accepted connection.

    ``TCP_NODELAY``, so that an answer leaves at once; keep-alive, so that a peer whose machine
    died is noticed; a limit of `seconds` on a send that the peer does not read.
    """
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(seconds))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(SLICE_SECONDS))


class BufferedSocket(AssociationSocket):
    """pynetdicom's socket of an association, with a buffer that the inline reader shares.

    Whatever was read too far stays in the buffer, so both readers see one stream. Reads give up
    after `patience` seconds of silence and as soon as `unwanted` says so; acknowledgements are
    sent at once (``TCP_QUICKACK``), because a peer that writes header and body of a PDU separately
    would wait for them.

    Parameters
    ----------
    assoc
        The association it belongs to.
    connection
        Accepted, and tuned by `tune`.
    capacity
        Bytes of the buffer once there are objects to read (`widen`): the longest stretch that
        `fill` can be asked for. Until then it is small, since a caller that is not known yet, or
        says nothing, must cost little.
    patience
        Seconds of silence inside a PDU.
    unwanted
        Whether the association is being ended by this side.
    """

    def __init__(
        self,
        assoc: Association,
        connection: socket.socket,
        *,
        capacity: int,
        patience: float,
        unwanted: Callable[[], bool],
    ) -> None:
        super().__init__(assoc, client_socket=connection)
        self._capacity: Final = capacity
        self._buffer = bytearray(min(capacity, _NARROW))
        self._view = memoryview(self._buffer)
        self._start = 0
        self._end = 0
        self._patience: Final = patience
        self._unwanted: Final = unwanted
        self._tls: Final = isinstance(connection, ssl.SSLSocket)
        self._poll: Final = select.poll()
        self._poll.register(connection, select.POLLIN)

    @property
    def buffered(self) -> int:
        """Bytes read and not yet consumed."""
        return self._end - self._start

    @property
    def held(self) -> int:
        """Bytes of memory of the buffer."""
        return len(self._buffer)

    @property
    def ready(self) -> bool:
        """Whether a read would find something: bytes, or the end of the stream."""
        if self.buffered:
            return True
        if self.socket is None or not self._is_connected:
            return False
        return self._readable(0)

    def fill(self, count: int, patience: float | None = None) -> memoryview:
        """Return the next `count` bytes without consuming them; valid until the next call.

        Raises
        ------
        PeerGone, Stalled, OSError
            Fewer than `count` bytes come.
        """
        if self._start + count > len(self._buffer):
            if count > len(self._buffer):
                self.widen()
            kept = self.buffered
            self._view[:kept] = self._view[self._start : self._end]
            self._start, self._end = 0, kept
        while self.buffered < count:
            self._end += self._read_into(
                self._view[self._end :], self._patience if patience is None else patience
            )
        return self._view[self._start : self._start + count]

    def widen(self) -> None:
        """Make room for objects; what `fill` returned before is no longer valid."""
        if len(self._buffer) >= self._capacity:
            return
        wide = bytearray(self._capacity)
        kept = self.buffered
        wide[:kept] = self._view[self._start : self._end]
        self._buffer, self._view = wide, memoryview(wide)
        self._start, self._end = 0, kept

    def consume(self, count: int) -> None:
        """Drop the next `count` bytes, which `fill` has returned."""
        self._start += count
        if self._start == self._end:
            self._start = self._end = 0

    def recv(self, nr_bytes: int) -> bytearray:
        """Read `nr_bytes`, or fewer if the peer closes the connection (pynetdicom's contract).

        Raises
        ------
        Stalled, OSError
            The bytes do not come.
        """
        received = bytearray()
        while len(received) < nr_bytes:
            part = min(nr_bytes - len(received), len(self._buffer))
            try:
                self.fill(min(part, max(self.buffered, 1)))
            except PeerGone:
                break
            part = min(part, self.buffered)
            received += self._view[self._start : self._start + part]
            self.consume(part)
        return received

    def drain(self) -> bool:
        """Throw away what is there to read; ``False`` once the peer has closed the connection."""
        self._start = self._end = 0
        if self.socket is None:
            return False
        try:
            self._read_into(self._view, SLICE_SECONDS)
        except OSError:
            return False
        return True

    def release(self) -> None:
        """Give the buffer back; an ended association may wait long for the garbage collector."""
        self._start = self._end = 0
        self._view = memoryview(b"")
        self._buffer = bytearray()

    def send(self, bytestream: bytes) -> None:
        """Send all, or let the state machine know that the connection is closed (Evt17)."""
        try:
            if self.socket is None:
                raise PeerGone("the connection is closed")
            self.socket.sendall(bytestream)
        except OSError:
            self.event_queue.put("Evt17")

    def _read_into(self, target: memoryview, patience: float) -> int:
        connection = self.socket
        if connection is None:
            raise PeerGone("the connection is closed")
        silent_since: float | None = None
        while True:
            if _QUICKACK is not None:
                connection.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            try:
                if not self._tls or self._readable(SLICE_SECONDS):
                    count: int = connection.recv_into(target)
                    if count == 0:
                        raise PeerGone("the peer closed the connection")
                    return count
            except (BlockingIOError, ssl.SSLWantReadError, InterruptedError):
                pass
            now = time.monotonic()
            silent_since = silent_since or now - SLICE_SECONDS
            if self._unwanted() or now - silent_since >= patience:
                raise Stalled("the peer sends nothing")

    def _readable(self, seconds: float) -> bool:
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return True
        return bool(self._poll.poll(seconds * 1000))


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    return struct.pack("@ll", whole, int((seconds - whole) * 1_000_000))
