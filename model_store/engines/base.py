"""What every engine promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from model_store.errors import EngineError
from model_store.ref import ModelRef

Images = NDArray[np.float32]
"""Float32 array of shape ``[N, 1, H, W]`` in the model's own normalised unit."""

_RANK = 4
_OUT_OF_MEMORY = (
    "bad_alloc",
    "bad allocation",
    "out of memory",
    "not enough memory",
    "failed to allocate",
    "could not allocate",
    "can't allocate",
    "cannot allocate",
)


class EngineMemoryError(EngineError):
    """An engine ran out of memory; a smaller batch may pass."""


class DeviceLostError(EngineError):
    """The device failed for this process for good: it must end and a fresh one start."""


class Engine(ABC):
    """A model version made callable on one device.

    An engine is used by one thread at a time. `close` frees what it holds; afterwards it cannot be
    called again.

    Parameters
    ----------
    ref : ModelRef
        The version that it was built from.
    name : str
        Kind of engine, for example ``openvino``.
    precision : str
        Arithmetic of the convolutions: ``f32``, ``bf16``, ``f16``, ``int8``.
    device : str
        What it runs on, in words.
    preferred_batch : int
        Images of a usual size that one call should get; 1 where a batch gains nothing.
    """

    def __init__(
        self, ref: ModelRef, *, name: str, precision: str, device: str, preferred_batch: int = 1
    ) -> None:
        self._ref = ref
        self._name = name
        self._precision = precision
        self._device = device
        self._preferred_batch = preferred_batch

    @property
    def ref(self) -> ModelRef:
        """The model version that this engine was built from."""
        return self._ref

    @property
    def name(self) -> str:
        """Kind of engine, for example ``openvino``."""
        return self._name

    @property
    def precision(self) -> str:
        """Arithmetic of the convolutions: ``f32``, ``bf16``, ``f16``, ``int8``."""
        return self._precision

    @property
    def device(self) -> str:
        """What it runs on, in words."""
        return self._device

    @property
    def preferred_batch(self) -> int:
        """Images of a usual size that one call should get; 1 where a batch gains nothing."""
        return self._preferred_batch

    def infer(self, images: Images) -> Images:
        """Run the network.

        Parameters
        ----------
        images : ndarray of float32, shape (N, 1, H, W)
            Normalised images; H and W are multiples of the manifest's stride.

        Returns
        -------
        ndarray of float32, shape (N, 1, H, W)
            What the network gives, which the manifest's ``output`` explains. The caller owns it.

        Raises
        ------
        EngineMemoryError
            If memory does not suffice for this many images.
        DeviceLostError
            If the device does not work for this process any more.
        EngineError
            If the input has another shape or dtype, or the engine fails or was closed.
        """
        if images.dtype != np.float32 or images.ndim != _RANK or images.shape[1] != 1:
            raise EngineError(
                f"an engine takes float32 N x 1 x H x W, not {images.dtype} {images.shape}"
            )
        result = self._run(np.ascontiguousarray(images))
        if result.shape != images.shape:
            raise EngineError(f"{self.ref}: {images.shape} became {result.shape}")
        return result

    @abstractmethod
    def _run(self, images: Images) -> Images:
        """Run the network on a contiguous array; the result is not reused by the engine."""

    @abstractmethod
    def close(self) -> None:
        """Free what the engine holds; closing twice is harmless."""

    def describe(self) -> dict[str, str]:
        """Everything that an audit record needs to run the same arithmetic again."""
        return {
            "model": str(self.ref),
            "sha256": self.ref.sha256,
            "engine": self.name,
            "precision": self.precision,
            "device": self.device,
        }

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def engine_error(ref: ModelRef, doing: str, error: Exception) -> EngineError:
    """Put a library's exception in our words: out of memory is told apart from the rest.

    Parameters
    ----------
    ref : ModelRef
        The version at hand.
    doing : str
        What was being done, for example ``"running"``.
    error : Exception
        What the library raised.
    """
    first_line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    text = f"{doing} {ref} failed: {first_line[:300] or type(error).__name__}"
    memory = isinstance(error, MemoryError) or any(
        sign in str(error).lower() for sign in _OUT_OF_MEMORY
    )
    return EngineMemoryError(text) if memory else EngineError(text)
