"""What the node's own ledger says, read from outside while it works."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select

from dicom_node.bell.outbox import SilentBell
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.states import BatchState, InstanceState, WorkState
from dicom_node.ledger.tables import BatchRow, InstanceRow, ResultRow, WorkItemRow
from dicom_node.ledger.unit_of_work import Ledger

_MOST = 500
_TERMINAL = [state.value for state in WorkState if state.terminal]
_SET_ASIDE = [WorkState.FAILED.value, WorkState.PASSED.value]


@dataclass(frozen=True, slots=True)
class Ended:
    """A work item that ended without a delivery."""

    uid: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that the ledger names."""

    uid: str
    state: str
    sha256: str
    path: Path | None


class Books:
    """Questions to a node's ledger. Each may raise `dicom_node.errors.LedgerError`.

    Parameters
    ----------
    url : str
        Of the database.
    spool : Path
        To which paths in the ledger are relative.
    """

    def __init__(self, url: str, spool: Path) -> None:
        self._spool = spool
        self._engine: Engine = make_engine(url)
        self._ledger = Ledger(self._engine, SilentBell())

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def ended(self) -> list[Ended]:
        """Every work item that failed or passed."""
        rows = self._all(
            select(InstanceRow.sop_instance_uid, WorkItemRow.state, WorkItemRow.reason)
            .join(WorkItemRow, WorkItemRow.instance_id == InstanceRow.id)
            .where(WorkItemRow.state.in_(_SET_ASIDE))
        )
        return [Ended(uid, state, reason or "") for uid, state, reason in rows]

    def under_way(self) -> int:
        """Instances not yet planned and work items that have not ended."""
        received = self._one(
            select(func.count())
            .select_from(InstanceRow)
            .where(InstanceRow.state == InstanceState.RECEIVED.value)
        )
        working = self._one(
            select(func.count()).select_from(WorkItemRow).where(WorkItemRow.state.not_in(_TERMINAL))
        )
        return received + working

    def due_batches(self) -> int:
        """Batches that wait for a worker."""
        return self._one(
            select(func.count()).select_from(BatchRow).where(BatchRow.state == BatchState.DUE.value)
        )

    def instances(self, uids: Iterable[str]) -> list[Stored]:
        """The instances of some SOP Instance UIDs, conflicts included."""
        found: list[Stored] = []
        wanted = list(uids)
        for at in range(0, len(wanted), _MOST):
            rows = self._all(
                select(
                    InstanceRow.sop_instance_uid, InstanceRow.state, InstanceRow.sha256,
                    InstanceRow.path,
                ).where(InstanceRow.sop_instance_uid.in_(wanted[at : at + _MOST]))
            )  # fmt: skip
            found += [
                Stored(uid, state, sha256, self._whole(path)) for uid, state, sha256, path in rows
            ]
        return found

    def unsent_results(self) -> list[tuple[str, Path]]:
        """SOP Instance UID of the source and file of each result that waits for its delivery."""
        rows = self._all(
            select(InstanceRow.sop_instance_uid, ResultRow.path)
            .join(WorkItemRow, WorkItemRow.instance_id == InstanceRow.id)
            .join(ResultRow, ResultRow.work_item_id == WorkItemRow.id)
            .where(WorkItemRow.state == WorkState.DENOISED.value)
            .where(ResultRow.path.is_not(None))
        )
        return [(uid, self._spool / path) for uid, path in rows]

    def waiting_instances(self) -> list[tuple[str, Path]]:
        """SOP Instance UID and file of each instance that no worker has begun with."""
        rows = self._all(
            select(InstanceRow.sop_instance_uid, InstanceRow.path)
            .outerjoin(WorkItemRow, WorkItemRow.instance_id == InstanceRow.id)
            .where(InstanceRow.state != InstanceState.CONFLICT.value)
            .where((WorkItemRow.id.is_(None)) | (WorkItemRow.state == WorkState.PLANNED.value))
            .where(InstanceRow.path.is_not(None))
        )
        return [(uid, self._spool / path) for uid, path in rows]

    def _whole(self, path: str | None) -> Path | None:
        return None if path is None else self._spool / path

    def _all(self, statement: Any) -> list[Any]:
        with self._ledger.read() as session:
            return list(session.execute(statement).all())

    def _one(self, statement: Any) -> int:
        with self._ledger.read() as session:
            return int(session.execute(statement).scalar_one())
