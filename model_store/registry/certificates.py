"""Equivalence certificates: an engine on this machine against a version's torch reference.

A certificate is of everything that the numbers depend on: manifest (which has the hash of every
file), engine, precision, device and libraries. If one of them changes, another is made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from model_store.engines.base import Engine
from model_store.engines.equivalence import certify
from model_store.errors import EngineError
from model_store.ref import ModelName
from model_store.registry.records import Certificate
from model_store.store import ModelVersion
from model_store.trust.signature import manifest_sha256

_LIBRARY: Final = ("library", "driver", "compute_capability", "plan_sha256")
_UNITS: Final = {"HU": "HU", "stored": "grey"}
_LONGEST: Final = 128


class Certificates(Protocol):
    """Where certificates are kept."""

    def newest_first(self, name: ModelName) -> Sequence[Certificate]:
        """Those of one version."""

    def add(self, certificate: Certificate) -> None:
        """Keep one."""

    def clock(self) -> datetime:
        """Now, with a time zone."""


@dataclass(frozen=True, slots=True)
class HeldCertificate:
    """A certificate, and whether it was made just now."""

    certificate: Certificate
    fresh: bool


def certified(
    kept: Certificates, version: ModelVersion, engine: Engine, limit: float, who: str
) -> HeldCertificate:
    """The certificate of an engine: the newest that is kept, else one that is made now.

    Parameters
    ----------
    kept : Certificates
    version : ModelVersion
        What the engine was built from.
    engine : Engine
        Ready to run.
    limit : float
        Largest allowed difference of a pixel, in HU or grey levels of 12 bits. Whether an old
        certificate meets it is for the caller to judge: it keeps the limit that it was made under.
    who : str
        On whose behalf.

    Raises
    ------
    EngineUnavailableError
        If there is nothing to compare with: no golden outputs, and no torch here.
    EngineError, ModelIntegrityError
        If the engine fails, or the version's files are not the released ones.
    Exception
        What `kept` raises.
    """
    name = ModelName(version.ref.name, version.ref.version)
    key = (
        version.ref.sha256, manifest_sha256(version), engine.name,
        engine.precision, engine.device[:_LONGEST], library(engine),
    )  # fmt: skip
    for each in kept.newest_first(name):
        if key == (
            each.onnx_sha256, each.manifest_sha256, each.engine,
            each.precision, each.device, dict(each.library),
        ):  # fmt: skip
            return HeldCertificate(each, fresh=False)
    found = certify(version, engine, limit)
    if not math.isfinite(found.largest):
        raise EngineError(f"{version.ref} gives values that are not finite on {engine.name}")
    onnx, manifest, kind, precision, device, libraries = key
    made = Certificate(
        name=name.name, version=name.tag, onnx_sha256=onnx, manifest_sha256=manifest,
        engine=kind, precision=precision, device=device, library=libraries,
        images=found.images, largest=found.largest, mean=found.mean, rms=found.rms,
        limit=limit, units=_UNITS[version.manifest.input.units], passed=found.passed,
        at=kept.clock(), who=who,
    )  # fmt: skip
    kept.add(made)
    return HeldCertificate(made, fresh=True)


def library(engine: Engine) -> dict[str, str]:
    """The libraries that an engine runs on, and the plan where it has one, as it describes them."""
    about = engine.describe()
    return {name: about[name] for name in _LIBRARY if name in about}
