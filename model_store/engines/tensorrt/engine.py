"""The TensorRT engine: from a model version to images, on this machine's GPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from model_store.engines.base import Engine, EngineMemoryError, Images
from model_store.engines.golden import golden_images, golden_outputs
from model_store.engines.tensorrt.cuda import CudaDevice
from model_store.engines.tensorrt.device import Device, DeviceProperties, require_device
from model_store.engines.tensorrt.executor import Executor
from model_store.engines.tensorrt.key import plan_key
from model_store.engines.tensorrt.library import TensorrtLibrary, installed, load_library
from model_store.engines.tensorrt.network import BuildOutput, BuildSettings, TensorrtNetwork
from model_store.engines.tensorrt.plan import Plan, PlanCache, default_folder
from model_store.engines.tensorrt.precision import (
    PLAN_PRECISIONS,
    PlanPrecision,
    require_arithmetic,
    typed,
)
from model_store.engines.tensorrt.profile import BATCH, Profile, profiles_of
from model_store.engines.tensorrt.program import TensorrtProgram
from model_store.errors import EngineError, EngineUnavailableError, ModelStoreError
from model_store.store import ModelVersion


@dataclass(frozen=True, slots=True)
class PlanWithProfiles:
    """A plan and the profiles that it was built with.

    Parameters
    ----------
    plan : Plan
    profiles : tuple of Profile
    """

    plan: Plan
    profiles: tuple[Profile, ...]


def make_plan(
    version: ModelVersion,
    precision: PlanPrecision,
    library: TensorrtLibrary,
    device: DeviceProperties,
    folder: Path,
    *,
    batch: int = BATCH,
    settings: BuildSettings | None = None,
) -> PlanWithProfiles:
    """The plan of a model version for a device, from the cache or built now.

    Nothing is deserialised, so this works without a GPU where the library can build without one.

    Parameters
    ----------
    version : ModelVersion
        Its ONNX bytes are read and verified here.
    precision : {"f32", "f16", "int8", "fp8"}
        The last two are calibrated on the version's golden images, those in its own files first.
    library : TensorrtLibrary
    device : DeviceProperties
    folder : Path
        Of the `PlanCache`.
    batch : int
        Most slices of 512 x 512 in one call.
    settings : BuildSettings, optional

    Raises
    ------
    EngineUnavailableError
        If the device has no arithmetic for the precision, or a package that it needs is missing.
    ModelIntegrityError
        If the ONNX file is not the released one.
    EngineError
        If the plan cannot be built or kept; the message has what TensorRT said.
    """
    settings = settings or BuildSettings()
    require_arithmetic(precision, device.compute_capability, device.name)
    released = version.read()
    given = typed(released, precision, version.ref, _calibration_images(version))
    profiles = profiles_of(version.manifest, batch)
    key = plan_key(
        released,
        given,
        precision=precision,
        profiles=profiles,
        settings=settings,
        library=library,
        device=device,
    )

    def build(timings: bytes) -> BuildOutput:
        try:
            return TensorrtNetwork(library, given, version.ref).build(profiles, settings, timings)
        except EngineMemoryError:
            raise
        except EngineError as error:
            raise EngineError(f"no {precision} plan on {device.name}: {error}") from error

    return PlanWithProfiles(PlanCache(folder).get(key, build), profiles)


def _calibration_images(version: ModelVersion) -> Images:
    own = golden_outputs(version)
    return own.images if own is not None else golden_images(version.manifest)


class TensorrtEngine(Engine):
    """A model version as a TensorRT plan on the first GPU that this process sees.

    Unlike other engines it may be called by several threads at once.

    Parameters
    ----------
    version : ModelVersion
        Its ONNX bytes are read and verified here.
    precision : {"f32", "f16", "int8", "fp8"}
        ``f32`` is without TF32; see `typed`.
    plans : Path, optional
        Folder of the plan cache; `default_folder` if left out.
    batch : int
        Most slices of 512 x 512 in one call; halved until the plan can be built in the memory
        there is.

    Raises
    ------
    EngineUnavailableError
        If TensorRT or a GPU is missing, or they do not run together or in this precision.
    ModelIntegrityError
        If the ONNX file is not the released one.
    EngineError
        If the plan cannot be built, kept or loaded.
    """

    def __init__(
        self,
        version: ModelVersion,
        precision: PlanPrecision = "f32",
        *,
        plans: Path | None = None,
        batch: int = BATCH,
    ) -> None:
        installed()
        require_device()
        library = load_library()
        gpu: Device = CudaDevice()
        about = gpu.properties
        try:
            if library.refuses(about.compute_capability):
                raise EngineUnavailableError(
                    f"TensorRT for RTX does not run on {about.name}: install the full TensorRT"
                )
            gpu.activate()
            planned = _fitted(version, precision, library, about, plans or default_folder(), batch)
            program = TensorrtProgram(library, planned.plan, version.ref)
        except ModelStoreError:
            gpu.close()
            raise
        super().__init__(
            version.ref,
            name="tensorrt",
            precision=precision,
            device=about.name,
            preferred_batch=planned.profiles[0].most[0],
        )
        self._library, self._plan, self._about = library, planned.plan, about
        self._gpu = gpu
        self._executor: Executor | None = Executor(gpu, program, planned.profiles)

    def _run(self, images: Images) -> Images:
        if self._executor is None:
            raise EngineError(f"the engine of {self.ref} was closed")
        return self._executor.run(images)

    def close(self) -> None:
        """Free what it holds on the device; closing twice is harmless."""
        if self._executor is not None:
            executor, self._executor = self._executor, None
            executor.close()
            self._gpu.close()

    def describe(self) -> dict[str, str]:
        """Add library, driver and plan to what every engine says."""
        return {
            **super().describe(),
            "library": f"{self._library.name} {self._library.version}",
            "driver": self._about.driver,
            "compute_capability": self._about.capability,
            "plan_key": self._plan.key.digest,
            "plan_sha256": self._plan.sha256,
            "plan": self._plan.story,
        }


def _fitted(  # noqa: PLR0917 -- as `make_plan`
    version: ModelVersion,
    precision: PlanPrecision,
    library: TensorrtLibrary,
    device: DeviceProperties,
    folder: Path,
    batch: int,
) -> PlanWithProfiles:
    """The plan with the largest batch that can be built in the memory there is."""
    try:
        return make_plan(version, precision, library, device, folder, batch=batch)
    except EngineMemoryError:
        if batch == 1:
            raise
    return _fitted(version, precision, library, device, folder, batch // 2)


def build_tensorrt(version: ModelVersion, precision: str = "f32") -> TensorrtEngine:
    """Build a TensorRT engine; see `TensorrtEngine`.

    Raises
    ------
    EngineUnavailableError
        If TensorRT, a GPU or the precision is missing here.
    EngineError
        If the engine cannot be built.
    """
    for known in PLAN_PRECISIONS:
        if precision == known:
            return TensorrtEngine(version, known)
    raise EngineUnavailableError(
        f"tensorrt runs in {', '.join(PLAN_PRECISIONS)}, not in {precision}"
    )
