"""Denoisers of this process: built once for each model version, the least used let go."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import structlog

from dicom_node import signs
from dicom_node.errors import FailItem, ModelNotHere, RetryLater
from dicom_node.models import Models
from dicom_node.settings import WorkerSettings
from model_store.engines.base import DeviceLostError, EngineMemoryError
from model_store.engines.select import choose_engine
from model_store.errors import EngineUnavailableError, ModelAwayError, ModelStoreError
from model_store.ref import ModelName, ModelRef
from workers.infer import Denoiser

_MOST: Final = 4
"""Denoisers that a process keeps, unless its routes name more."""


class Denoisers:
    """Builds and keeps denoisers.

    Parameters
    ----------
    models : Models
    settings : WorkerSettings
        Engine, precision, threads and tile size.
    """

    def __init__(self, models: Models, settings: WorkerSettings) -> None:
        self._models = models
        self._settings = settings
        self._ready: OrderedDict[ModelRef, Denoiser] = OrderedDict()
        self._most = _MOST
        self._log = structlog.get_logger("engines")

    def get(self, ref: ModelRef) -> Denoiser:
        """Denoiser of exactly this model version.

        Its files and signature are verified before they are loaded, once in a process; one that
        was retired since it was planned is used all the same.

        Raises
        ------
        FailItem
            The version is not in the store, or its bytes are not the ones that were planned.
        ModelNotHere
            The engine cannot be built here now, for want of memory too, or the store is out of
            reach.
        DeviceLostError
            The GPU is lost: the process must end.
        """
        if ref in self._ready:
            self._ready.move_to_end(ref)
            return self._ready[ref]
        try:
            version = self._models.version(ModelName(ref.name, ref.version))
            if version.ref != ref:
                raise FailItem(
                    f"model {ref} in the store has sha256 {version.ref.sha256[:12]}..., the work "
                    f"was planned with {ref.sha256[:12]}...; versions must never change"
                )
            choice = choose_engine(
                version,
                kind=self._settings.engine,
                precision=self._settings.precision,
                threads=self._settings.engine_threads,
            )
        except DeviceLostError:
            raise
        except (EngineUnavailableError, EngineMemoryError, ModelAwayError) as error:
            raise ModelNotHere(f"model {ref}: {error}") from error
        except ModelStoreError as error:
            raise FailItem(f"model {ref}: {error}") from error
        self._log.info(
            "engine.ready", version=str(ref), why=choice.reason, engine=choice.engine.describe()
        )
        self._ready[ref] = Denoiser(version, choice.engine, tile=self._settings.tile)
        while len(self._ready) > self._most:
            _, old = self._ready.popitem(last=False)
            old.engine.close()
        return self._ready[ref]

    def warm(self, names: set[ModelName]) -> None:
        """Build what routes name, so that the first study does not wait; faults are only logged.

        As many are kept from then on, if that is more than otherwise.
        """
        self._most = max(_MOST, len(names))
        for name in sorted(names, key=str):
            signs.own().give(signs.LONGEST)
            try:
                self.get(self._models.resolve(name).ref)
            except (ModelStoreError, FailItem, RetryLater) as error:
                self._log.error("engine.unavailable", model=str(name), error=str(error))
