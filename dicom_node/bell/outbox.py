"""The bell: tells workers, after a commit, that work is due. A lost ring loses nothing."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

import structlog

from dicom_node.bell.rings import Rings
from dicom_node.errors import BrokerAway

_DEAF_SECONDS: Final = 3.0


class Queue(StrEnum):
    """Celery queue, and name of the task that its messages call."""

    INFER = "infer"
    DELIVER = "deliver"


@dataclass(frozen=True, slots=True)
class Ring:
    """One message: the id of a batch (infer) or a parcel (deliver), and nothing else.

    Whoever hears it looks into the ledger, and takes what is most urgent there.
    """

    queue: Queue
    ledger_id: int


class Bell(Protocol):
    """What a unit of work tells about due work."""

    def ring(self, ring: Ring) -> None:
        """Announce; must neither raise nor wait for a broker that is down."""


class SilentBell:
    """A bell without a clapper: for commands that leave announcing to upkeep, and for tests."""

    def __init__(self) -> None:
        self.rings: list[Ring] = []

    def ring(self, ring: Ring) -> None:
        """Remember the ring."""
        self.rings.append(ring)


class BrokerBell:
    """Rings in the configured broker, from a thread of its own: nobody who rings waits.

    One ring that waits for a worker is enough, for it will find whatever is due, so no second one
    is put beside it. A broker that is away is logged and for a while not tried; upkeep rings again.
    """

    def __init__(self, rings: Rings) -> None:
        self._rings = rings
        self._wanted: dict[Queue, Ring] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._deaf_until = 0.0
        self._log = structlog.get_logger("outbox")

    def ring(self, ring: Ring) -> None:
        """Have one message sent, unless one waits already."""
        with self._changed:
            self._wanted[ring.queue] = ring
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="bell", daemon=True)
                self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait until everything was rung, or given up; whether that was in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._wanted, seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted)
                ring = next(iter(self._wanted.values()))
            self._strike(ring)
            with self._changed:
                # Whoever rang meanwhile may have been too late for this one.
                if self._wanted.get(ring.queue) is ring:
                    del self._wanted[ring.queue]
                self._changed.notify_all()

    def _strike(self, ring: Ring) -> None:
        if time.monotonic() < self._deaf_until:
            return
        try:
            if not self._rings.waiting(ring.queue):
                self._rings.put(ring.queue, ring.ledger_id)
        except BrokerAway as error:
            self._deaf_until = time.monotonic() + _DEAF_SECONDS
            self._log.warning(
                "broker.unreachable", queue=ring.queue.value, ledger_id=ring.ledger_id,
                error=str(error), next="upkeep rings again",
            )  # fmt: skip
