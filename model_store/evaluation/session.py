"""A model version on ONNX Runtime, or a run on torch, as a function of whole images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from model_store.manifest import InputSpec, Manifest

Floats = NDArray[np.float32]


class MeasuredModel(Protocol):
    """What evaluation measures: images in, images out, both in the model's units."""

    @property
    def margin(self) -> int:
        """Pixels around a crop that the network looks at."""

    def __call__(self, image: Floats, *, beyond: bool = False) -> Floats:
        """Denoise one image; values outside the model's range too if `beyond`."""


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
        self._input = self._session.get_inputs()[0].name

    @property
    def margin(self) -> int:
        """Pixels around a crop that the network looks at."""
        return self.manifest.tiling.margin

    def __call__(self, image: Floats, *, beyond: bool = False) -> Floats:
        """Denoise one image ``[rows, columns]`` in the manifest's units.

        Values outside the manifest's range are copied through, unless `beyond`.
        """
        spec = self.manifest.input

        def change(x: Floats) -> Floats:
            (y,) = self._session.run(None, {self._input: x[None, None]})
            result: Floats = y[0, 0] if self.manifest.output == "residual" else y[0, 0] - x
            return result

        return denoise(image, change, spec, self.manifest.tiling.stride, beyond=beyond)


def denoise(
    image: Floats,
    change: Callable[[Floats], Floats],
    spec: InputSpec,
    stride: int,
    *,
    beyond: bool = False,
) -> Floats:
    """Apply a network to an image in physical units.

    Parameters
    ----------
    image : ndarray of shape (rows, columns)
        Image in the unit of `spec`.
    change : callable
        The network's ``G(x) - x`` on normalised values, rows and columns multiples of `stride`.
    spec : InputSpec
        Normalisation, and the range outside which values are copied through.
    stride : int
        The image is continued by reflection, below and to the right, to a multiple of it.
    beyond : bool
        Whether values outside the range are changed as well.
    """
    rows, columns = image.shape
    more = ((0, -rows % stride), (0, -columns % stride))
    x = np.pad((image + np.float32(spec.offset)) / np.float32(spec.scale), more, mode="reflect")
    changed = change(x.astype(np.float32))[:rows, :columns] * np.float32(spec.scale)
    if beyond:
        return image + changed
    inside = (image >= spec.minimum) & (image <= spec.maximum)
    result: Floats = np.where(inside, image + changed, image)
    return result
