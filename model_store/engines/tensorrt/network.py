"""A strongly typed TensorRT network of a model version, and its plan's bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from model_store.engines.base import EngineMemoryError
from model_store.engines.tensorrt.library import TensorrtLibrary
from model_store.engines.tensorrt.profile import Profile, Size
from model_store.errors import EngineError
from model_store.ref import ModelRef

_RANK: Final = 4
_FREE_AXES: Final = (0, 2, 3)


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """What the builder is told; all of it is part of a plan's key.

    Parameters
    ----------
    level : int
        Optimisation level of the builder, 0 to 5.
    workspace : int
        Most bytes of scratch memory; 0 leaves it to the builder.
    """

    level: int = 3
    workspace: int = 0

    def describe(self) -> str:
        """The settings and flags as text."""
        return f"level {self.level}, workspace {self.workspace}, strongly typed, no TF32, no refit"


@dataclass(frozen=True, slots=True)
class BuildOutput:
    """What a build gave.

    Parameters
    ----------
    plan : bytes
        The serialised engine. It differs at every build.
    timings : bytes
        Timing cache to hand to the next build on this device; empty where there is none.
    """

    plan: bytes
    timings: bytes


class TensorrtNetwork:
    """A strongly typed network, parsed and checked.

    Parameters
    ----------
    library : TensorrtLibrary
    data : bytes
        ONNX in the precision that is wanted, with its weights inside.
    ref : ModelRef
        Named in messages.

    Raises
    ------
    EngineError
        If TensorRT cannot parse it, or it is not one float32 input and output of
        ``[N, 1, H, W]`` with free N, H and W.
    """

    def __init__(self, library: TensorrtLibrary, data: bytes, ref: ModelRef) -> None:
        self._api, self._library, self._ref = library.api, library, ref
        self._log = library.log()
        self._builder: Any = self._api.Builder(self._log)
        strongly_typed = 1 << int(self._api.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        self._network: Any = self._builder.create_network(strongly_typed)
        parser = self._api.OnnxParser(self._network, self._log)
        parsed = parser.parse(data)
        if not parsed or not self._network.num_layers or not self._network.num_inputs:
            raise EngineError(f"{ref}: TensorRT cannot parse the ONNX file: {self._log.said()}")
        self._check_ports()

    @property
    def layers(self) -> int:
        """How many layers the parser made."""
        return int(self._network.num_layers)

    @property
    def strongly_typed(self) -> bool:
        """Whether TensorRT may change no layer's type."""
        kind = self._api.NetworkDefinitionCreationFlag.STRONGLY_TYPED
        return bool(self._network.get_flag(kind))

    def types(self) -> dict[str, int]:
        """How many layer outputs have each type, such as ``{"HALF": 40, "FLOAT": 2}``."""
        found: dict[str, int] = {}
        for number in range(self._network.num_layers):
            layer = self._network.get_layer(number)
            for place in range(layer.num_outputs):
                name = str(layer.get_output(place).dtype).rpartition(".")[2]
                found[name] = found.get(name, 0) + 1
        return found

    def build(
        self, profiles: Sequence[Profile], settings: BuildSettings, timings: bytes = b""
    ) -> BuildOutput:
        """Build the plan.

        Parameters
        ----------
        profiles : sequence of Profile
            In the order of the numbers by which an execution context picks one.
        settings : BuildSettings
        timings : bytes
            Timing cache of an earlier build on this device.

        Raises
        ------
        EngineMemoryError
            If memory does not suffice.
        EngineError
            If a profile is refused or the build fails.
        """
        config = self._builder.create_builder_config()
        config.clear_flag(self._api.BuilderFlag.TF32)
        config.builder_optimization_level = settings.level
        if settings.workspace:
            config.set_memory_pool_limit(self._api.MemoryPoolType.WORKSPACE, settings.workspace)
        cache = None
        if self._library.keeps_timings:
            cache = config.create_timing_cache(timings) or config.create_timing_cache(b"")
            config.set_timing_cache(cache, ignore_mismatch=False)
        for profile in profiles:
            self._add(config, profile)
        plan = self._builder.build_serialized_network(self._network, config)
        if plan is None:
            said = self._log.said()
            kind = EngineMemoryError if "memory" in said.lower() else EngineError
            raise kind(f"{self._ref}: TensorRT could not build a plan: {said}")
        return BuildOutput(bytes(plan), bytes(cache.serialize()) if cache is not None else b"")

    def _add(self, config: Any, profile: Profile) -> None:
        made = self._builder.create_optimization_profile()
        name = self._network.get_input(0).name
        try:
            made.set_shape(name, *map(_shape, (profile.least, profile.usual, profile.most)))
        except (ValueError, RuntimeError) as error:
            raise EngineError(f"{self._ref}: profile {profile.name}: {error}") from error
        if config.add_optimization_profile(made) < 0:
            raise EngineError(
                f"{self._ref}: TensorRT refused profile {profile}: {self._log.said()}"
            )

    def _check_ports(self) -> None:
        network, api = self._network, self._api
        if network.num_inputs != 1 or network.num_outputs != 1:
            raise EngineError(f"{self._ref}: the ONNX file must have one input and one output")
        port, made = network.get_input(0), network.get_output(0)
        shape = tuple(port.shape)
        free = tuple(axis for axis, size in enumerate(shape) if size < 0)
        if len(shape) != _RANK or free != _FREE_AXES or shape[1] != 1 or port.dtype != api.float32:
            raise EngineError(f"{self._ref}: the ONNX input must be float32 with free N, H and W")
        if made.dtype != api.float32:
            raise EngineError(f"{self._ref}: the ONNX output must be float32, not {made.dtype}")


def _shape(size: Size) -> tuple[int, int, int, int]:
    return size[0], 1, size[1], size[2]
