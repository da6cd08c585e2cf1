"""A PACS double that keeps to DICOM but may refuse, hang or leave; `BrokenPacs` does not.

`FakePacs` is a pynetdicom storage SCP that records what it gets and fails where it is told to, on a
free port of loopback.

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
from types import TracebackType
from typing import Any, Self

from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.transport import ThreadedAssociationServer

from tests.support.servers import free_port

Statuses = Mapping[str, int] | Sequence[int] | Callable[[str, int], int]

VERIFICATION = "1.2.840.10008.1.1"


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

    def _handlers(self) -> list[Any]:
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


def _kept(status: int | None) -> bool:
    return status is not None and (status == 0x0000 or 0xB000 <= status <= 0xBFFF)


def reset(connection: socket.socket) -> None:
    """Close with a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        connection.close()
