"""The spool: full, and away."""

from __future__ import annotations

import time
from typing import Final

from tests.chaos.fault import Fault, Scene
from tests.chaos.forms import Form
from tests.chaos.system import give_room, put_back, take_away, take_room

_GATHER_SECONDS: Final = 3.0


class FullDisk(Fault):
    """Not a byte more can be written."""

    name = "full disk"
    says = "no space left in the spool for 10 s"
    seconds = 10.0

    def missing(self, form: Form) -> str | None:
        return None if form.has_disk else "the spool has no file system of its own (needs mount)"

    def inject(self, scene: Scene) -> None:
        take_room(scene.form.spool)

    def heal(self, scene: Scene) -> None:
        give_room(scene.form.spool)

    def clean(self, scene: Scene) -> None:
        if scene.form.has_disk:
            give_room(scene.form.spool)


class SpoolAway(Fault):
    """Its file system is unmounted: an empty folder is where it was, and then it comes back."""

    name = "spool away"
    says = "the spool away for 30 s, an empty folder in its place"
    seconds = 30.0

    def __init__(self) -> None:
        self._away = False

    def inject(self, scene: Scene) -> None:
        with scene.form.still(
            "upkeep", "infer", "deliver"
        ):  # so that each stage has work in hand when it looks
            time.sleep(_GATHER_SECONDS)
            take_away(scene.form.spool, mounted=scene.form.has_disk)
            self._away = True

    def heal(self, scene: Scene) -> None:
        if self._away:
            put_back(scene.form.spool, mounted=scene.form.has_disk)
            self._away = False

    def clean(self, scene: Scene) -> None:
        self.heal(scene)
