"""Upkeep: plans what arrives, rings for what is due, takes back what died, forgets what is old."""

from __future__ import annotations

import math
import secrets
import threading
import time
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import and_, or_, select

from dicom_node.audit.events import AuditEvent
from dicom_node.chores import PAUSE_AFTER_ERROR, Chore
from dicom_node.db import batches, parcels, proof, ringing
from dicom_node.db.tables import InstanceRow, ResultRow, WorkItemRow
from dicom_node.db.unit_of_work import Ledger, UnitOfWork
from dicom_node.domain.work import InstanceState, WorkState
from dicom_node.errors import LedgerError, OtherMigration
from dicom_node.planning import Planner
from dicom_node.settings import Settings
from dicom_node.storage import SHARDS, SpoolFile, Storage

_RECONCILE_SECONDS: Final = 1.0
_RETENTION_SECONDS: Final = 600.0
_MOST_TO_FORGET: Final = 500
_ORPHAN_SECONDS: Final = 24 * 3600.0
_NEW_SECONDS: Final = 3600.0
"""Far longer than from a file's place in the spool to its row in the ledger."""


class Upkeep:
    """The loop of ``dicom-node upkeep``. Several may run; the ledger keeps them apart."""

    def __init__(
        self, settings: Settings, ledger: Ledger, storage: Storage, planner: Planner
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._storage = storage
        self._planner = planner
        # Begun anywhere, so that a node that is restarted often still comes round to all.
        self._shard = secrets.randbelow(SHARDS)
        self._log = structlog.get_logger("upkeep")

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; a database or disk that is away is waited for.

        A fault in one chore does not hold up the others.

        Raises
        ------
        OtherMigration
            Somebody has migrated the ledger meanwhile.
        """
        poll = self._settings.upkeep.poll_seconds
        chores = (
            Chore("start", self._start, math.inf),
            Chore("plan", lambda: bool(self._planner.plan()), poll),
            Chore("close", lambda: bool(self._planner.close_batches()), poll),
            Chore("reconcile", self._reconcile, _RECONCILE_SECONDS),
            # What is too much for one transaction is forgotten in the next.
            Chore("forget", lambda: self.forget() >= _MOST_TO_FORGET, _RETENTION_SECONDS),
        )
        while not stop.is_set():
            try:
                for chore in chores:
                    chore.do()
            except OtherMigration as error:
                self._log.critical(
                    "ledger.migrated", error=str(error),
                    next="upkeep ends; it is started again by whoever supervises it",
                )  # fmt: skip
                raise
            except LedgerError as error:
                self._log.error("upkeep.waiting", error=str(error))
                stop.wait(PAUSE_AFTER_ERROR)
                continue
            pause = min(chore.wait for chore in chores)
            if pause:
                stop.wait(pause)

    def _start(self) -> bool:
        taken = self._planner.take_back_dead()
        if taken:
            self._log.warning("upkeep.taken_back", instances=taken)
        return False

    def _reconcile(self) -> bool:
        self.reconcile()
        return False

    def reconcile(self) -> None:
        """Take back what died and ring for what is due; losing the whole broker loses nothing."""
        first = timedelta(seconds=self._settings.upkeep.ring_again_seconds)
        with self._ledger.read() as session:
            at = session.at
            if not (ringing.any_expired(session, at) or ringing.any_to_ring(session, at, first)):
                return
        with self._ledger.write() as unit:
            taken = batches.take_back_expired(unit)
            returned = parcels.take_back_expired(unit)
            rung = ringing.ring_again(unit, first)
        if taken or returned:
            self._log.warning("upkeep.taken_back", batches=taken, parcels=returned)
        if rung:
            self._log.info("upkeep.rang", count=rung)

    def forget(self) -> int:
        """Remove bytes of instances and results all of whose work ended long enough ago.

        Ledger rows stay. A failed item keeps its bytes: a person has yet to look. So does, for a
        time of its own, what is kept aside for a UID conflict.

        Returns
        -------
        int
            Number of instances whose bytes were removed.
        """
        self._storage.sweep_incoming(older_than=_ORPHAN_SECONDS)
        self._shard = (self._shard + 1) % SHARDS
        self.sweep_orphans(self._shard)
        with self._ledger.write() as unit:
            rows = self._to_forget(unit)
            results = list(
                unit.session.execute(
                    select(ResultRow)
                    .join(WorkItemRow, WorkItemRow.id == ResultRow.work_item_id)
                    .where(WorkItemRow.instance_id.in_([row.id for row in rows]))
                    .where(ResultRow.path.is_not(None))
                ).scalars()
            )
            paths = [row.path for row in rows if row.path]
            paths += [result.path for result in results if result.path]
            files = [file for file in map(self._found, paths) if file is not None]
            for row in rows:
                row.path = None
                unit.record(AuditEvent.INSTANCE_EXPIRED, None, instance_id=row.id)
            for result in results:
                result.path = None
        # What is received again meanwhile is another file, and stays.
        for file in files:
            self._storage.remove_unless_replaced(file)
        if rows:
            self._log.info("upkeep.forgot", instances=len(rows), results=len(results))
        return len(rows)

    def _to_forget(self, unit: UnitOfWork) -> list[InstanceRow]:
        """Instances all of whose work ended long ago, and old conflicts, locked.

        One whose file is new was just received again, and its row is about to be told so.
        """
        keep = timedelta(hours=self._settings.storage.keep_hours)
        keep_conflicts = timedelta(hours=self._settings.storage.keep_conflicts_hours)
        working = (
            select(WorkItemRow.instance_id)
            .where(WorkItemRow.instance_id == InstanceRow.id)
            .where(
                WorkItemRow.state.not_in([WorkState.DELIVERED.value, WorkState.PASSED.value])
                | (WorkItemRow.ended_at > unit.at - keep)
            )
        )
        done = and_(
            InstanceRow.state == InstanceState.PLANNED.value,
            InstanceRow.received_at <= unit.at - keep,
            ~working.exists(),
        )
        conflict = and_(
            InstanceRow.state == InstanceState.CONFLICT.value,
            InstanceRow.received_at <= unit.at - keep_conflicts,
        )
        idle = (
            select(InstanceRow)
            .where(InstanceRow.path.is_not(None), or_(done, conflict))
            .order_by(InstanceRow.id)
            .limit(_MOST_TO_FORGET)
        )
        locked = list(unit.session.execute(idle.with_for_update(skip_locked=True)).scalars())
        # Asked again under the lock: a person may have recalled one since.
        still = set(
            unit.session.execute(
                select(InstanceRow.id)
                .where(InstanceRow.id.in_([row.id for row in locked]))
                .where(or_(done, conflict))
            ).scalars()
        )
        return [row for row in locked if row.id in still and not self._is_new(row)]

    def _is_new(self, row: InstanceRow) -> bool:
        file = self._found(row.path or "")
        return file is not None and file.written_at > time.time() - _NEW_SECONDS

    def _found(self, path: str) -> SpoolFile | None:
        """A file of the spool as it is now; None if it is gone already."""
        whole = self._storage.root / path
        return self._storage.as_found(whole, whole) if whole.is_file() else None

    def sweep_orphans(self, shard: int) -> int:
        """Remove old files of one folder of the spool that no row of the ledger refers to.

        A process that is killed between the commit of a file and that of its row leaves one. A
        file that is not a day old is left alone: its row may be about to be written.

        Parameters
        ----------
        shard : int
            0-255, see `Storage.files`.

        Returns
        -------
        int
            Number of files that were removed.
        """
        limit = time.time() - _ORPHAN_SECONDS
        old = {file.path: file for file in self._storage.files(shard) if file.written_at < limit}
        if not old:
            return 0
        with self._ledger.read() as session:
            orphans = proof.unnamed(session, old)
        removed = sum(self._storage.remove_unless_replaced(old[path]) for path in sorted(orphans))
        if removed:
            self._log.info("upkeep.orphans", files=removed, shard=f"{shard:02x}")
        return removed
