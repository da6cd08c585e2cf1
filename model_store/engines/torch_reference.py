"""The generator as it was trained, run by torch: slow, and the judge of every other engine."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from model_store.engines.base import Engine, Images, engine_error
from model_store.errors import (
    EngineError,
    EngineUnavailableError,
    ModelIntegrityError,
    RecipeError,
)
from model_store.file_names import RECIPE
from model_store.generators.sections import GeneratorSection, read_generator
from model_store.store import ModelVersion
from model_store.weights import trained_weights


class TorchEngine(Engine):
    """A model version's weights in the generator of its recipe, in f32 on the processor.

    Parameters
    ----------
    version : ModelVersion
        The bytes of its recipe and weights are read and verified here.
    threads : int
        Threads of torch, for the whole process; 0 leaves them as they are.
    compiled : bool
        Run it through ``torch.compile``; the first call of each size then takes seconds.

    Raises
    ------
    EngineUnavailableError
        If torch is not installed, or the version has no weights that torch can use, or no recipe.
    ModelIntegrityError
        If a file is not the released one, the recipe is of another system than the manifest, or
        the tensors do not fit the generator.
    EngineError
        If the recipe's generator cannot be built here.
    """

    def __init__(self, version: ModelVersion, threads: int = 0, *, compiled: bool = False) -> None:
        try:
            torch: Any = importlib.import_module("torch")
        except ImportError as error:
            raise EngineUnavailableError(
                "the torch engine needs torch: pip install 'dicom-node[train]'"
            ) from error
        name = "torch-compile" if compiled else "torch"
        super().__init__(version.ref, name=name, precision="f32", device="CPU")
        if threads:
            torch.set_num_threads(threads)
        weights = trained_weights(version)
        section = _section(version)
        self._torch = torch
        build = importlib.import_module("model_store.generators.build").build
        tensors = importlib.import_module("model_store.generators.base").tensors
        generator: Any = build(section).eval()
        try:
            generator.load_state_dict(tensors(weights))
        except (RuntimeError, KeyError, ValueError) as error:
            raise ModelIntegrityError(
                f"{version.ref}: the weights do not fit the recipe's {section.system} generator"
            ) from error
        network = generator.residual if version.manifest.output == "residual" else generator
        self._network: Any = torch.compile(network) if compiled else network

    def _run(self, images: Images) -> Images:
        if self._network is None:
            raise EngineError(f"the engine of {self.ref} was closed")
        try:
            with self._torch.inference_mode():
                made = self._network(self._torch.from_numpy(images)).numpy()
        except (RuntimeError, MemoryError) as error:
            raise engine_error(self.ref, "running", error) from error
        return np.ascontiguousarray(made, dtype=np.float32)

    def close(self) -> None:
        """Free the generator; closing twice is harmless."""
        self._network = None

    def describe(self) -> dict[str, str]:
        """Add torch's version and threads to what every engine says."""
        return {
            **super().describe(),
            "library": str(self._torch.__version__),
            "threads": str(self._torch.get_num_threads()),
        }


def _section(version: ModelVersion) -> GeneratorSection:
    if RECIPE not in version.manifest.files:
        raise EngineUnavailableError(
            f"{version.ref} has no {RECIPE}; the torch engine builds the generator from it"
        )
    try:
        section = read_generator(version.read(RECIPE).decode())
    except (RecipeError, UnicodeDecodeError) as error:
        raise EngineError(f"{version.ref}: {RECIPE} names no generator here: {error}") from error
    if section.system != version.manifest.system:
        raise ModelIntegrityError(
            f"{version.ref}: {RECIPE} is of system {section.system}, "
            f"the manifest of {version.manifest.system}"
        )
    return section
