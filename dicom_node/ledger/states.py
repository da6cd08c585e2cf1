"""Life of a work item, a batch and a parcel: states, and the only changes that may happen."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

MOST_TRIES: Final = 3
"""Tries of one object, each counted before it begins, after which it is set aside as failed."""


class WorkState(StrEnum):
    """State of one work item (one instance x one route)."""

    PLANNED = "planned"
    RUNNING = "running"
    DENOISED = "denoised"
    DELIVERED = "delivered"
    PASSED = "passed"
    FAILED = "failed"

    @property
    def terminal(self) -> bool:
        """Whether the item is finished, for good or until a person acts."""
        return self in (WorkState.DELIVERED, WorkState.PASSED, WorkState.FAILED)


class WorkEvent(StrEnum):
    """What happens to a work item."""

    START = "start"
    RELEASE = "release"
    PASS = "pass"  # noqa: S105 -- an event, not a secret
    FAIL = "fail"
    FINISH = "finish"
    DELIVER = "deliver"
    RETRY = "retry"
    REDELIVER = "redeliver"
    DISMISS = "dismiss"


TRANSITIONS: Final = MappingProxyType(
    {
        (WorkState.PLANNED, WorkEvent.START): WorkState.RUNNING,
        (WorkState.PLANNED, WorkEvent.PASS): WorkState.PASSED,
        (WorkState.PLANNED, WorkEvent.FAIL): WorkState.FAILED,
        (WorkState.RUNNING, WorkEvent.RELEASE): WorkState.PLANNED,
        (WorkState.RUNNING, WorkEvent.FINISH): WorkState.DENOISED,
        (WorkState.RUNNING, WorkEvent.PASS): WorkState.PASSED,
        (WorkState.RUNNING, WorkEvent.FAIL): WorkState.FAILED,
        (WorkState.DENOISED, WorkEvent.DELIVER): WorkState.DELIVERED,
        (WorkState.DENOISED, WorkEvent.FAIL): WorkState.FAILED,
        (WorkState.DELIVERED, WorkEvent.REDELIVER): WorkState.DENOISED,
        (WorkState.FAILED, WorkEvent.RETRY): WorkState.PLANNED,
        (WorkState.PASSED, WorkEvent.RETRY): WorkState.PLANNED,
        (WorkState.FAILED, WorkEvent.REDELIVER): WorkState.DENOISED,
        (WorkState.FAILED, WorkEvent.DISMISS): WorkState.PASSED,
    }
)
"""The whole life of a work item; whatever is not here is an `IllegalTransition`."""


def after(state: WorkState, event: WorkEvent) -> WorkState | None:
    """State that follows, or None where the table has no such change."""
    return TRANSITIONS.get((state, event))


class InstanceState(StrEnum):
    """State of one stored instance."""

    RECEIVED = "received"
    """Durable on disk and in the ledger; routes not yet decided."""

    PLANNED = "planned"
    """Every matching route has its work item."""

    CONFLICT = "conflict"
    """Same SOP Instance UID as an earlier instance, other bytes: kept, not processed."""


class BatchState(StrEnum):
    """State of a batch."""

    OPEN = "open"
    DUE = "due"
    RUNNING = "running"
    DONE = "done"


class ParcelState(StrEnum):
    """State of a parcel: the deliveries of one batch to one destination."""

    OPEN = "open"
    DUE = "due"
    SENDING = "sending"
    DONE = "done"


class DeliveryState(StrEnum):
    """State of a delivery: one result x one destination."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"
