"""A clock that jumps."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

from tests.chaos.fault import Fault, Scene
from tests.chaos.forms import Form
from tests.chaos.system import faketime, send_signal

_SITE: Final = Path(__file__).resolve().parents[1] / "clock"


class ClockJumps(Fault):
    """The clock of all processes jumps; a worker is killed, so that work has to be taken back."""

    seconds = 1.0
    weight = 0.2
    """Under libfaketime threads that wait spin, and everything takes many times as long."""

    def __init__(self, hours: int) -> None:
        self.name = f"clock {'back' if hours < 0 else 'forward'}"
        self.says = (
            f"the clock of every process of the node set {'back' if hours < 0 else 'forward'} by "
            f"{abs(hours)} h under way, and infer killed; later set right again"
        )
        self._hours = hours
        self._false = False

    def missing(self, form: Form) -> str | None:
        return None if faketime() is not None else "libfaketime is not installed"

    def prepare(self, scene: Scene) -> None:
        library = faketime()
        assert library is not None
        self._set(scene, 0)
        scene.form.kill()
        self._false = True
        scene.form.start({
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file(scene)),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "PYTHONPATH": os.pathsep.join([str(_SITE), os.environ.get("PYTHONPATH", "")]),
        })  # fmt: skip

    def inject(self, scene: Scene) -> None:
        self._set(scene, self._hours)

    def hold(self, scene: Scene) -> None:
        super().hold(scene)
        send_signal(scene.form.processes("infer"), signal.SIGKILL)

    def clean(self, scene: Scene) -> None:
        if self._false:
            scene.form.kill()
            scene.form.start()
            self._false = False

    @staticmethod
    def _file(scene: Scene) -> Path:
        return scene.form.node.folder / "faketime"

    def _set(self, scene: Scene, hours: int) -> None:
        whole = self._file(scene).with_suffix(".new")
        whole.write_text(f"{3600 * hours:+d}\n", encoding="ascii")
        whole.rename(self._file(scene))
