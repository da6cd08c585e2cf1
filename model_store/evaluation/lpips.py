"""LPIPS, the perceptual distance (PDR) that DNGAN's publication reports."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as f

from model_store.errors import DataError
from model_store.hashing import file_sha256

Floats = NDArray[np.float32]

FEATURES = ("alexnet-owt-7be5be79.pth", "alexnet_features_fp32.safetensors")
"""Files that may hold AlexNet's convolutions: torchvision's checkpoint, or those alone."""
HEADS = ("alex.pth", "lpips_lin_alex_v0.1.safetensors")
"""Files that may hold the linear heads: that of the package ``lpips`` (weights/v0.1), or alone."""
_FEATURES_SHA256 = "8259ebdc8849c887b0b95a9414db11a3694493c318c41902269dfa328697ca4e"
_HEADS_SHA256 = "885a51c7aba6f7ccf3321ca5f345fbd72201f3347f0a88e807016be494493f5d"
_CHECKPOINT_SHA256 = "7be5be79"
"""Torchvision names its checkpoints by the beginning of their hash."""

DESCRIPTION = "LPIPS v0.1, AlexNet, linear heads"

# index of the convolution in torchvision's `features`, stride, padding, pooled before it
_LAYERS = ((0, 4, 2, False), (3, 1, 2, True), (6, 1, 1, True), (8, 1, 1, False), (10, 1, 1, False))
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_UNREADABLE = (
    *(OSError, SafetensorError, RuntimeError, pickle.UnpicklingError),
    *(LookupError, ValueError, TypeError, AttributeError, EOFError),  # of bytes that are no pickle
)
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
        Folder with one of the files of `FEATURES` and one of `HEADS`.

    Raises
    ------
    DataError
        If one is missing, or holds other weights than those that the distance is defined by.
    """

    def __init__(self, weights: Path) -> None:
        names = [f"features.{index}.{part}" for index, *_ in _LAYERS for part in ("weight", "bias")]
        features = _load(weights, FEATURES, names, _FEATURES_SHA256)
        heads = [f"lin{level}.model.1.weight" for level in range(len(_LAYERS))]
        self._heads = _load(weights, HEADS, heads, _HEADS_SHA256)
        self._convolutions = list(zip(features[::2], features[1::2], strict=True))
        self._shift = torch.tensor(_SHIFT).view(1, 3, 1, 1)
        self._scale = torch.tensor(_SCALE).view(1, 3, 1, 1)

    @classmethod
    def where(cls, weights: Path | None) -> Lpips | None:
        """The distance, if the folder has a file for each of its parts; else None.

        Raises
        ------
        DataError
            If it has them, and they hold other weights.
        """
        if weights is None or any(_found(weights, names) is None for names in (FEATURES, HEADS)):
            return None
        return cls(weights)

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


def _found(weights: Path, names: tuple[str, ...]) -> Path | None:
    return next((path for name in names if (path := weights / name).is_file()), None)


def _load(weights: Path, names: tuple[str, ...], tensors: list[str], sha256: str) -> list[Tensor]:
    """Tensors by their names, of the file that is there."""
    path = _found(weights, names)
    if path is None:
        raise DataError(
            f"{weights}: weights of LPIPS are missing: it takes {' or '.join(names)} (how to get "
            "them: docs/how-to/train-a-model.md)"
        )
    try:
        held = _read(path)
        found = [held[name].float().contiguous() for name in tensors]
    except _UNREADABLE as error:
        raise DataError(f"{path}: weights of LPIPS are not readable: {error}") from error
    digest = hashlib.sha256()
    for name, tensor in zip(tensors, found, strict=True):
        digest.update(name.encode())
        digest.update(tensor.numpy().astype("<f4").tobytes())
    known = path.name == names[0] and names is FEATURES
    if digest.hexdigest() != sha256 and not (known and _is_torchvisions(path)):
        raise DataError(f"{path}: not the weights that LPIPS is defined by; fetch them again")
    return found


def _is_torchvisions(path: Path) -> bool:
    return file_sha256(path).startswith(_CHECKPOINT_SHA256)


def _read(path: Path) -> dict[str, Tensor]:
    """Tensors of a file; pickled ones may hold nothing else."""
    if path.suffix == ".safetensors":
        return dict(load_file(path))
    return dict(torch.load(path, map_location="cpu", weights_only=True))
