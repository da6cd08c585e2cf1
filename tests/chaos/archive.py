"""The PACS double of the trial, with an exact ledger of what arrived and what was answered."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from pynetdicom import evt

from tests.support.pacs import FakePacs, reset

ANSWER_LOST: Final = "the PACS's answer was lost"
"""It was not written, or was the last one of an association that was not released since."""

ON_ITS_WAY: Final = "it was on its way when somebody took over"
"""It was the one that its sender had begun with when another sent it, and came when that one went
on: it is the first to come over the older association since."""

_LOOK_SECONDS: Final = 0.2


class Conduct(Enum):
    """How the PACS behaves, besides refusing."""

    KEEPS = "keeps what comes and says so"
    SILENT = "takes the object and says nothing"
    ABORTS = "aborts the association in place of an answer"
    LOSES_ANSWERS = "keeps the object, and the connection breaks before the answer"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One C-STORE that came whole and was kept.

    Attributes
    ----------
    at
        Monotonic time, seconds.
    answered
        Whether an answer was written; whether the node read it is another thing.
    """

    at: float
    association: int
    answered: bool


@dataclass(slots=True)
class ArchivedObject:
    """One SOP Instance UID in the archive."""

    uid: str
    sha256: str
    data: bytes | None
    arrivals: list[Arrival] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Again:
    """An object that was kept already and came once more.

    Attributes
    ----------
    same_bytes
        Whether it came with the bytes that were there.
    reason
        Why the node cannot have known that it was there; empty where it can.
    """

    uid: str
    at: float
    same_bytes: bool
    reason: str


class Archive(FakePacs):
    """Keeps hashes of everything; bytes only until somebody has looked at them.

    Attributes
    ----------
    conduct : Conduct
        How to behave from now on.
    refusal : int or None
        A status to answer in place of keeping.
    every : int
        With `Conduct.LOSES_ANSWERS`: which of the arrivals loses its answer.
    """

    def __init__(self, *, port: int | None = None) -> None:
        super().__init__(port=port)
        self.conduct = Conduct.KEEPS
        self.refusal: int | None = None
        self.every = 5
        self.kept: dict[str, ArchivedObject] = {}
        self.again: list[Again] = []
        self.refused = 0
        self._new: list[ArchivedObject] = []
        self._last: dict[int, tuple[str, float]] = {}
        self._opened: dict[int, float] = {}
        self._released: set[int] = set()
        self._count = 0
        self._exact = threading.Lock()

    def holds(self, uid: str) -> bool:
        """Whether an object is in the archive."""
        return uid in self.kept

    def size(self) -> int:
        """Number of different objects."""
        return len(self.kept)

    def new_since(self, at: float) -> tuple[float | None, float | None]:
        """When the first and the last new object came after `at`."""
        with self._exact:
            firsts = [one.arrivals[0].at for one in self.kept.values()]
        later = [each for each in firsts if each > at]
        return min(later, default=None), max(later, default=None)

    def take_new(self) -> list[tuple[str, bytes]]:
        """What came since the last call, each object once; its bytes are not kept any longer."""
        with self._exact:
            taken, self._new = self._new, []
            found = [(one.uid, one.data or b"") for one in taken]
            for one in taken:
                one.data = None
        return found

    def _handlers(self) -> list[tuple[Any, Callable[[Any], Any]]]:
        return [*super()._handlers(), (evt.EVT_RELEASED, self._on_release)]

    def _on_request(self, event: Any) -> None:
        super()._on_request(event)
        with self._exact:
            self._opened[event.assoc.number] = time.monotonic()

    def _on_release(self, event: Any) -> None:
        with self._exact:
            self._released.add(event.assoc.number)

    def _on_store(self, event: Any) -> int:
        conduct, refusal = self.conduct, self.refusal
        if refusal is not None:
            self.refused += 1
            return refusal
        if conduct is Conduct.SILENT:
            while self.conduct is conduct and not self._stopping.wait(_LOOK_SECONDS):
                if not event.assoc.is_established:
                    break
            event.assoc.abort()
            return 0xA700
        if conduct is Conduct.ABORTS:
            event.assoc.abort()
            return 0xA700
        request = event.request
        with self._exact:
            self._count += 1
            lost = conduct is Conduct.LOSES_ANSWERS and self._count % self.every == 0
        self._keep(
            str(request.AffectedSOPInstanceUID), request.DataSet.getvalue(), event.assoc.number,
            answered=not lost,
        )  # fmt: skip
        if lost:
            reset(event.assoc.dul.socket.socket)
        return 0x0000

    def _keep(self, uid: str, data: bytes, association: int, *, answered: bool) -> None:
        sha256 = hashlib.sha256(data).hexdigest()
        arrival = Arrival(time.monotonic(), association, answered)
        with self._exact:
            one = self.kept.get(uid)
            if one is None:
                one = self.kept[uid] = ArchivedObject(uid, sha256, data)
                self._new.append(one)
            else:
                reason = self._reason(one, arrival)
                self.again.append(Again(uid, arrival.at, one.sha256 == sha256, reason))
            one.arrivals.append(arrival)
            self._last[association] = uid, arrival.at

    def _reason(self, one: ArchivedObject, arrival: Arrival) -> str:
        before = one.arrivals[-1]
        last, _ = self._last[before.association]
        if not before.answered or (
            last == one.uid and before.association not in self._released
        ):  # fmt: skip
            return ANSWER_LOST
        _, previous = self._last.get(arrival.association, ("", self._opened[arrival.association]))
        return ON_ITS_WAY if previous < before.at else ""
