"""Intake: an instance becomes durable in the spool and in the ledger before it is answered."""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy.exc import IntegrityError

from dicom_node.db import instances
from dicom_node.db.instances import Admitted, NewInstance
from dicom_node.db.unit_of_work import Ledger
from dicom_node.errors import LedgerError, NodeError, OutOfSpace
from dicom_node.scp.ports import Caller, Received
from dicom_node.storage import Storage

SUCCESS: Final = 0x0000
DUPLICATE: Final = 0x0111
"""Duplicate SOP Instance (PS3.7 C.5.7)."""

_MOST_IN_A_GROUP: Final = 64
_SPACE_LASTS: Final = 0.5


@dataclass(frozen=True, slots=True)
class _Opened:
    caller: Caller


@dataclass(frozen=True, slots=True)
class _Closed:
    caller: Caller
    outcome: str


@dataclass(frozen=True, slots=True)
class _Store:
    instance: NewInstance
    admitted: Future[Admitted]


_Entry = _Opened | _Closed | _Store


class GroupCommit:
    """Writes what many associations received in one transaction at a time.

    One thread owns the writing; entries that arrive while it commits go into its next
    transaction, so that the cost of a durable commit is shared.
    """

    def __init__(self, ledger: Ledger, *, name: str, refuse_conflicts: bool) -> None:
        self._ledger = ledger
        self._name = name
        self._refuse_conflicts = refuse_conflicts
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._log = structlog.get_logger("intake")
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
        self._thread.start()

    def put(self, entry: _Entry) -> None:
        """Queue an entry."""
        self._queue.put(entry)

    def stop(self) -> None:
        """Write what is queued and end."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            entry = self._queue.get()
            group: list[_Entry] = []
            while entry is not None:
                group.append(entry)
                if len(group) >= _MOST_IN_A_GROUP or self._queue.empty():
                    break
                entry = self._queue.get()
            if group:
                self._commit(group)
            if entry is None:
                return

    def _commit(self, group: list[_Entry]) -> None:
        stores = [entry for entry in group if isinstance(entry, _Store)]
        try:
            admitted = self._write(group, stores)
        except NodeError as error:
            self._log.error(
                "ledger.write_failed", entries=len(group), error=str(error), answer="0xA700"
            )
            for entry in stores:
                entry.admitted.set_exception(error)
            return
        for entry, answer in zip(stores, admitted, strict=True):
            entry.admitted.set_result(answer)

    def _write(self, group: list[_Entry], stores: list[_Store]) -> list[Admitted]:
        try:
            with self._ledger.write() as unit:
                for entry in group:
                    if isinstance(entry, _Opened):
                        c = entry.caller
                        instances.open_association(
                            unit,
                            association_id=c.association_id,
                            calling=c.calling_ae_title,
                            called=c.called_ae_title,
                            address=c.address,
                            intake=self._name,
                        )
                admitted = instances.admit(
                    unit,
                    [entry.instance for entry in stores],
                    refuse_conflicts=self._refuse_conflicts,
                )
                for entry in group:
                    if isinstance(entry, _Closed):
                        instances.close_association(
                            unit, entry.caller.association_id, entry.outcome
                        )
        except IntegrityError as error:
            raise LedgerError("two intakes received the same instance at once") from error
        return admitted


class LedgerIntake:
    """The `dicom_node.scp.ports.Intake` of a running node.

    Parameters
    ----------
    ledger : Ledger
    storage : Storage
    name : str
        Of this intake process (host and port); associations that it left open when it was killed
        are closed at its next start.
    refuse_conflicts : bool
        Answer 0x0111 to an instance with a known UID but other bytes, instead of keeping it aside.
    minimum_free_fraction : float
    minimum_free_bytes : int
        Watermark of the spool's file system; below either, C-STORE answers 0xA700.
    """

    def __init__(
        self,
        ledger: Ledger,
        storage: Storage,
        *,
        name: str,
        refuse_conflicts: bool,
        minimum_free_fraction: float,
        minimum_free_bytes: int,
    ) -> None:
        self._storage = storage
        self._minimum_free_fraction = minimum_free_fraction
        self._minimum_free_bytes = minimum_free_bytes
        with ledger.write() as unit:
            instances.close_orphans(unit, name)
        self._commit = GroupCommit(ledger, name=name, refuse_conflicts=refuse_conflicts)
        self._log = structlog.get_logger("intake")
        self._space = (0.0, True)

    def opened(self, caller: Caller) -> None:
        """Record the association."""
        self._commit.put(_Opened(caller))
        self._log.info(
            "association.opened", association=caller.association_id,
            calling=caller.calling_ae_title, address=caller.address,
        )  # fmt: skip

    def closed(self, caller: Caller, outcome: str) -> None:
        """Record the association's end; its open batches can go out."""
        self._commit.put(_Closed(caller, outcome))
        self._log.info("association.closed", association=caller.association_id, outcome=outcome)

    def store(self, received: Received) -> int:
        """Make the instance durable in spool and ledger.

        Returns
        -------
        int
            0x0000, or 0x0111 for a refused conflict (PS3.7 C.5.7).

        Raises
        ------
        StorageError, LedgerError
            Nothing half-done stays behind; the peer is answered a failure.
        """
        final = self._storage.instance_path(received.sop_instance_uid, received.sha256)
        known = final.exists()
        self._storage.commit(received.path, final, synced=True)
        entry = _Store(
            NewInstance(
                sop_instance_uid=received.sop_instance_uid,
                sop_class_uid=received.sop_class_uid,
                transfer_syntax_uid=received.transfer_syntax_uid,
                sha256=received.sha256,
                size=received.size,
                path=str(final.relative_to(self._storage.root)),
                association_id=received.caller.association_id,
            ),
            Future(),
        )
        self._commit.put(entry)
        try:
            admitted = entry.admitted.result()
        except NodeError:
            if not known:  # a resend must not take away what an earlier row refers to
                self._storage.remove(final)
            raise
        if admitted in (Admitted.REFUSED, Admitted.QUARANTINED):
            self._log.warning(
                "instance.conflict", sop_instance_uid=received.sop_instance_uid,
                association=received.caller.association_id, answer=admitted.value,
                meaning="this SOP Instance UID is known with other bytes",
            )  # fmt: skip
        if admitted is Admitted.REFUSED:
            self._storage.remove(final)
            return DUPLICATE
        return SUCCESS

    def has_space(self, size_hint: int) -> bool:
        """Whether the spool is above its watermark, also after `size_hint` more bytes."""
        asked, answer = self._space
        if time.monotonic() - asked > _SPACE_LASTS:
            answer = self._measure(size_hint)
            self._space = (time.monotonic(), answer)
        return answer

    def _measure(self, size_hint: int) -> bool:
        try:
            free = self._storage.free_bytes() - size_hint
            fraction = self._storage.free_fraction()
        except OutOfSpace:
            return False
        enough = free >= self._minimum_free_bytes and fraction >= self._minimum_free_fraction
        if not enough:
            self._log.error(
                "spool.full", free_megabytes=free // 2**20, free_percent=round(100 * fraction, 1),
                answer="0xA700", remedy="free disk space or lower [storage] minimum_free_*",
            )  # fmt: skip
        return enough

    def stop(self) -> None:
        """Write what is queued."""
        self._commit.stop()
