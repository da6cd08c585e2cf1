"""What a fault is, and what it may do to a trial."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar, Final

from dicom_node.errors import LedgerError
from tests.chaos.archive import Archive
from tests.chaos.flow import Flow, Promises
from tests.chaos.forms import Form, FormName
from tests.chaos.images import Identity
from tests.chaos.judge import Allowed, Judge

BOTH: Final = frozenset(FormName)
ONE_MACHINE: Final = frozenset({FormName.ONE_MACHINE})
CLUSTER: Final = frozenset({FormName.CLUSTER})
_LOOK_SECONDS: Final = 0.1


class FaultFailed(Exception):
    """The fault could not be brought about: the trial says nothing about it."""


@dataclass
class Scene:
    """What a fault finds: a node under flow, and all that is around it.

    Attributes
    ----------
    form : Form
        The node.
    images : callable
        Gives new identities, `count` of one patient and series at a time.
    allowed : Allowed
        What this fault makes right.
    notes : list of str
        What the report is to say besides.
    size : int
        Images that the fault is to use, about.
    """

    form: Form
    archive: Archive
    flow: Flow
    promises: Promises
    judge: Judge
    images: Callable[[int], list[Identity]]
    size: int
    allowed: Allowed = field(default_factory=Allowed)
    notes: list[str] = field(default_factory=list)

    def wait(self, until: Callable[[], object], seconds: float, what: str) -> None:
        """Wait for a state of things that a fault needs.

        Raises
        ------
        FaultFailed
            It did not come about in time.
        """
        if not self.waited(until, seconds):
            raise FaultFailed(f"{what} did not come about within {seconds:g} s")

    @staticmethod
    def waited(until: Callable[[], object], seconds: float) -> bool:
        """Wait for a state of things; returns whether it came."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(LedgerError):
                if until():
                    return True
            time.sleep(_LOOK_SECONDS)
        return False

    def allow(self, uids: Iterable[str], pattern: str) -> None:
        """Let sources fail, with a reason that matches."""
        self.allowed.set_aside |= dict.fromkeys(uids, pattern)


class Fault(ABC):
    """One thing that goes wrong.

    Attributes
    ----------
    name, says
        What it is called, and what is done, in one line.
    forms
        Where it can happen.
    seconds
        From injection to healing.
    quick
        Whether the short trial has it.
    """

    name: str
    says: str
    forms: ClassVar[frozenset[FormName]] = BOTH
    seconds: float = 3.0
    quick: bool = False
    weight: float = 1.0
    """How many images it is given, beside other faults."""

    flowing: float = 1.0
    """Which part of them flows by itself; the rest the fault sends."""

    patience: float = 120.0
    """Seconds for which nothing may go on, once it is healed, before the node is given up."""

    def missing(self, form: Form) -> str | None:
        """What this machine lacks for it; None: nothing."""
        return None

    def prepare(self, scene: Scene) -> None:  # noqa: B027 -- most need nothing
        """Before the flow begins."""

    @abstractmethod
    def inject(self, scene: Scene) -> None:
        """Do it, while images are on their way."""

    def hold(self, scene: Scene) -> None:
        """What happens until it is healed."""
        time.sleep(self.seconds)

    def heal(self, scene: Scene) -> None:  # noqa: B027 -- some heal by themselves
        """Undo it."""

    def settle(self, scene: Scene) -> None:  # noqa: B027 -- most need nobody
        """What a person would do then."""

    def check(self, scene: Scene) -> Iterable[str]:
        """What else must hold at the end; yields what does not."""
        return ()

    def clean(self, scene: Scene) -> None:  # noqa: B027 -- most leave nothing
        """Take away what is left of it, whatever happened; may be called twice."""
