"""The judge: what was promised, what arrived, and whether each result is the right one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
from pydicom import Dataset, dcmread

from dicom_node.errors import LedgerError
from tests.chaos.archive import Again, Archive
from tests.chaos.books import Books
from tests.chaos.flow import Promises
from tests.chaos.images import SIDE, Identity, NoIdentityError, expected, identity_of

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be: which object, and what is wrong with it."""

    uid: str
    what: str


@dataclass(slots=True)
class Allowed:
    """What a fault makes right that otherwise would be a loss.

    Attributes
    ----------
    set_aside : mapping of str to str
        SOP Instance UID of a source to a pattern that the reason of its failure must match.
    """

    set_aside: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a stretch of the trial came to.

    Attributes
    ----------
    lost
        Promised, and neither delivered nor rightly set aside.
    wrong
        Results that are not what their source must give.
    sent_again
        Objects that the archive had: each with the reason.
    set_aside
        Promised and rightly failed: SOP Instance UID of the source to the reason in the ledger.
    """

    lost: tuple[Finding, ...]
    wrong: tuple[Finding, ...]
    sent_again: tuple[Again, ...]
    set_aside: Mapping[str, str]

    @property
    def unexplained(self) -> tuple[Again, ...]:
        """What was sent again although the node had the PACS's answer, or with other bytes."""
        return tuple(one for one in self.sent_again if not (one.reason and one.same_bytes))

    @property
    def holds(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.wrong or self.unexplained)


class Judge:
    """Keeps the promises against the archive.

    Parameters
    ----------
    promises : Promises
    archive : Archive

    Attributes
    ----------
    foreign : set of str
        SOP Instance UIDs of sources that are not the trial's: what becomes of them is not judged.
    foreign_delivered : set of str
        Those of them whose result came.
    """

    def __init__(self, promises: Promises, archive: Archive) -> None:
        self._promises = promises
        self._archive = archive
        self.foreign: set[str] = set()
        self.foreign_delivered: set[str] = set()
        self._delivered: dict[Identity, str] = {}
        self._kept: set[str] = set()
        self._open: set[Identity] = set()
        self._asked = 0
        self._series: dict[int, str] = {}
        self._wrong: list[Finding] = []
        self._known_lost: set[Identity] = set()
        self._seen_again = 0

    def look(self) -> None:
        """Examine what has arrived since the last look."""
        for uid, data in self._archive.take_new():
            try:
                self._examine(uid, data)
            except (NoIdentityError, AttributeError, ValueError, KeyError, IndexError) as error:
                self._wrong.append(Finding(uid, f"not a result of the trial: {error}"))

    def delivered(self) -> int:
        """Number of images whose right result is in the archive."""
        return len(self._delivered)

    def outstanding(self) -> set[Identity]:
        """Promises that are neither kept nor found broken before."""
        self.look()
        made = self._promises.made(self._asked)
        self._asked += len(made)
        self._open |= set(made)
        self._open = {one for one in self._open - self._known_lost if one.uid not in self._kept}
        return set(self._open)

    def has(self, identities: Iterable[Identity]) -> bool:
        """Whether the results of all of these are in the archive."""
        self.look()
        return all(identity.uid in self._kept for identity in identities)

    def judgement(self, books: Books, allowed: Allowed) -> Judgement:
        """Judge everything since the last judgement, once nothing more is on its way."""
        outstanding = self.outstanding()
        set_aside, lost = self._set_aside(books, allowed, outstanding)
        lost += self._conflicts(books)
        self._known_lost |= outstanding
        wrong, self._wrong = self._wrong, []
        again = self._archive.again[self._seen_again :]
        self._seen_again += len(again)
        return Judgement(tuple(lost), tuple(wrong), tuple(again), set_aside)

    def _set_aside(
        self, books: Books, allowed: Allowed, outstanding: Iterable[Identity]
    ) -> tuple[dict[str, str], list[Finding]]:
        reasons: dict[str, list[str]] = defaultdict(list)
        for ended in books.ended():
            reasons[ended.uid].append(f"{ended.state}: {ended.reason}")
        set_aside: dict[str, str] = {}
        lost: list[Finding] = []
        for uid in sorted({identity.uid for identity in outstanding}):
            said = "; ".join(reasons.get(uid, ()))
            pattern = allowed.set_aside.get(uid)
            if said and pattern is not None and re.search(pattern, said):
                set_aside[uid] = said
            else:
                lost.append(Finding(uid, said or _whereabouts(books, uid)))
        return set_aside, lost

    def _conflicts(self, books: Books) -> list[Finding]:
        """Of one SOP Instance UID with several bytes, those that were not taken are kept aside."""
        versions: dict[str, set[Identity]] = defaultdict(set)
        for identity in set(self._promises.made()) - self._known_lost:
            versions[identity.uid].add(identity)
        several = {uid: found for uid, found in versions.items() if len(found) > 1}
        rows = defaultdict(list)
        for row in books.instances(several):
            rows[row.uid].append(row)
        lost: list[Finding] = []
        for uid, identities in several.items():
            aside = [row for row in rows[uid] if row.state == "conflict"]
            held = [row.path.read_bytes() for row in aside if row.path and row.path.is_file()]
            left = identities - set(self._delivered)
            lost += [
                Finding(uid, f"version {identity.version} was answered with success and is gone")
                for identity in sorted(left)
                if not any(data.endswith(identity.data_set()) for data in held)
            ]
            self._known_lost |= left
        return lost

    def _examine(self, uid: str, data: bytes) -> None:
        result = dcmread(BytesIO(data), force=True)
        source = str(result.SourceImageSequence[0].ReferencedSOPInstanceUID)
        if source in self.foreign:
            self.foreign_delivered.add(source)
            return
        stored = np.frombuffer(result.PixelData, dtype="<i2").reshape(SIDE, SIDE)
        identity = identity_of(stored)
        faults = list(self._faults(result, uid, identity))
        if not np.array_equal(stored, expected(identity)):
            faults.append("its pixels are not those that the model makes")
        if identity in self._delivered:
            faults.append(f"image {identity.number} has two results")
        if faults:
            self._wrong.append(Finding(uid, "; ".join(faults)))
        else:
            self._delivered[identity] = uid
            self._kept.add(identity.uid)

    def _faults(self, result: Dataset, uid: str, identity: Identity) -> Iterable[str]:
        if not self._promises.was_sent(identity):
            yield "nobody sent an image with this identity in its pixels"
        source = result.SourceImageSequence[0].ReferencedSOPInstanceUID
        series = result.ReferencedSeriesSequence[0].SeriesInstanceUID
        wanted = {
            "SOPClassUID": SECONDARY_CAPTURE,
            "SOPInstanceUID": uid,
            "PatientID": identity.patient_id,
            "PatientName": identity.patient_name,
            "StudyInstanceUID": identity.study_uid,
            "InstanceNumber": identity.instance_number,
            "Rows": SIDE,
            "Columns": SIDE,
        }
        for keyword, value in wanted.items():
            if result.get(keyword) != value:
                yield f"{keyword} is not that of the image in the pixels"
        if source != identity.uid:
            yield "it names another source image"
        if series != identity.series_uid:
            yield "it names another source series"
        own = str(result.SeriesInstanceUID)
        if self._series.setdefault(identity.patient, own) != own:
            yield "results of one series stand in two"


def _whereabouts(books: Books, uid: str) -> str:
    try:
        rows = books.instances([uid])
    except LedgerError as error:
        return f"not delivered; the ledger cannot be asked: {error}"
    if not rows:
        return "not delivered, and the ledger does not know it"
    there = ", ".join(
        f"{row.state}, file {'there' if row.path and row.path.is_file() else 'GONE'}"
        for row in rows
    )
    return f"not delivered; the ledger has it as {there}"
