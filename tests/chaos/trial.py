"""The trial: image after image flows through a node, fault after fault is done to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from dicom_node.errors import LedgerError
from tests.chaos.archive import Archive, Conduct
from tests.chaos.books import Books
from tests.chaos.fault import Fault, FaultFailed, Scene
from tests.chaos.flow import Flow, Promises
from tests.chaos.forms import FORMS, Form, FormName
from tests.chaos.images import Identity
from tests.chaos.judge import Judge, Judgement
from tests.chaos.system import end_descendants

_LOOK_SECONDS: Final = 0.25
_QUIET_LOOKS: Final = 2
_SHOWN: Final = 5
_DROPS: Final = 5
_LONGEST_SERIES: Final = 32
_STRUCK_AT: Final = 0.15
"""Share of a wave that is delivered when the fault strikes."""

_UNDER_WAY_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Line:
    """One fault in one form: what became of it.

    Attributes
    ----------
    images
        Promised while it lasted.
    in_flight
        Promised and not delivered when the fault struck.
    next_seconds, done_seconds
        From the beginning of the healing to the next result in the archive, and to the last one;
        None: none came, or not all.
    broken
        What else did not hold.
    skipped
        Why it was not done; else None.
    """

    fault: str
    form: FormName
    says: str
    images: int = 0
    in_flight: int = 0
    judgement: Judgement | None = None
    next_seconds: float | None = None
    done_seconds: float | None = None
    broken: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: str | None = None

    @property
    def holds(self) -> bool:
        """Whether nothing was lost or wrong, and all else held."""
        return self.skipped is not None or (
            self.judgement is not None and self.judgement.holds and not self.broken
        )


class Drip:
    """Sends images little by little while a fault lasts, so that it meets every stage at work.

    Parameters
    ----------
    wave : callable
        Sends so many images.
    size : int
        How many in all.
    seconds : float
        Over how long.
    """

    def __init__(self, wave: Callable[[int], None], size: int, seconds: float) -> None:
        self._wave = wave
        self._size = size
        self._pause = seconds / _DROPS
        self._thread = threading.Thread(target=self._run, name="drip", daemon=True)

    def start(self) -> None:
        """Begin; the first drop falls at once."""
        self._thread.start()

    def join(self) -> None:
        """Wait until everything was sent."""
        if self._thread.ident is None:
            self._thread.start()
        self._thread.join()

    def _run(self) -> None:
        for drop in range(_DROPS):
            self._wave(self._size // _DROPS + (drop < self._size % _DROPS))
            time.sleep(self._pause)


class Trial:
    """One form under all faults.

    Parameters
    ----------
    form : FormName
    folder : Path
        For everything that is written.
    faults : sequence of Fault
    images : int
        How many to send in all, about evenly over the faults.
    seed : int
        Of the images' identities.
    disk_megabytes : int or None
        Size of the spool's own file system; None: it has none.
    deadline : float
        Monotonic time after which no further fault is begun.
    say : callable
        Told what is going on.
    """

    def __init__(
        self,
        form: FormName,
        folder: Path,
        faults: Sequence[Fault],
        *,
        images: int,
        seed: int,
        disk_megabytes: int | None,
        deadline: float,
        say: Callable[[str], None],
    ) -> None:
        self._faults = [fault for fault in faults if form in fault.forms]
        self._each = images / max(1.0, sum(fault.weight for fault in self._faults))
        self._deadline = deadline
        self._say = say
        self._seed = seed
        self._lock = threading.Lock()
        self._numbers = 0
        self._patients = 0
        self._lengths = np.random.default_rng(seed)
        self._archive = Archive()
        self._promises = Promises()
        self._judge = Judge(self._promises, self._archive)
        self._make = partial(_node, FORMS[form], folder, self._archive, disk_megabytes)
        self._nodes = 1
        self._form: Form | None = None
        self._books: Books | None = None
        self._flow = Flow(lambda: self.form.ports, self._promises)

    @property
    def form(self) -> Form:
        """The node under trial; a new one after one that did not get well."""
        assert self._form is not None
        return self._form

    def run(self) -> list[Line]:
        """Do all faults, one after the other; returns a line for each."""
        lines: list[Line] = []
        with self._archive:
            try:
                self._begin()
                for fault in self._faults:
                    lines.append(self._one(fault))
            finally:
                self._flow.stop()
                self._end()
                end_descendants()
        return lines

    def _begin(self) -> None:
        self._form = self._make(self._nodes)
        self._form.start()
        self._books = self._form.books()

    def _end(self) -> None:
        if self._books is not None:
            self._books.close()
        if self._form is not None:
            self._form.close()

    def _one(self, fault: Fault) -> Line:
        skipped = fault.missing(self.form)
        if skipped is None and time.monotonic() > self._deadline:
            skipped = "the time was up"
        name = self.form.name
        if skipped is not None:
            self._say(f"{name}: {fault.name}: not done: {skipped}")
            return Line(fault.name, name, fault.says, skipped=skipped)
        self._say(f"{name}: {fault.name} ...")
        scene = Scene(
            self.form, self._archive, self._flow, self._promises, self._judge, self.images,
            max(1, round(self._each * fault.weight)),
        )  # fmt: skip
        try:
            return self._strike(fault, scene)
        finally:
            with suppress(Exception):
                fault.clean(scene)
            self._archive.conduct, self._archive.refusal = Conduct.KEEPS, None

    def _strike(self, fault: Fault, scene: Scene) -> Line:
        before = self._promises.count()
        flowing = round(scene.size * fault.flowing)
        rest = Drip(self._wave, flowing - flowing // 2, fault.seconds)
        broken: list[str] = []
        in_flight = 0
        try:
            fault.prepare(scene)
            self._wave(flowing // 2)
            self._under_way(flowing // 2)
            in_flight = len(self._judge.outstanding())
            rest.start()
            fault.inject(scene)
            fault.hold(scene)
        except FaultFailed as error:
            broken.append(f"not brought about: {error}")
        rest.join()
        healed = time.monotonic()
        fault.heal(scene)
        with suppress(FaultFailed):
            fault.settle(scene)
        cleared = self._cleared(fault.patience)
        well = cleared
        if not cleared:
            broken.append(
                f"nothing went on for {fault.patience:g} s after it was healed; restarted"
            )
            self.form.kill()
            self.form.start()
            well = self._cleared(fault.patience)
        assert self._books is not None
        judgement = self._judge.judgement(self._books, scene.allowed)
        broken += fault.check(scene)
        if not well:
            broken.append("nor after the restart: the trial goes on with a new node")
            self._renew(fault, scene)
        next_one, last = self._archive.new_since(healed)
        line = Line(
            fault.name, self.form.name, fault.says,
            images=self._promises.count() - before, in_flight=in_flight, judgement=judgement,
            next_seconds=None if next_one is None else next_one - healed,
            done_seconds=last - healed if cleared and last is not None else None,
            broken=tuple(broken), notes=tuple(scene.notes),
        )  # fmt: skip
        self._say(f"{self.form.name}: {fault.name}: {_brief(line)}")
        for finding in (*judgement.lost, *judgement.wrong)[:_SHOWN]:
            self._say(f"  {finding.uid}: {finding.what}")
        return line

    def _renew(self, fault: Fault, scene: Scene) -> None:
        """Leave a node that does not get well, so that the next fault finds one that is."""
        with suppress(Exception):
            fault.clean(scene)
        self._end()
        self._nodes += 1
        self._begin()
        scene.form = self.form

    def images(self, count: int) -> list[Identity]:
        """New images of one new patient."""
        with self._lock:
            first, patient = self._numbers, self._patients
            self._numbers += count
            self._patients += 1
        return [Identity(first + i, patient, 0, self._seed) for i in range(count)]

    def _wave(self, size: int) -> None:
        left = size
        while left > 0:
            length = min(left, int(self._lengths.integers(1, _LONGEST_SERIES + 1)))
            self._flow.send(self.images(length))
            left -= length

    def _under_way(self, size: int) -> None:
        """Wait until part of a wave is delivered and more is promised."""
        share = max(1, int(size * _STRUCK_AT))
        start = self._judge.delivered()
        deadline = time.monotonic() + _UNDER_WAY_SECONDS
        while time.monotonic() < deadline:
            outstanding = self._judge.outstanding()
            if self._judge.delivered() - start >= share and outstanding:
                return
            if not self._flow.busy and not outstanding:
                return
            time.sleep(_LOOK_SECONDS / 5)

    def _cleared(self, patience: float) -> bool:
        """Wait until the scanners have sent everything and every item has ended.

        That is asked of the node's ledger: what it forgot is then found missing in the archive.
        It is given up when for `patience` seconds nothing has changed, however slow the machine.
        """
        quiet, seen, changed = 0, (0, 0, 0), time.monotonic()
        while time.monotonic() < changed + patience:
            left = self._under_way_in_ledger()
            quiet = quiet + 1 if left == 0 and not self._flow.busy else 0
            if quiet == _QUIET_LOOKS:
                return True
            progress = self._archive.size(), self._promises.count(), left
            if progress != seen:
                seen, changed = progress, time.monotonic()
            time.sleep(_LOOK_SECONDS)
        return False

    def _under_way_in_ledger(self) -> int:
        """What has not ended; -1 where the ledger does not say."""
        assert self._books is not None
        try:
            return self._books.under_way()
        except LedgerError:
            return -1


def _node(
    kind: type[Form], folder: Path, archive: Archive, disk_megabytes: int | None, number: int
) -> Form:
    own = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
    return kind(own, archive, disk_megabytes)


def _brief(line: Line) -> str:
    judgement = line.judgement
    assert judgement is not None
    found = [f"{line.images} images, {line.in_flight} in flight"]
    found += [f"{len(judgement.lost)} LOST"] if judgement.lost else ["none lost"]
    found += [f"{len(judgement.wrong)} WRONG"] if judgement.wrong else []
    found += [f"{len(judgement.unexplained)} SENT AGAIN"] if judgement.unexplained else []
    found += [f"{len(judgement.set_aside)} set aside"] if judgement.set_aside else []
    found += list(line.broken)
    found += list(line.notes)
    if line.done_seconds is not None:
        found.append(f"all done {line.done_seconds:.1f} s after it was healed")
    return ", ".join(found)
