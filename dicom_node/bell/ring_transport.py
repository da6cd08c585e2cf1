"""How Celery hears rings: a kombu transport over the node's brokers.

A worker stays where it is whatever becomes of the broker: rubbish in it is a ring like any other,
one that is away is a bell that is silent. Nothing is given back to it, either, and nothing
reconnects. A worker that heard nothing for a while looks into the ledger by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty
from typing import Any, Final

import structlog
from kombu.transport import virtual

from dicom_node import signs
from dicom_node.bell import rings
from dicom_node.bell.broker import open_rings
from dicom_node.bell.outbox import Queue
from dicom_node.errors import BrokerAway

_DEAF_SECONDS: Final = 1.0
"""Until a broker that is away is asked again; meanwhile a worker looks as often by itself."""

_RUBBISH_SECONDS: Final = 60.0
"""Rubbish is said once in so long, however much there is."""


class Ear:
    """Listens for the rings of one process.

    Parameters
    ----------
    source : Rings
    look_seconds : float
        After so long without a ring there is one all the same.
    clock : callable
        Monotonic time, seconds.
    """

    def __init__(
        self,
        source: rings.Rings,
        look_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._look_seconds = look_seconds
        self._clock = clock
        self._heard: dict[str, float] = {}
        self._asked = -_DEAF_SECONDS
        self._away = False
        self._rubbish = 0
        self._silent_until = 0.0
        self._log = structlog.get_logger("broker")

    def hear(self, queue: str) -> bool:
        """Whether to look into the ledger now."""
        heard = self._ring(queue)
        seconds = min(self._look_seconds, _DEAF_SECONDS) if self._away else self._look_seconds
        if not heard and self._clock() - self._heard.setdefault(queue, self._clock()) < seconds:
            return False
        self._heard[queue] = self._clock()
        return True

    def size(self, queue: str) -> int:
        """How many rings wait; none, if nobody can say."""
        try:
            return self._source.waiting(queue)
        except BrokerAway:
            return 0

    def purge(self, queue: str) -> int:
        """Take whatever waits; returns how many."""
        count = self.size(queue)
        for _ in range(count):
            self._source.take(queue)
        return count

    def _ring(self, queue: str) -> bool:
        if self._away and self._clock() - self._asked < _DEAF_SECONDS:
            return False
        self._asked = self._clock()
        try:
            data = self._source.take(queue)
        except BrokerAway as error:
            if not self._away:
                self._log.warning(
                    "broker.away", queue=queue, error=str(error),
                    next="this worker looks into the ledger by itself",
                )  # fmt: skip
            self._away = True
            return False
        if self._away:
            self._log.info("broker.back", queue=queue)
        self._away = False
        if data is not None and rings.ledger_id_of(data, queue) is None:
            self._say_rubbish(queue, len(data))
        return data is not None

    def _say_rubbish(self, queue: str, size: int) -> None:
        self._rubbish += 1
        if self._clock() < self._silent_until:
            return
        self._log.warning(
            "broker.rubbish", queue=queue, size=size, so_far=self._rubbish,
            next="dropped; something other than the node writes to its broker",
        )  # fmt: skip
        self._silent_until = self._clock() + _RUBBISH_SECONDS


class Channel(virtual.Channel):
    """A channel whose every message is a ring."""

    do_restore = False

    def drain_events(self, timeout: float | None = None, callback: Any = None) -> Any:
        """Look for a ring: the worker's own loop goes round."""
        signs.own().give()
        return super().drain_events(timeout, callback)  # type: ignore[no-untyped-call]

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        if not self.connection.ear.hear(queue):
            raise Empty
        return rings.message(queue, 0)

    def _put(self, queue: str, message: Any, **_: Any) -> None:
        """Ring, whatever a user of Celery's own sends; of other queues there are none."""
        if queue in set(Queue):
            self.connection.source.put(queue, 0)

    def _size(self, queue: str) -> int:
        size: int = self.connection.ear.size(queue)
        return size

    def _purge(self, queue: str) -> int:
        count: int = self.connection.ear.purge(queue)
        return count


class Transport(virtual.Transport):
    """Celery's way to the broker that ``transport_options`` names; see `dicom_node.bell.broker`."""

    Channel = Channel
    can_parse_url = True
    driver_type = "rings"
    driver_name = "dicom-node"

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)  # type: ignore[no-untyped-call]
        chosen = client.transport_options
        self.source = open_rings(chosen["url"], chosen["folder"])
        self.ear = Ear(self.source, chosen["look_seconds"])
