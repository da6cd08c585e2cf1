"""The flow of images: scanners that send, send again what was not taken, and note every promise.

A promise is an object that the node answered with 0x0000. The sender is that of the workers, which
is fast enough not to hold the trial back; what it reads and writes here are bytes in memory.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count, islice
from typing import Final, Protocol

from dicom_node.errors import NodeError
from dicom_node.network.request import wire
from dicom_node.network.request.address import Address, Timeouts
from dicom_node.network.request.association import LinkFailed, numbered
from dicom_node.network.request.dataset import EncodedDataSet
from tests.chaos.images import CT, EXPLICIT, Identity

SUCCESS: Final = 0x0000
_PAUSE_SECONDS: Final = 0.3
_ANSWER_SECONDS: Final = 20.0


class Sendable(Protocol):
    """An object that can be sent."""

    @property
    def uid(self) -> str:
        """Affected SOP Instance UID."""

    @property
    def sop_class(self) -> str:
        """Affected SOP Class UID."""

    @property
    def syntax(self) -> str:
        """Transfer syntax UID."""

    def data_set(self) -> bytes:
        """Its bytes in that syntax."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image of the trial, ready to be sent."""

    identity: Identity
    sop_class: str = CT
    syntax: str = EXPLICIT

    @property
    def uid(self) -> str:
        """Affected SOP Instance UID."""
        return self.identity.uid

    def data_set(self) -> bytes:
        """Its bytes."""
        return self.identity.data_set()


def store(
    port: int,
    objects: Sequence[Sendable],
    *,
    calling: str = "SCANNER",
    on_answer: Callable[[Sendable, int], None] = lambda _one, _status: None,
    seconds: float = _ANSWER_SECONDS,
    before: Callable[[], object] = lambda: None,
) -> dict[str, int]:
    """Send objects over one association; returns SOP Instance UID to status, of those answered.

    An association that breaks ends it; so does the first object that the node does not accept.

    Parameters
    ----------
    on_answer : callable
        Called with each object and its status as soon as that is known.
    seconds : float
        Longest wait for anything.
    before : callable
        Called when the association stands and nothing was sent.
    """
    contexts = numbered(sorted({(one.sop_class, (one.syntax,)) for one in objects}))
    ids = {(each.abstract_syntax, each.transfer_syntaxes): each.context_id for each in contexts}
    address = Address("node", "127.0.0.1", port, "DENOISE", calling, Timeouts.all(seconds))
    statuses: dict[str, int] = {}
    with suppress(LinkFailed):
        link = wire.open_link(address, contexts)
        try:
            before()
            for one in objects:
                context = ids[one.sop_class, (one.syntax,)]
                if link.results.get(context, (1, ""))[0] != 0:
                    continue
                content = EncodedDataSet(one.data_set())
                answer = link.store(context, one.sop_class, one.uid, content)
                statuses[one.uid] = answer.status
                on_answer(one, answer.status)
            link.release()
        finally:
            link.abort()
    return statuses


class Promises:
    """What was sent, and what the node answered with success."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent: dict[str, set[Identity]] = {}
        self._made: dict[Identity, None] = {}
        self.refusals = 0

    def sending(self, identity: Identity) -> None:
        """An image is about to be sent."""
        with self._lock:
            self._sent.setdefault(identity.uid, set()).add(identity)

    def answered(self, identity: Identity, status: int) -> None:
        """The node answered."""
        with self._lock:
            if status == SUCCESS:
                self._made[identity] = None
            else:
                self.refusals += 1

    def was_sent(self, identity: Identity) -> bool:
        """Whether a scanner ever had this image."""
        with self._lock:
            return identity in self._sent.get(identity.uid, set())

    def made(self, after: int = 0) -> list[Identity]:
        """The images that the node promised to keep, in order, without the first `after`."""
        with self._lock:
            return list(islice(self._made, after, None))

    def count(self) -> int:
        """Number of promises."""
        return len(self._made)


class Flow:
    """Several scanners that empty one queue of series.

    Parameters
    ----------
    ports : callable
        Where the node's intakes listen; asked again for every association.
    promises : Promises
    scanners : int
        How many send at a time.
    """

    def __init__(
        self, ports: Callable[[], Sequence[int]], promises: Promises, scanners: int = 4
    ) -> None:
        self._ports = ports
        self._promises = promises
        self._series: queue.Queue[list[Identity]] = queue.Queue()
        self._stopping = threading.Event()
        self._turn = count()
        self._threads = [
            threading.Thread(target=self._run, args=(f"CT{i + 1}",), daemon=True)
            for i in range(scanners)
        ]
        for thread in self._threads:
            thread.start()

    def send(self, series: Sequence[Identity]) -> None:
        """Queue the images of one series for one scanner."""
        for identity in series:
            self._promises.sending(identity)
        self._series.put(list(series))

    @property
    def busy(self) -> bool:
        """Whether anything has not been taken by the node yet."""
        return self._series.unfinished_tasks > 0

    def stop(self) -> None:
        """End; what was not taken stays unsent."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(2 * _ANSWER_SECONDS)

    def _run(self, calling: str) -> None:
        while not self._stopping.is_set():
            with suppress(queue.Empty):
                series = self._series.get(timeout=0.1)
                try:
                    self._send(series, calling)
                finally:
                    self._series.task_done()

    def _send(self, series: Sequence[Identity], calling: str) -> None:
        left = {identity.uid: Image(identity) for identity in series}

        def on_answer(one: Sendable, status: int) -> None:
            self._promises.answered(left[one.uid].identity, status)
            if status == SUCCESS:
                del left[one.uid]

        while left and not self._stopping.is_set():
            ports = self._ports()
            port = ports[next(self._turn) % len(ports)]
            with suppress(NodeError):
                store(port, list(left.values()), calling=calling, on_answer=on_answer)
            if left:
                self._stopping.wait(_PAUSE_SECONDS)
