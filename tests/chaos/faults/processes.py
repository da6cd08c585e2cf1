"""Processes that are killed, and processes that stand still for longer than their leases."""

from __future__ import annotations

import signal
import time
from typing import Final

from tests.chaos.fault import CLUSTER, ONE_MACHINE, Fault, Scene
from tests.chaos.system import send_signal

_BETWEEN_SECONDS: Final = 2.0


class Kill(Fault):
    """``kill -9`` of every process of a role, and once more when it has come back."""

    seconds = 0.0

    def __init__(self, role: str, *, quick: bool = False) -> None:
        self.name = f"kill {role}"
        self.says = f"kill -9 of every {role} process, twice"
        self.quick = quick
        self._role = role

    def inject(self, scene: Scene) -> None:
        for again in (False, True):
            if again:
                scene.wait(lambda: scene.form.processes(self._role), 60.0, "a restart")
                time.sleep(_BETWEEN_SECONDS)
            send_signal(scene.form.processes(self._role), signal.SIGKILL)


class KillEverything(Fault):
    """``kill -9`` of all processes at once, then a start."""

    name = "kill everything"
    says = "kill -9 of all processes at once, then a start"
    quick = True

    def inject(self, scene: Scene) -> None:
        scene.form.kill()

    def heal(self, scene: Scene) -> None:
        scene.form.start()


class Stop(Fault):
    """SIGSTOP of every process of a role for longer than a lease, then SIGCONT."""

    seconds = 18.0

    def __init__(self, role: str) -> None:
        self.name = f"stop {role}"
        self.says = f"SIGSTOP of every {role} process for 18 s, beyond its leases, then SIGCONT"
        self._role = role

    def inject(self, scene: Scene) -> None:
        send_signal(scene.form.processes(self._role), signal.SIGSTOP)

    def heal(self, scene: Scene) -> None:
        send_signal(scene.form.processes(self._role), signal.SIGCONT)

    def clean(self, scene: Scene) -> None:
        self.heal(scene)


class LeftStopped(Fault):
    """SIGSTOP of every process of a role, by somebody who forgets it: the supervisor ends them."""

    forms = ONE_MACHINE
    seconds = 0.0

    def __init__(self, role: str) -> None:
        self.name = f"{role} left stopped"
        self.says = f"SIGSTOP of every {role} process, and nobody lets it go on"
        self._role = role

    def inject(self, scene: Scene) -> None:
        send_signal(scene.form.processes(self._role), signal.SIGSTOP)

    def clean(self, scene: Scene) -> None:
        send_signal(scene.form.processes(self._role), signal.SIGCONT)


class StopOne(Fault):
    """SIGSTOP of one worker of a role while others work: its work is taken over, it is refused."""

    forms = CLUSTER
    seconds = 18.0

    def __init__(self, role: str) -> None:
        self.name = f"stop one {role}"
        self.says = f"SIGSTOP of one {role} worker for 18 s while others take its work over"
        self._role = role

    def inject(self, scene: Scene) -> None:
        send_signal(scene.form.processes(self._role)[:1], signal.SIGSTOP)

    def heal(self, scene: Scene) -> None:
        send_signal(scene.form.processes(self._role), signal.SIGCONT)

    def clean(self, scene: Scene) -> None:
        self.heal(scene)
