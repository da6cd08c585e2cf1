"""The generator as it was trained, run by torch: slow, and the judge of every other engine."""

from __future__ import annotations

import importlib
import json
import struct
from typing import Any

import numpy as np

from model_store.engines.base import Engine, Images, engine_error
from model_store.errors import EngineError, EngineUnavailableError, ModelIntegrityError
from model_store.manifest import Manifest
from model_store.registry import ModelVersion

_SUFFIX = ".safetensors"
_HEADER = struct.Struct("<Q")


class TorchEngine(Engine):
    """A model version's safetensors in the generator of its system, in f32 on the processor.

    Parameters
    ----------
    version : ModelVersion
        Its safetensors bytes are read and verified here.
    threads : int
        Threads of torch, for the whole process; 0 leaves them as they are.
    compiled : bool
        Run it through ``torch.compile``; the first call of each size then takes seconds.

    Raises
    ------
    EngineUnavailableError
        If torch or safetensors is not installed, or the version has no safetensors file.
    ModelIntegrityError
        If that file is not the released one, or its tensors do not fit the generator.
    EngineError
        If the version's system has no generator here.
    """

    def __init__(self, version: ModelVersion, threads: int = 0, *, compiled: bool = False) -> None:
        try:
            torch: Any = importlib.import_module("torch")
            load = importlib.import_module("safetensors.torch").load
        except ImportError as error:
            raise EngineUnavailableError(
                "the torch engine needs torch and safetensors: pip install 'dicom-node[train]'"
            ) from error
        name = "torch-compile" if compiled else "torch"
        super().__init__(version.ref, name=name, precision="f32", device="CPU")
        if threads:
            torch.set_num_threads(threads)
        data = version.read(_weights_name(version.manifest))
        self._torch = torch
        generator: Any = _generator(version.manifest, _metadata(data)).eval()
        try:
            generator.load_state_dict(load(data))
        except (RuntimeError, KeyError, ValueError) as error:
            raise ModelIntegrityError(
                f"{version.ref}: the weights do not fit the generator of {version.manifest.system}"
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


def _weights_name(manifest: Manifest) -> str:
    names = [name for name in manifest.files if name.endswith(_SUFFIX)]
    if len(names) != 1:
        raise EngineUnavailableError(
            f"{manifest.ref} has {len(names)} safetensors files; the torch engine needs one"
        )
    return names[0]


def _metadata(data: bytes) -> dict[str, str]:
    (length,) = _HEADER.unpack_from(data)
    header = json.loads(data[_HEADER.size : _HEADER.size + length])
    found: dict[str, str] = header.get("__metadata__") or {}
    return found


def _generator(manifest: Manifest, metadata: dict[str, str]) -> Any:
    build = importlib.import_module("model_store.generators.build")
    if manifest.system == "drl":
        return build.build_drl(int(metadata.get("width", "64")))
    if manifest.system == "n2n-unet":
        default = "true" if manifest.output == "residual" else "false"
        return build.build_n2n_unet(residual=metadata.get("residual", default).lower() == "true")
    raise EngineError(f"{manifest.ref}: no generator for system {manifest.system} here")
