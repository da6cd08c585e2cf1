"""A released model version on ONNX Runtime, for measuring what is released."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from model_store.manifest import Manifest

Floats = NDArray[np.float32]


class ReleasedModel:
    """A model version as a function of whole images.

    Parameters
    ----------
    folder : Path
        Folder with ``manifest.json`` and the graph that it names.
    threads : int
        Processor threads; 0 leaves the choice to ONNX Runtime.
    """

    def __init__(self, folder: Path, threads: int = 0) -> None:
        self.manifest = Manifest.read(folder / "manifest.json")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            folder / self.manifest.onnx, options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, image: Floats) -> Floats:
        """Denoise one image ``[rows, columns]`` in the manifest's units.

        Values outside the manifest's range are copied through.
        """
        spec, stride = self.manifest.input, self.manifest.tiling.stride
        rows, columns = image.shape
        more = ((0, -rows % stride), (0, -columns % stride))
        x = np.pad((image + np.float32(spec.offset)) / np.float32(spec.scale), more, mode="reflect")
        (y,) = self._session.run(None, {"image": x[None, None].astype(np.float32)})
        change = y[0, 0, :rows, :columns] * np.float32(spec.scale)
        if self.manifest.output == "image":
            change = change - np.float32(spec.offset) - image
        inside = (image >= spec.minimum) & (image <= spec.maximum)
        result: Floats = np.where(inside, image + change, image)
        return result
