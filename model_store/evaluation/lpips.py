"""LPIPS, the perceptual distance (PDR) that DNGAN's publication reports."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as f

from model_store.errors import DataError

Floats = NDArray[np.float32]

FEATURES = "alexnet_features_fp32.safetensors"
HEADS = "lpips_lin_alex_v0.1.safetensors"
SHA256 = {
    FEATURES: "9f97fd313f4da83dbe6bbfbe6effca1241de9edfcd7c53386261ed9697286dd9",
    HEADS: "255d6454292d155a069f693a111769acec003d588617b250f24775369c816e04",
}
"""The weights that the distance is defined by."""

DESCRIPTION = "LPIPS v0.1, AlexNet, linear heads"

# index of the convolution in torchvision's `features`, stride, padding, pooled before it
_LAYERS = ((0, 4, 2, False), (3, 1, 2, True), (6, 1, 1, True), (8, 1, 1, False), (10, 1, 1, False))
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
SMALLEST = 32
"""Fewest rows and columns of an image."""


class Lpips:
    """Learned perceptual image patch similarity (Zhang et al. 2018), AlexNet, version 0.1.

    ReLU maps of the five convolutions of an ImageNet AlexNet are normalised to unit length over
    channels; their squared differences are weighted by the published linear heads and averaged
    over positions. Not a metric of radiographs or CT: it was fitted to what people see in
    photographs, and is reported because the publication does.

    Parameters
    ----------
    weights : Path
        Folder with the files that `SHA256` names.

    Raises
    ------
    DataError
        If a file is missing, or is not the one that the distance is defined by.
    """

    def __init__(self, weights: Path) -> None:
        features, heads = _load(weights / FEATURES), _load(weights / HEADS)
        self._convolutions = [
            (features[f"features.{index}.weight"], features[f"features.{index}.bias"])
            for index, *_ in _LAYERS
        ]
        self._heads = [heads[f"lin{level}.model.1.weight"] for level in range(len(_LAYERS))]
        self._shift = torch.tensor(_SHIFT).view(1, 3, 1, 1)
        self._scale = torch.tensor(_SCALE).view(1, 3, 1, 1)

    def __call__(self, image: Floats, reference: Floats) -> float:
        """Distance of two grey images ``[rows, columns]`` with values in 0..1; 0 if equal.

        Parameters
        ----------
        image, reference : ndarray of shape (rows, columns)
            At least 32 rows and columns. Values outside 0..1 are clipped. Each is replicated to
            three channels and scaled to -1..1.

        Raises
        ------
        DataError
            If the shapes differ or are too small.
        """
        if image.shape != reference.shape or min(image.shape) < SMALLEST:
            raise DataError(
                f"LPIPS compares images of one shape of at least {SMALLEST} x {SMALLEST}, not "
                f"{image.shape} and {reference.shape}"
            )
        pair = np.clip(np.stack([image, reference]), 0, 1).astype(np.float32)[:, None]
        return self.of_colour(torch.from_numpy(np.ascontiguousarray(pair.repeat(3, 1) * 2 - 1)))

    @torch.inference_mode()
    def of_colour(self, pair: Tensor) -> float:
        """Distance of the two images of ``[2, 3, rows, columns]``, float32 in -1..1."""
        x = (pair - self._shift) / self._scale
        total = 0.0
        for (weight, bias), head, (_, stride, padding, pooled) in zip(
            self._convolutions, self._heads, _LAYERS, strict=True
        ):
            if pooled:
                x = f.max_pool2d(x, 3, 2)
            x = f.relu(f.conv2d(x, weight, bias, stride=stride, padding=padding))
            unit = x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)
            total += float(f.conv2d((unit[:1] - unit[1:]).square(), head).mean())
        return total


def _load(path: Path) -> dict[str, Tensor]:
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != SHA256[path.name]:
            raise DataError(
                f"{path}: not the file that LPIPS is defined by: its SHA-256 is {found}, not "
                f"{SHA256[path.name]}"
            )
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: weights of LPIPS are not readable: {error}") from error
