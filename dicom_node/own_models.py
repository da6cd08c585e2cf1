"""The node's own store of model versions, which may be on this machine or far away."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import structlog

from dicom_node.errors import ConfigError
from dicom_node.settings import Settings
from model_store.content import ContentStore
from model_store.errors import ContentError

REFRESH_SECONDS: Final = 30.0
"""A remote store is asked for a version that is not here at most this often."""


class OwnModels:
    """The store that ``[models] path`` names, and whether it can be reached.

    Parameters
    ----------
    settings : Settings
    clock : callable
        Seconds, monotonic.

    Attributes
    ----------
    content : ContentStore
    unreachable : str or None
        Why the store could not be asked when it last was.

    Raises
    ------
    ConfigError
        ``[models] path`` is a URL of a kind that cannot be read here.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        spool = settings.storage.path
        path = settings.models.path or spool / "models"
        try:
            self.content: Final = ContentStore(path, spool / "models-cache")
        except ContentError as error:
            raise ConfigError(f"[models] path: {error}") from error
        self.unreachable: str | None = None
        self._remote = "://" in str(path)
        self._clock = clock
        self._refreshed = -math.inf
        self._log = structlog.get_logger("models")

    def refresh(self) -> bool:
        """Look into a remote store; False if that was not long ago, or there is none."""
        if not self._remote or self._clock() < self._refreshed + REFRESH_SECONDS:
            return False
        self._refreshed = self._clock()
        try:
            found = self.content.refresh()
            self.unreachable = None
        except ContentError as error:
            self.unreachable = str(error)
            self._log.error("models.unreachable", error=str(error))
            return False
        for version in found.new:
            self._log.info("model.fetched", version=str(version.ref))
        for name, why in found.refused.items():
            self._log.error("model.not_fetched", version=str(name), why=str(why))
        return bool(found.new)
