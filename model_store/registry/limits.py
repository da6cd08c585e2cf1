"""How far an engine may be from the reference, and in which units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from model_store.manifest import Manifest


class EquivalenceLimits(Protocol):
    """Largest allowed differences of a pixel."""

    @property
    def equivalence_hu(self) -> float:
        """Of a version that takes HU."""

    @property
    def equivalence_grey(self) -> float:
        """Of a version that takes stored values, in grey levels of 12 bits."""


def limit_of(limits: EquivalenceLimits, manifest: Manifest) -> float:
    """What an engine of a version may differ from the reference, in the version's units."""
    return limits.equivalence_hu if manifest.input.units == "HU" else limits.equivalence_grey


def unit_of(units: str) -> str:
    """A certificate's units in words."""
    return "HU" if units == "HU" else "grey levels of 12 bits"
