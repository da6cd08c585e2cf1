"""Retention: removes bytes that nobody needs any more, and nothing that may be the only copy."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

import structlog
from pydicom.dataset import Dataset

from dicom_node import signs
from dicom_node.dicom.header import items_of, read_header, text_of
from dicom_node.errors import LedgerError, NodeError, SpoolAway, StorageError
from dicom_node.ledger import keeping, proof
from dicom_node.ledger.faults import is_refusal
from dicom_node.ledger.keeping import Copy, Times
from dicom_node.ledger.states import MOST_TRIES
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.settings import Settings
from dicom_node.spool.spool import SHARDS, Spool
from dicom_node.spool.stored import ObjectKind, fault_of, meta_of, sha256_of

MOST_TO_FORGET: Final = 500
_ORPHAN_SECONDS: Final = 24 * 3600.0
_NEW_SECONDS: Final = 3600.0
"""Far longer than from a file's place in the spool to its row in the ledger."""


class Retention:
    """Forgets. Several may run; the ledger keeps them apart.

    Parameters
    ----------
    settings : Settings
    ledger : Ledger
    spool : Spool
    """

    def __init__(self, settings: Settings, ledger: Ledger, spool: Spool) -> None:
        self._ledger = ledger
        self._spool = spool
        self._times = Times(
            timedelta(hours=settings.storage.keep_hours),
            timedelta(hours=settings.storage.keep_conflicts_hours),
        )
        # Begun anywhere, so that a node that is restarted often still comes round to all.
        self._shard = secrets.randbelow(SHARDS)
        self._left: set[str] = set()
        self._faults: Counter[int] = Counter()
        self._log = structlog.get_logger("upkeep")

    def forget(self) -> int:
        """Remove bytes of instances and results all of whose work ended long enough ago.

        Ledger rows stay. A failed item keeps its bytes: a person has yet to look. So does, for a
        time of its own, what is kept aside for a UID conflict. A file that is new was just received
        again, and stays.

        Returns
        -------
        int
            Number of instances whose bytes were removed.

        Raises
        ------
        SpoolAway
            Nothing was forgotten.
        """
        self._spool.require_there()
        self._spool.sweep_incoming(older_than=_ORPHAN_SECONDS)
        self._shard = (self._shard + 1) % SHARDS
        try:
            self.sweep_orphans(self._shard)
        except NodeError:
            raise
        except Exception:  # noqa: BLE001 -- the others of its folder wait for its next turn
            self._log.exception("sweep.fault", shard=f"{self._shard:02x}")
        with self._ledger.read() as session:
            found = keeping.to_forget(session, session.at, self._times, MOST_TO_FORGET)
        old = {row_id: name for row_id, name in found.items() if self._is_old(row_id, name)}
        if not old:
            return 0
        names = self._forget(old)
        for name in names:
            self._remove(name)
        forgotten = len(set(names) & set(old.values()))
        if names:
            self._log.info("upkeep.forgot", instances=forgotten, results=len(names) - forgotten)
        return forgotten

    def _is_old(self, row_id: int, name: str) -> bool:
        if self._faults[row_id] >= MOST_TRIES:
            return False
        try:
            return not self._is_new(name)
        except NodeError:
            raise
        except Exception:  # noqa: BLE001 -- counted as the row's
            self._at_fault(row_id)
            return False

    def _forget(self, old: dict[int, str]) -> list[str]:
        """Let rows name no file, together or, where one of them is at fault, one by one."""
        try:
            with self._ledger.write() as unit:
                return keeping.forget(unit, old, self._times)
        except Exception as error:
            if isinstance(error, LedgerError) and not is_refusal(error):
                raise
            if len(old) == 1:
                self._at_fault(*old)
                return []
        signs.own().give(signs.PIECE)
        return [each for row_id in old for each in self._forget({row_id: old[row_id]})]

    def _at_fault(self, row_id: int) -> None:
        self._faults[row_id] += 1
        last = self._faults[row_id] >= MOST_TRIES
        self._log.exception(
            "instance.not_forgotten", instance=row_id, tries=self._faults[row_id],
            next="it is kept until upkeep starts again" if last else "the next round tries again",
        )  # fmt: skip

    def _is_new(self, name: str) -> bool:
        written = self._spool.written_at(name)
        return written is not None and written > time.time() - _NEW_SECONDS

    def _remove(self, name: str) -> bool:
        try:
            self._spool.remove(self._spool.path(name))
        except NodeError as error:
            self._log.error("file.left_behind", error=str(error))  # the sweep comes round to it
            return False
        return True

    def sweep_orphans(self, shard: int) -> int:
        """Remove old files of one folder of the spool that no row names and nobody needs.

        A process that is killed between a file and its row leaves one. It is removed where the
        ledger has the same object in a file that holds what it should, or has forgotten it, or can
        make it again; else it may be the only copy, and stays. A file that is not a day old is
        left alone: its row may be about to be written.

        Parameters
        ----------
        shard : int
            0-255, see `Spool.files`.

        Returns
        -------
        int
            Number of files that were removed.
        """
        self._spool.require_there()
        limit = time.time() - _ORPHAN_SECONDS
        old = [file.path for file in self._spool.files(shard) if file.written_at < limit]
        if not old:
            return 0
        with self._ledger.read() as session:
            orphans = proof.unnamed(session, old)
        needless = [name for name in sorted(orphans) if self._is_needless(name)]
        removed = sum(self._remove(name) for name in needless)
        self._say_left(orphans.difference(needless))
        if removed:
            self._log.info("upkeep.orphans", files=removed, shard=f"{shard:02x}")
        return removed

    def _is_needless(self, name: str) -> bool:
        """Whether the object of a file that no row names is there, or is needed no more."""
        signs.own().give(signs.PIECE)
        try:
            copy = self._copy_of(name)
        except (LedgerError, SpoolAway):
            raise
        except NodeError:
            return False
        except Exception:  # noqa: BLE001 -- it may be the only copy; the others are looked at
            self._log.exception("file.fault", file=name)
            return False
        if copy is None:
            return False
        if copy.stored.path is None:
            return copy.ended
        return not fault_of(self._spool, copy.stored)

    def _copy_of(self, name: str) -> Copy | None:
        """What the ledger has that the object in a file is a copy of, or can be made of again."""
        with self._spool.open(name, name) as file:
            uid = meta_of(file).sop_instance_uid
            if name.startswith("instances/"):
                sha256 = sha256_of(file, ObjectKind.INSTANCE)
                with self._ledger.read() as session:
                    return keeping.instance_like(session, uid, sha256)
            source = _source_of(read_header(file, uid))
        with self._ledger.read() as session:
            copy = keeping.result_like(session, uid)
            return keeping.instance_taken(session, source) if copy is None else copy

    def _say_left(self, names: Iterable[str]) -> None:
        for name in sorted(set(names) - self._left):
            self._left.add(name)
            self._log.warning(
                "file.unknown", file=name,
                meaning="no row of the ledger names it, and it may be the only copy: it is kept",
                remedy="have the object sent again, or remove the file",
            )  # fmt: skip


def remove_unnamed(ledger: Ledger, spool: Spool, names: Iterable[str]) -> None:
    """Remove files that were written for rows, where no row names them.

    For whoever wrote them. Where the ledger does not answer they stay, and the sweep looks again.
    """
    try:
        with ledger.read() as session:
            unnamed = proof.unnamed(session, set(names))
        for name in unnamed:
            spool.remove(spool.path(name))
    except (LedgerError, StorageError) as error:
        structlog.get_logger("spool").warning("file.left_behind", error=str(error))


def _source_of(header: Dataset) -> str:
    images = items_of(header, "SourceImageSequence")
    return text_of(images[0], "ReferencedSOPInstanceUID") if images else ""
