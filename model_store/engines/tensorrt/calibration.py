"""Calibration: how large the values between a network's layers become on a version's own images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from model_store.engines.base import Images, engine_error
from model_store.engines.openvino import load_openvino
from model_store.errors import EngineError
from model_store.ref import ModelRef


def largest_values(
    data: bytes, names: Sequence[str], images: Images, ref: ModelRef
) -> dict[str, float]:
    """Largest absolute value of tensors inside a network, over all images.

    The largest, and no percentile of it: with 99.99 % of the values inside the range, what is
    clipped is metal and bone, and the released models come out up to 200 HU away from f32 there.

    The network is run in f32 by OpenVINO on the processor, so no GPU is needed.

    Parameters
    ----------
    data : bytes
        The released ONNX file, float32.
    names : sequence of str
        Tensors to look at, as the file names them.
    images : ndarray of float32, shape (N, 1, H, W)
        Calibration images, normalised; they go through one by one.
    ref : ModelRef
        Named in messages.

    Returns
    -------
    dict of str to float
        By the tensor's name; at least 0.

    Raises
    ------
    EngineUnavailableError
        If OpenVINO cannot be imported.
    EngineError
        If the network cannot be run, lacks a tensor, or gives values that are not finite.
    """
    openvino = load_openvino()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "EXECUTION_MODE_HINT": "ACCURACY"}
    found = dict.fromkeys(names, 0.0)
    try:
        core = openvino.Core()
        model = core.read_model(data)
        ports = [port for name in names for port in model.add_outputs(name)]
        request = core.compile_model(model, "CPU", settings).create_infer_request()
        for image in images[:, np.newaxis]:
            request.infer([np.ascontiguousarray(image)])
            for name, port in zip(names, ports, strict=True):
                largest = float(np.abs(request.get_tensor(port).data).max())
                found[name] = max(found[name], largest)
    except (RuntimeError, MemoryError) as error:
        raise engine_error(ref, "calibrating", error) from error
    if broken := [name for name, largest in found.items() if not np.isfinite(largest)]:
        raise EngineError(f"{ref}: {broken[0]} is not finite on the calibration images")
    return found
