"""The networks of this process for work that is done at once, one call at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import numpy as np
import structlog
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_node.domain.route import Route
from dicom_node.errors import ConfigError
from dicom_node.models import Models
from dicom_node.routing.deciding import Decider, Decision
from dicom_node.settings import Settings
from model_store.ref import ModelName, ModelRef
from model_store.store import ModelVersion
from workers.engines import Denoisers
from workers.frame import Frame
from workers.infer import Denoiser, TilesDone


class Networks:
    """Model versions as a node's settings have them, and engines built when first asked for.

    Any number of threads may use one; the engine works for one of them at a time.

    Parameters
    ----------
    settings : Settings
        Where versions are and whose are trusted; engine, precision, threads and tile. Aliases are
        the ledger's if it is there, else those of alias files.
    on_tiles : callable, optional
        Told how far each image is.

    Raises
    ------
    ConfigError
        The storage folder that the settings name may not be looked into.
    """

    def __init__(self, settings: Settings, on_tiles: TilesDone | None = None) -> None:
        self._on_tiles = on_tiles
        self.settings = _of_somebody(settings)
        self.models = Models.at_hand(self.settings)
        if not self.models.has_ledger and _has_ledger(self.settings):
            structlog.get_logger("models").warning(
                "models.without_ledger", why="its database does not answer",
                next="aliases are as alias files have them",
            )  # fmt: skip
        self._denoisers = Denoisers(self.models, self.settings.workers)
        self._lock = Lock()

    def resolve(self, name: ModelName) -> ModelVersion:
        """The version that a name stands for now; see `dicom_node.models.Models.resolve`."""
        with self._lock:
            return self.models.resolve(name)

    def decide(self, rule: Route, header: Dataset) -> Decision:
        """What planning says of an object, if `rule` is the only route."""
        with self._lock:
            return Decider(self.settings, self.models, (rule,)).decide(header)

    def run(
        self, model: ModelRef, frames: Sequence[Frame], strength: float
    ) -> tuple[list[NDArray[np.float32]], Denoiser]:
        """Denoise frames; also gives what did it, which says how.

        Raises
        ------
        NodeError
            As `workers.engines.Denoisers.get` and `workers.infer.Denoiser.denoise` do.
        """
        with self._lock:
            denoiser = self._denoisers.get(model)
            made = denoiser.denoise(frames, strength=strength, on_tiles=self._on_tiles)
            return made, denoiser


def _of_somebody(settings: Settings) -> Settings:
    """The settings, with a folder that this user may look into.

    The storage folder that is the default is a service's: for anybody else who names none there is
    only what comes with the package, and a folder of their own.
    """
    path = settings.storage.path
    try:
        (path / "models").exists()
    except PermissionError as error:
        if "storage" in settings.model_fields_set:
            raise ConfigError(
                f"[storage] path {path} may not be looked into; ask as the node's own user"
            ) from error
        own = settings.storage.model_copy(update={"path": _own_folder()})
        return settings.model_copy(update={"storage": own})
    return settings


def _own_folder() -> Path:
    try:
        return Path.home() / ".cache" / "dicom-node"
    except RuntimeError:  # who has no home
        return Path("/nonexistent")


def _has_ledger(settings: Settings) -> bool:
    """Whether there is a ledger, be it that it does not answer."""
    return settings.database.url is not None or (settings.storage.path / "ledger.sqlite").exists()
