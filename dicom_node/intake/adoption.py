"""Files of instances that the ledger does not know, and taking them in from their own headers.

A ledger that was lost and begun anew, or restored from an older backup, knows less than the spool.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from dicom_node.dicom.header import read_header
from dicom_node.errors import NodeError, SpoolAway
from dicom_node.ledger import instances, keeping, proof
from dicom_node.ledger.instances import InstanceAnswer, NewInstance
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.places import place_of
from dicom_node.spool.spool import SHARDS, Spool
from dicom_node.spool.stored import ObjectKind, StoredObject, meta_of, sha256_of

_INSTANCES: Final = "instances/"
_YOUNGEST_SECONDS: Final = 60.0
"""What is younger may have its row in a moment."""

_AT_ONCE: Final = 100
_ADOPTED: Final = "(adopted)"
_NOBODY: Final = "(unknown)"


@dataclass(frozen=True, slots=True)
class UnknownFile:
    """A file of an instance whose object the ledger does not know.

    Attributes
    ----------
    name : str
        Its name in the spool.
    instance : StoredObject or None
        What its row is to say; None where the file cannot be read.
    size : int
        Bytes of the data set.
    source : str
        AE title of who sent it; "" where the file does not say.
    fault : str
        Why it cannot be read, or "".
    """

    name: str
    instance: StoredObject | None = None
    size: int = 0
    source: str = ""
    fault: str = ""


@dataclass(slots=True)
class Adopted:
    """What was taken in.

    Attributes
    ----------
    taken : int
        Instances that are processed as if they had just been received.
    kept_aside : int
        Instances of a SOP Instance UID that the ledger has with other bytes.
    unreadable : list of UnknownFile
        Files that were left as they are.
    """

    taken: int = 0
    kept_aside: int = 0
    unreadable: list[UnknownFile] = field(default_factory=list)


def unknown_files(
    ledger: Ledger, spool: Spool, youngest: float = _YOUNGEST_SECONDS
) -> Iterator[UnknownFile]:
    """Find every file of an instance that no row names, and whose object no row is of.

    Parameters
    ----------
    ledger : Ledger
        Only read.
    spool : Spool
        Only read.
    youngest : float
        Seconds; what is younger is left out, for its row may be about to be written.

    Raises
    ------
    SpoolAway
        Nothing is known of its files.
    LedgerError
        The ledger does not answer.
    """
    spool.require_there()
    limit = time.time() - youngest
    for shard in range(SHARDS):
        names = [
            file.path for file in spool.files(shard)
            if file.path.startswith(_INSTANCES) and file.written_at < limit
        ]  # fmt: skip
        if not names:
            continue
        with ledger.read() as session:
            unnamed = sorted(proof.unnamed(session, names))
        for name in unnamed:
            found = _look(spool, name)
            if found.instance is None or not _is_known(ledger, found.instance):
                yield found


def adopt(ledger: Ledger, spool: Spool, called_ae_title: str, youngest: float = 0.0) -> Adopted:
    """Take in every file that `unknown_files` finds, as if it had just been received.

    Each sender gets an association of its own in the ledger, which says that it was adopted. Run
    twice, the second time finds nothing.

    Raises
    ------
    SpoolAway, LedgerError
        What was taken in so far stays.
    """
    done = Adopted()
    waiting: dict[str, list[UnknownFile]] = defaultdict(list)
    for found in unknown_files(ledger, spool, youngest):
        if found.instance is None:
            done.unreadable.append(found)
            continue
        waiting[found.source].append(found)
        if len(waiting[found.source]) == _AT_ONCE:
            _take(ledger, waiting.pop(found.source), called_ae_title, done)
    for files in waiting.values():
        _take(ledger, files, called_ae_title, done)
    return done


def _look(spool: Spool, name: str) -> UnknownFile:
    try:
        with spool.open(name, name) as file:
            meta = meta_of(file)
            sha256 = sha256_of(file, ObjectKind.INSTANCE)
            size = file.seek(0, 2) - meta.end
            file.seek(0)
            read_header(file, meta.sop_instance_uid)
    except SpoolAway:
        raise
    except NodeError as error:
        return UnknownFile(name, fault=str(error))
    except Exception as error:  # noqa: BLE001 -- said of this one; there are others
        return UnknownFile(name, fault=f"it cannot be read: {place_of(error)}")
    stored = StoredObject(
        ObjectKind.INSTANCE, meta.sop_class_uid, meta.sop_instance_uid, meta.transfer_syntax_uid,
        sha256, name,
    )  # fmt: skip
    return UnknownFile(name, stored, size, meta.source_ae_title)


def _is_known(ledger: Ledger, instance: StoredObject) -> bool:
    with ledger.read() as session:
        found = keeping.instance_like(session, instance.sop_instance_uid, instance.sha256)
    return found is not None


def _take(ledger: Ledger, files: Sequence[UnknownFile], called: str, done: Adopted) -> None:
    association = uuid.uuid4().hex
    new = [NewInstance(file.instance, file.size, association) for file in files if file.instance]
    with ledger.write() as unit:
        instances.open_association(
            unit, association_id=association, calling=files[0].source or _NOBODY, called=called,
            address=_ADOPTED, intake=_ADOPTED,
        )  # fmt: skip
        entries = instances.admit(unit, new, refuse_conflicts=False)
        instances.close_association(unit, association, "adopted")
    done.taken += sum(entry.answer is InstanceAnswer.STORED for entry in entries)
    done.kept_aside += sum(entry.answer is InstanceAnswer.KEPT_ASIDE for entry in entries)
