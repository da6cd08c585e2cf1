"""The bell: tells workers, after a commit, that work is due. A lost ring loses nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from dicom_node.broker import broker_configuration
from dicom_node.settings import Settings

if TYPE_CHECKING:
    from celery import Celery


_DEAF_SECONDS: Final = 3.0
_AT_ONCE: Final = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}


class Queue(StrEnum):
    """Celery queue, and name of the task that its messages call."""

    INFER = "infer"
    DELIVER = "deliver"


@dataclass(frozen=True, slots=True)
class Ring:
    """One message: the id of a batch (infer) or a parcel (deliver), and nothing else."""

    queue: Queue
    ledger_id: int


class Bell(Protocol):
    """What a unit of work tells about due work."""

    def ring(self, ring: Ring) -> None:
        """Announce; must not raise for a broker that is down."""


class SilentBell:
    """A bell without a clapper: for commands that leave announcing to upkeep, and for tests."""

    def __init__(self) -> None:
        self.rings: list[Ring] = []

    def ring(self, ring: Ring) -> None:
        """Remember the ring."""
        self.rings.append(ring)


class CeleryBell:
    """Announces through the configured broker. Celery is loaded by the first ring."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._deaf_until = 0.0
        self._log = structlog.get_logger("outbox")

    @cached_property
    def _app(self) -> Celery:
        from celery import Celery  # noqa: PLC0415

        app = Celery("dicom_node", set_as_current=False)
        app.conf.update(broker_configuration(self._settings))
        app.conf.broker_transport_options = app.conf.broker_transport_options | _AT_ONCE
        return app

    def ring(self, ring: Ring) -> None:
        """Send one message; a broker that is down is logged, upkeep rings again.

        Whoever rings is not to wait for a broker that is down, so for a while it is not tried.
        """
        if time.monotonic() < self._deaf_until:
            return
        from kombu.exceptions import OperationalError  # noqa: PLC0415

        try:
            self._app.send_task(
                ring.queue.value, args=(ring.ledger_id,), queue=ring.queue.value,
                ignore_result=True, retry=False,
            )  # fmt: skip
        except (OperationalError, OSError) as error:
            self._deaf_until = time.monotonic() + _DEAF_SECONDS
            self._log.warning(
                "broker.unreachable", queue=ring.queue.value, ledger_id=ring.ledger_id,
                error=type(error).__name__, next="upkeep rings again",
            )  # fmt: skip
