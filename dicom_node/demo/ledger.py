"""What the node's ledger shows, while it works and at the end. Read only."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.states import DeliveryState, WorkState
from dicom_node.ledger.tables import DeliveryRow, InstanceRow, ResultRow, WorkItemRow


@dataclass(frozen=True, slots=True)
class SeriesState:
    """How far a series is.

    Parameters
    ----------
    received, denoised : int
        Instances in the ledger; those that have a result.
    delivered : dict of str to int
        Results that a destination has accepted, by destination.
    ended : dict of str to str
        SOP Instance UIDs that ended without delivery, with state and reason.
    delays : dict of str to int
        What destinations answered instead of success so far, and how often.
    """

    received: int
    denoised: int
    delivered: dict[str, int]
    ended: dict[str, str]
    delays: dict[str, int]


EMPTY = SeriesState(0, 0, {}, {}, {})


class LedgerView:
    """Reads the SQLite ledger of the node under demonstration.

    Parameters
    ----------
    path : Path
        The database; it may not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine = make_engine(f"sqlite:///{path}").execution_options(read_only=True)

    def read(self) -> dict[str, SeriesState]:
        """Return the state of every series, by Series Instance UID; empty before there is one."""
        if not self._path.exists():
            return {}
        items = (
            select(
                InstanceRow.series_uid,
                InstanceRow.sop_instance_uid,
                WorkItemRow.state,
                WorkItemRow.reason,
                ResultRow.id,
            )
            .join(WorkItemRow, WorkItemRow.instance_id == InstanceRow.id, isouter=True)
            .join(ResultRow, ResultRow.work_item_id == WorkItemRow.id, isouter=True)
        )
        deliveries = (
            select(
                InstanceRow.series_uid,
                DeliveryRow.destination,
                DeliveryRow.state,
                DeliveryRow.message,
            )
            .join(WorkItemRow, WorkItemRow.instance_id == InstanceRow.id)
            .join(ResultRow, ResultRow.work_item_id == WorkItemRow.id)
            .join(DeliveryRow, DeliveryRow.result_id == ResultRow.id)
        )
        try:
            with self._engine.connect() as connection:
                item_rows = connection.execute(items).all()
                delivery_rows = connection.execute(deliveries).all()
        except OperationalError:
            return {}  # the node has not made its tables yet
        received: Counter[str] = Counter()
        denoised: Counter[str] = Counter()
        ended: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for series, sop, state, reason, result in item_rows:
            received[series or ""] += 1
            denoised[series or ""] += result is not None
            if state in (WorkState.PASSED, WorkState.FAILED):
                ended[series or ""][sop] = f"{state}: {reason}"
        delivered: defaultdict[str, Counter[str]] = defaultdict(Counter)
        delays: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for series, destination, state, message in delivery_rows:
            if state == DeliveryState.DELIVERED:
                delivered[series or ""][destination] += 1
            elif message:
                delays[series or ""][f"{destination}: {message}"] += 1
        return {
            uid: SeriesState(
                received[uid],
                denoised[uid],
                dict(delivered[uid]),
                ended[uid],
                dict(delays[uid]),
            )
            for uid in received
        }

    def close(self) -> None:
        """Let go of the database file."""
        self._engine.dispose()
