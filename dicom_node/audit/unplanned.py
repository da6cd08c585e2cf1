"""What was received and is not planned yet, found by its header: its row has no more than a UID."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dicom_node.dicom.header import read_header, text_of
from dicom_node.errors import SpoolAway
from dicom_node.ledger import unplanned
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.spool.spool import Spool

MOST_READ: Final = 2000
"""Headers that are read for one question; a millisecond each."""


@dataclass(frozen=True, slots=True)
class Unplanned:
    """Instances of a study that wait to be planned.

    Attributes
    ----------
    found : int
        How many were found.
    left : int
        How many others wait that were not looked at.
    """

    found: int
    left: int


def unplanned_of(ledger: Ledger, spool: Spool, study_uid: str, most: int = MOST_READ) -> Unplanned:
    """Look for a study among the newest instances that are not planned yet.

    Parameters
    ----------
    ledger : Ledger
        Only read.
    spool : Spool
        Only read; a file that cannot be read is of no study.
    study_uid : str
    most : int
        How many headers to read.

    Raises
    ------
    SpoolAway
        Nothing is known of files now.
    LedgerError
        The ledger does not answer.
    """
    with ledger.read() as session:
        waiting = unplanned.newest(session, most)
        every = unplanned.count(session)
    found = sum(_study_of(spool, uid, path) == study_uid for uid, path in waiting)
    return Unplanned(found, every - len(waiting))


def _study_of(spool: Spool, uid: str, path: str) -> str:
    try:
        with spool.open(path, uid) as file:
            return text_of(read_header(file, uid), "StudyInstanceUID")
    except SpoolAway:
        raise
    except Exception:  # noqa: BLE001 -- of no study that can be told; there are others
        return ""
