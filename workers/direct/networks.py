"""The networks of this process for work that is done at once, one call at a time."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from dicom_node.models import Models
from dicom_node.settings import Settings
from model_store.ref import ModelName, ModelRef
from model_store.store import ModelVersion
from workers.engines import Denoisers
from workers.frame import Frame
from workers.infer import Denoiser


class Networks:
    """Model versions as a node's settings have them, and engines built when first asked for.

    Any number of threads may use one; the engine works for one of them at a time.

    Parameters
    ----------
    settings : Settings
        Where versions are and whose are trusted; engine, precision, threads and tile.
    models : Models, optional
        Absent: as alias files and folders have them, and the ledger if there is one.
    """

    def __init__(self, settings: Settings, models: Models | None = None) -> None:
        self.settings = settings
        self.models = models or Models.at_hand(settings)
        self._denoisers = Denoisers(self.models, settings.workers)
        self._lock = Lock()

    def resolve(self, name: ModelName) -> ModelVersion:
        """The version that a name stands for now; see `dicom_node.models.Models.resolve`."""
        with self._lock:
            return self.models.resolve(name)

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
            return denoiser.denoise(frames, strength=strength), denoiser
