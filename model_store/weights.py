"""The trained weights of a model version, as its generator names them.

They stand once: in the graph, whose initialisers carry the generator's own names. Only where batch
normalisation was folded into the convolutions, so that the graph no longer has what was trained,
``weights.safetensors`` stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from model_store.errors import EngineUnavailableError, ModelIntegrityError
from model_store.onnx_tensor import initialisers
from model_store.store import ModelVersion

WEIGHTS = "weights.safetensors"
"""File of the weights beside the manifest, where the graph does not hold them all."""

Weights = Mapping[str, NDArray[Any]]
"""Arrays by their names in the generator's ``state_dict``."""

_EXPORTED = "generator."


def weights_in_graph(onnx: bytes) -> Weights:
    """The weights that an exported graph holds under its generator's names.

    Parameters
    ----------
    onnx : bytes
        A graph of `model_store.export`.

    Raises
    ------
    GraphError
        If it is no graph that an engine may see.
    """
    return {
        name.removeprefix(_EXPORTED): array
        for name, array in initialisers(onnx).items()
        if name.startswith(_EXPORTED)
    }


def trained_weights(version: ModelVersion) -> Weights:
    """Read the weights of a version; its bytes are verified here.

    Raises
    ------
    ModelIntegrityError
        If a file is not the released one or is no safetensors file.
    EngineUnavailableError
        If neither the graph nor a file beside it holds weights under a generator's names.
    """
    if WEIGHTS in version.manifest.files:
        try:
            return dict(load(version.read(WEIGHTS)))
        except SafetensorError as error:
            raise ModelIntegrityError(f"{version.ref}: {WEIGHTS} is damaged: {error}") from error
    found = weights_in_graph(version.read())
    if not found:
        raise EngineUnavailableError(
            f"{version.ref} has no {WEIGHTS}, and its graph has no weights under a generator's "
            "names; torch needs them"
        )
    return found


def same_weights(one: Weights, other: Weights) -> bool:
    """Whether two have the same names and, bit for bit, the same numbers."""
    return one.keys() == other.keys() and all(
        one[name].shape == other[name].shape
        and one[name].dtype == other[name].dtype
        and one[name].tobytes() == np.ascontiguousarray(other[name]).tobytes()
        for name in one
    )
