"""Models that are away: everywhere for a while, or on one worker."""

from __future__ import annotations

import signal

from tests.chaos.fault import CLUSTER, Fault, Scene
from tests.chaos.forms import Cluster
from tests.chaos.system import send_signal

_NUMBER = 99


class ModelAway(Fault):
    """The folder of the model versions goes away and comes back; workers start meanwhile."""

    name = "model away"
    says = "the model folder away for 12 s, infer killed meanwhile"
    seconds = 12.0

    def __init__(self) -> None:
        self._away = False

    def inject(self, scene: Scene) -> None:
        scene.form.models.rename(scene.form.models.with_suffix(".away"))
        self._away = True
        send_signal(scene.form.processes("infer"), signal.SIGKILL)

    def heal(self, scene: Scene) -> None:
        if self._away:
            scene.form.models.with_suffix(".away").rename(scene.form.models)
            self._away = False

    def clean(self, scene: Scene) -> None:
        self.heal(scene)


class WorkerWithoutModel(Fault):
    """One more worker, whose machine does not have the model."""

    name = "worker without model"
    says = "one more infer worker that does not have the model, for 10 s"
    forms = CLUSTER
    seconds = 10.0

    def inject(self, scene: Scene) -> None:
        empty = scene.form.node.folder / "no-models"
        empty.mkdir(exist_ok=True)
        assert isinstance(scene.form, Cluster)
        scene.form.add("infer", _NUMBER, {"DICOM_NODE_MODELS__PATH": str(empty)})

    def clean(self, scene: Scene) -> None:
        assert isinstance(scene.form, Cluster)
        scene.form.remove("infer", _NUMBER)
