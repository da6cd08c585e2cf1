"""The PACS: gone, silent, aborting, refusing, and losing its answers."""

from __future__ import annotations

from tests.chaos.archive import Conduct
from tests.chaos.fault import Fault, Scene


class PacsDown(Fault):
    """Nothing listens there."""

    name = "PACS down"
    says = "nothing listens at the PACS's port for 8 s"
    seconds = 8.0

    def inject(self, scene: Scene) -> None:
        scene.archive.stop()

    def heal(self, scene: Scene) -> None:
        scene.archive.start()


class _Conduct(Fault):
    """The PACS behaves in another way for a while."""

    conduct: Conduct

    def inject(self, scene: Scene) -> None:
        scene.archive.conduct = self.conduct

    def heal(self, scene: Scene) -> None:
        scene.archive.conduct = Conduct.KEEPS


class PacsSilent(_Conduct):
    """It takes objects and says nothing."""

    name = "PACS silent"
    says = "the PACS takes objects for 12 s, keeps none and says nothing"
    conduct = Conduct.SILENT
    seconds = 12.0


class PacsAborts(_Conduct):
    """It aborts every association at the first object."""

    name = "PACS aborts"
    says = "the PACS aborts every association for 6 s"
    conduct = Conduct.ABORTS
    seconds = 6.0
    quick = True


class AnswersLost(_Conduct):
    """It keeps objects, and the connection breaks before it has said so."""

    name = "answers lost"
    says = "every fifth object is kept, and the connection breaks before the answer, for 10 s"
    conduct = Conduct.LOSES_ANSWERS
    seconds = 10.0
    quick = True


class Refuses(Fault):
    """It answers a failure."""

    seconds = 6.0

    def __init__(self, status: int, *, final: bool, quick: bool = False) -> None:
        self.name = f"PACS refuses 0x{status:04X}"
        self.says = f"the PACS answers 0x{status:04X} for 6 s" + (
            ", which is final: a person tries again" if final else ""
        )
        self.quick = quick
        self._status = status
        self._final = final

    def inject(self, scene: Scene) -> None:
        scene.archive.refusal = self._status

    def heal(self, scene: Scene) -> None:
        scene.archive.refusal = None

    def settle(self, scene: Scene) -> None:
        if self._final:
            scene.form.node.command("study", "retry", "--all-failed")
