"""Plan key: everything that a plan depends on. A plan with another key is never used."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from model_store.engines.tensorrt.device import DeviceProperties
from model_store.engines.tensorrt.library import TensorrtLibrary
from model_store.engines.tensorrt.network import BuildSettings
from model_store.engines.tensorrt.precision import PlanPrecision
from model_store.engines.tensorrt.profile import Profile


@dataclass(frozen=True, slots=True)
class PlanKey:
    """What a plan was built from, with what and for which device.

    Parameters
    ----------
    parts : mapping of str to str
        Every part by its name, readable.
    device : str
        Short name of the device, driver and library, which share a timing cache.
    """

    parts: Mapping[str, str]
    device: str
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        text = json.dumps(dict(self.parts), sort_keys=True, ensure_ascii=False)
        object.__setattr__(self, "digest", hashlib.sha256(text.encode()).hexdigest())


def plan_key(
    released: bytes,
    given: bytes,
    *,
    precision: PlanPrecision,
    profiles: Sequence[Profile],
    settings: BuildSettings,
    library: TensorrtLibrary,
    device: DeviceProperties,
) -> PlanKey:
    """Key of the plan that would be built here and now.

    Parameters
    ----------
    released, given : bytes
        The ONNX file as it was released, and as TensorRT gets it; weights are inside.
    precision, profiles, settings
        How the plan is built.
    library : TensorrtLibrary
        With its full version: no plan is taken across versions.
    device : DeviceProperties
        The device with its driver.
    """
    where = {
        "library": f"{library.name} {library.version}",
        "cuda_runtime": library.cuda_runtime,
        "system": f"{platform.system()} {platform.machine()}",
        **{f"device.{name}": str(value) for name, value in asdict(device).items()},
    }
    parts = {
        "onnx": hashlib.sha256(released).hexdigest(),
        "network": hashlib.sha256(given).hexdigest(),
        "precision": precision,
        "profiles": "; ".join(map(str, profiles)),
        "settings": settings.describe(),
        **where,
    }
    short = hashlib.sha256(json.dumps(where, sort_keys=True).encode()).hexdigest()[:16]
    return PlanKey(parts, short)
