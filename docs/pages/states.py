"""The page of states."""

from __future__ import annotations

from dicom_node.ledger.states import (
    TRANSITIONS,
    BatchState,
    DeliveryState,
    InstanceState,
    ParcelState,
    WorkEvent,
    WorkState,
)
from docs.pages.note import NOTE

EVENTS = {
    WorkEvent.START: "a worker takes its batch",
    WorkEvent.RELEASE: "the worker gave no sign for too long, or met an error worth a retry",
    WorkEvent.PASS: "it must not be denoised; the reason is kept",
    WorkEvent.FAIL: "an error that a person has to look at; the reason is kept",
    WorkEvent.FINISH: "its result is written",
    WorkEvent.DELIVER: "every destination has answered with success or a warning",
    WorkEvent.RETRY: "a person asks for another try, from the pixels on",
    WorkEvent.REDELIVER: "a person asks that the stored result be sent again",
    WorkEvent.DISMISS: "a person discards an instance that was kept aside for a UID conflict",
}


def states() -> str:
    """Reference page of the life of a work item, as the transition table has it."""
    lines = [
        NOTE, "", "# States", "",
        "A work item is one instance under one route. The ledger shows exactly one state for it at "
        "all times, and every change leaves an audit event. A change that is not in this table "
        "does not happen.", "", "| from | event | to | when |", "|---|---|---|---|",
    ]  # fmt: skip
    for (state, event), result in TRANSITIONS.items():
        lines.append(f"| `{state}` | {event} | `{result}` | {EVENTS[event]} |")
    final = ", ".join(f"`{state}`" for state in WorkState if state.terminal)
    lines += ["", f"Terminal states: {final}."]
    for title, kind in (
        ("Instances", InstanceState), ("Batches", BatchState),
        ("Parcels", ParcelState), ("Deliveries", DeliveryState),
    ):  # fmt: skip
        values = ", ".join(f"`{value}`" for value in kind)
        lines += ["", f"## {title}", "", f"{(kind.__doc__ or '').strip()}", "", f"{values}."]
    return "\n".join(lines) + "\n"
