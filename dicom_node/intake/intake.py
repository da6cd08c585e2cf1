"""Intake: an instance becomes durable in the spool and in the ledger before it is answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy.exc import DataError, IntegrityError

from dicom_node.errors import CommitInDoubt, LedgerError, NodeError, SpoolAway, StorageError
from dicom_node.ledger import instances
from dicom_node.ledger.instances import InstanceAnswer, InstanceEntry, NewInstance
from dicom_node.ledger.unit_of_work import Ledger, UnitOfWork
from dicom_node.network.accept.ports import DUPLICATE, SUCCESS, Caller, ReceivedInstance
from dicom_node.spool.room import Free, Watermark
from dicom_node.spool.spool import Spool
from dicom_node.spool.stored import ObjectKind, StoredObject, fault_of

_MOST_IN_A_GROUP: Final = 64
_SPACE_LASTS: Final = 0.5
_LATE_SECONDS: Final = 1.0
_LONGEST_BEHIND: Final = 3.0
"""With the bounds of a transaction (`dicom_node.ledger.bounds.INTAKE`) less than 10 s in all."""


@dataclass(frozen=True, slots=True)
class _Opening:
    caller: Caller


@dataclass(frozen=True, slots=True)
class _Closing:
    caller: Caller
    outcome: str


@dataclass(frozen=True, slots=True)
class _Store:
    instance: NewInstance
    admitted: Future[InstanceEntry]


_Entry = _Opening | _Closing | _Store


class GroupCommit:
    """Writes what many associations received in one transaction at a time.

    Who finds nobody writing writes at once, in its own thread: a lone association waits for no
    other thread. What arrives meanwhile goes into the next transaction, which a thread of its own
    writes, so that the cost of a durable commit is shared. Beginnings and ends of associations
    that could not be written are written with the next group that can be.
    """

    def __init__(self, ledger: Ledger, *, name: str, refuse_conflicts: bool) -> None:
        self._ledger = ledger
        self._name = name
        self._refuse_conflicts = refuse_conflicts
        self._changed = threading.Condition()
        self._waiting: list[_Entry] = []
        self._late: list[_Entry] = []
        self._writing = False
        self._stopped = False
        self._log = structlog.get_logger("intake")
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
        self._thread.start()

    def note(self, entry: _Opening | _Closing) -> None:
        """Have an entry written soon.

        Raises
        ------
        LedgerError
            Nothing more is written: the node is stopping.
        """
        with self._changed:
            self._queue(entry)
            self._changed.notify()

    def admit(self, instance: NewInstance) -> InstanceEntry:
        """Write an instance; it is durable when this returns.

        Raises
        ------
        CommitInDoubt
            The ledger did not say whether it was written.
        LedgerError
            It was not written.
        """
        entry = _Store(instance, Future())
        with self._changed:
            self._queue(entry)
            free = not self._writing
            self._writing = True
        if free:
            self._write_next()
        return self._answer(entry)

    def _answer(self, entry: _Store) -> InstanceEntry:
        """Wait for a group to be written, which has its own bounds, but not for long behind one."""
        try:
            return entry.admitted.result(_LONGEST_BEHIND)
        except TimeoutError:
            with self._changed:
                behind = any(each is entry for each in self._waiting)
                self._waiting = [each for each in self._waiting if each is not entry]
        if behind:
            raise LedgerError("the ledger takes too long to write what came before")
        return entry.admitted.result()

    def stop(self) -> None:
        """Write what is queued and end."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def _queue(self, entry: _Entry) -> None:
        if self._stopped:
            raise LedgerError("the node is stopping")
        self._waiting.append(entry)

    def _run(self) -> None:
        """Write what arrived while others wrote, and once a second what is late."""
        while True:
            with self._changed:
                while self._writing or not (self._waiting or self._stopped):
                    in_time = self._changed.wait(_LATE_SECONDS if self._late else None)
                    if self._late and not in_time and not self._writing:
                        break
                if self._stopped and not self._waiting:
                    return
                self._writing = True
            self._write_next()

    def _write_next(self) -> None:
        """Write one group; only for the thread that has set `_writing`."""
        with self._changed:
            group = self._waiting[:_MOST_IN_A_GROUP]
            del self._waiting[:_MOST_IN_A_GROUP]
        try:
            self._commit(group)
        finally:
            with self._changed:
                self._writing = False
                if self._waiting or self._late or self._stopped:
                    self._changed.notify()

    def _commit(self, group: list[_Entry]) -> None:
        group, self._late = [*self._late, *group], []
        stores = [entry for entry in group if isinstance(entry, _Store)]
        try:
            admitted = self._write(group, stores)
        except NodeError as error:
            self._failed(group, error)
        except Exception as error:  # noqa: BLE001 -- all associations wait for this thread
            self._log.exception("ledger.write_crashed", entries=len(group))
            why = f"the ledger was not written: {type(error).__name__}"
            self._failed(group, CommitInDoubt(why))
        else:
            for entry, answer in zip(stores, admitted, strict=True):
                entry.admitted.set_result(answer)

    def _failed(self, group: list[_Entry], error: NodeError) -> None:
        """Tell who waits; of a group that one entry spoils, write the others."""
        spoilt = isinstance(error.__cause__, (IntegrityError, DataError))
        if spoilt and len(group) > 1:
            for entry in group:
                self._commit([entry])
            return
        self._log.error(
            "ledger.write_failed", entries=len(group), error=str(error), answer="0xA700"
        )
        for entry in group:
            if isinstance(entry, _Store):
                entry.admitted.set_exception(error)
            elif not spoilt:
                self._late.append(entry)

    def _write(self, group: list[_Entry], stores: list[_Store]) -> list[InstanceEntry]:
        with self._ledger.write() as unit:
            for entry in group:
                if isinstance(entry, _Opening):
                    self._open(unit, entry.caller)
            admitted = instances.admit(
                unit,
                [entry.instance for entry in stores],
                refuse_conflicts=self._refuse_conflicts,
            )
            for entry in group:
                if isinstance(entry, _Closing):
                    instances.close_association(unit, entry.caller.association_id, entry.outcome)
        return admitted

    def _open(self, unit: UnitOfWork, caller: Caller) -> None:
        instances.open_association(
            unit,
            association_id=caller.association_id,
            calling=caller.calling_ae_title,
            called=caller.called_ae_title,
            address=caller.address,
            intake=self._name,
        )


class LedgerIntake:
    """The `dicom_node.network.accept.ports.Intake` of a running node.

    Parameters
    ----------
    ledger : Ledger
    spool : Spool
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
        spool: Spool,
        *,
        name: str,
        refuse_conflicts: bool,
        minimum_free_fraction: float,
        minimum_free_bytes: int,
    ) -> None:
        self._ledger = ledger
        self._spool = spool
        self._watermark = Watermark(minimum_free_bytes, minimum_free_fraction)
        with ledger.write() as unit:
            instances.close_orphans(unit, name)
        self._commit = GroupCommit(ledger, name=name, refuse_conflicts=refuse_conflicts)
        self._log = structlog.get_logger("intake")
        self._measured: tuple[float, Free | None] | None = None  # None for Free: nobody can say

    def opened(self, caller: Caller) -> None:
        """Record the association."""
        self._commit.note(_Opening(caller))
        self._log.info(
            "association.opened", association=caller.association_id,
            calling=caller.calling_ae_title, address=caller.address,
        )  # fmt: skip

    def closed(self, caller: Caller, outcome: str) -> None:
        """Record the association's end; its open batches can go out."""
        self._commit.note(_Closing(caller, outcome))
        self._log.info("association.closed", association=caller.association_id, outcome=outcome)

    def store(self, received: ReceivedInstance) -> int:
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
        admitted = take_over(self._ledger, self._spool, received, self._commit.admit)
        if admitted in (InstanceAnswer.REFUSED, InstanceAnswer.KEPT_ASIDE):
            self._log.warning(
                "instance.conflict", sop_instance_uid=received.sop_instance_uid,
                association=received.caller.association_id, answer=admitted.value,
                meaning="this SOP Instance UID is known with other bytes",
            )  # fmt: skip
        return DUPLICATE if admitted is InstanceAnswer.REFUSED else SUCCESS

    def has_space(self, size_hint: int) -> bool:
        """Whether the spool is above its watermark, also after `size_hint` more bytes."""
        measured = self._measured
        if measured is None or time.monotonic() - measured[0] > _SPACE_LASTS:
            measured = self._measured = time.monotonic(), self._measure()
        free = measured[1]
        return free is not None and self._watermark.leaves(free, size_hint)

    def _measure(self) -> Free | None:
        try:
            free = Free.of(self._spool)
        except StorageError as error:
            event = "spool.away" if isinstance(error, SpoolAway) else "spool.unreadable"
            self._log.error(event, error=str(error), answer="0xA700")
            return None
        if not self._watermark.leaves(free):
            self._log.error(
                "spool.full", free_megabytes=free.size // 2**20,
                free_percent=round(100 * free.fraction, 1),
                answer="0xA700", remedy="free disk space or lower [storage] minimum_free_*",
            )  # fmt: skip
        return free

    def stop(self) -> None:
        """Write what is queued."""
        self._commit.stop()


def take_over(
    ledger: Ledger,
    spool: Spool,
    received: ReceivedInstance,
    admit: Callable[[NewInstance], InstanceEntry],
) -> InstanceAnswer:
    """Give what was received a name of its own, and have the ledger say whose it is.

    The file stays if a row names it, and goes if none does: then a row has the same bytes already,
    in a file that was compared with its hash just now, or the instance was refused, or the ledger
    failed. A row whose file is gone or came wrong takes the new one; what came wrong stays in the
    spool for a person.

    Raises
    ------
    StorageError, LedgerError
        The instance was not taken.
    """
    final = spool.instance_path(received.sop_instance_uid)
    stored = StoredObject(
        ObjectKind.INSTANCE,
        received.sop_class_uid,
        received.sop_instance_uid,
        received.transfer_syntax_uid,
        received.sha256,
        spool.name(final),
    )
    instance = NewInstance(stored, received.size, received.caller.association_id)
    named = False
    try:
        spool.commit(received.path, final)
        found = admit(instance)
        while found.stored is not None and found.stored.path != stored.path:
            fault = fault_of(spool, found.stored)
            if not fault:
                spool.touch(found.stored.path or "")  # as if it had been received now
                break
            structlog.get_logger("intake").warning(
                "instance.repaired", instance=found.row_id,
                sop_instance_uid=received.sop_instance_uid, was=fault,
                meaning="the row has the file that was received now",
            )  # fmt: skip
            found = admit(replace(instance, instead_of=found.stored.path))
        named = found.stored is not None and found.stored.path == stored.path
    except CommitInDoubt:
        named = _may_be_named(ledger, instance)
        raise
    finally:
        if not named:
            _remove_own(spool, final)
    return found.answer


def _may_be_named(ledger: Ledger, instance: NewInstance) -> bool:
    try:
        with ledger.read() as session:
            return instances.names(session, instance)
    except LedgerError:
        return True  # retention looks again


def _remove_own(spool: Spool, path: Path) -> None:
    try:
        spool.remove(path)
    except StorageError as error:
        structlog.get_logger("intake").warning("file.left_behind", error=str(error))
