"""Golden images: deterministic phantoms that every engine is compared on; and golden outputs.

A version's ``golden.safetensors`` has two float32 tensors of shape ``[N, 1, H, W]``: ``images``,
the golden images as network input, and ``outputs``, what the torch reference gives for them (the
residual where the manifest's ``output`` says so). It is one of the manifest's files, so a signature
holds it too.
"""

# ruff: noqa: PLR2004 -- a phantom is made of numbers

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from model_store.engines.base import Images
from model_store.errors import ModelIntegrityError
from model_store.manifest import Manifest
from model_store.store import ModelVersion

GOLDEN = "golden.safetensors"
"""File of the golden outputs beside the manifest."""

_IMAGES, _OUTPUTS = "images", "outputs"
_MOST_PIXELS = 1 << 24
_SIDE = 256
_SEED = 20201


@dataclass(frozen=True, slots=True)
class Golden:
    """What a version's torch reference gave when the version was released.

    Parameters
    ----------
    images, outputs : ndarray of float32, shape (N, 1, H, W)
        Network input and output; H and W are multiples of the manifest's stride.
    """

    images: Images
    outputs: Images

    def encode(self) -> bytes:
        """The bytes of ``golden.safetensors``."""
        return bytes(save({_IMAGES: self.images, _OUTPUTS: self.outputs}))


def golden_outputs(version: ModelVersion) -> Golden | None:
    """Read what the torch reference gave for the golden images when `version` was released.

    Returns
    -------
    Golden or None
        None if the version has none.

    Raises
    ------
    ModelIntegrityError
        If the file is not the released one, or does not hold what its name promises.
    """
    if GOLDEN not in version.manifest.files:
        return None
    try:
        tensors = load(version.read(GOLDEN))
    except SafetensorError as error:
        raise ModelIntegrityError(f"{version.ref}: {GOLDEN} is damaged: {error}") from error
    if set(tensors) != {_IMAGES, _OUTPUTS}:
        raise ModelIntegrityError(
            f"{version.ref}: {GOLDEN} has {', '.join(sorted(tensors)) or 'nothing'}, "
            f"not {_IMAGES} and {_OUTPUTS}"
        )
    images, outputs = tensors[_IMAGES], tensors[_OUTPUTS]
    stride = version.manifest.tiling.stride
    usable = (
        images.dtype == outputs.dtype == np.float32
        and images.shape == outputs.shape
        and images.ndim == 4
        and images.shape[1] == 1
        and 0 < images.size <= _MOST_PIXELS
        and images.shape[2] % stride == images.shape[3] % stride == 0
    )
    if not usable or not (np.isfinite(images).all() and np.isfinite(outputs).all()):
        raise ModelIntegrityError(
            f"{version.ref}: {GOLDEN} does not hold two finite float32 N x 1 x H x W tensors of "
            f"one shape, H and W multiples of {stride}"
        )
    return Golden(images, outputs)


def golden_images(manifest: Manifest) -> Images:
    """Images that are the same everywhere: a phantom without noise, and with little and much of it.

    For HU a body of water in air with inserts from lung to bone and a bit of metal; for stored
    values a bright field with soft and hard edges, fine lines and a black, collimated border.

    Returns
    -------
    ndarray of float32, shape (3, 1, 256, 256)
        Network input, normalised and clipped to the model's range as `manifest` states.
    """
    spec = manifest.input
    side = -(-_SIDE // manifest.tiling.stride) * manifest.tiling.stride
    if spec.units == "HU":
        clean, offset, scale = _body(side), spec.offset, spec.scale
    else:
        clean, offset, scale = _radiograph(side), 0.0, 1.0
    noise = np.random.default_rng(_SEED).standard_normal((side, side))
    little, much = manifest.trained_noise.minimum_sd, manifest.trained_noise.maximum_sd
    stack = np.stack([clean, clean + little * noise, clean + much * noise])
    normalised = (np.clip(stack, spec.minimum, spec.maximum) + offset) / scale
    return normalised[:, np.newaxis].astype(np.float32)


def _body(side: int) -> NDArray[np.float64]:
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    image = np.where((x / 0.9) ** 2 + (y / 0.7) ** 2 < 1, 0.0, -1000.0)
    inserts = [(-0.4, -0.2, 0.2, -850.0), (0.4, -0.2, 0.2, -100.0), (0.0, 0.4, 0.15, 60.0),
               (-0.3, 0.35, 0.08, 400.0), (0.3, 0.35, 0.08, 1200.0), (0.0, -0.4, 0.03, 3000.0),
               (0.0, 0.0, 0.1, 15.0)]  # fmt: skip
    for centre_x, centre_y, radius, value in inserts:
        image[(x - centre_x) ** 2 + (y - centre_y) ** 2 < radius**2] = value
    return np.asarray(image, dtype=np.float64)


def _radiograph(side: int) -> NDArray[np.float64]:
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    image = 0.75 - 0.35 * np.exp(-((x / 0.5) ** 2 + (y / 0.8) ** 2))
    image = image + 0.12 * (np.abs(np.sin(9 * y + 3 * x**2)) > 0.93)
    image = image + 0.03 * np.sin(60 * x) * (np.abs(y) < 0.2)
    image[(x + 0.4) ** 2 + (y - 0.3) ** 2 < 0.01] = 0.98
    image[(np.abs(x) > 0.92) | (np.abs(y) > 0.92)] = 0.0
    return np.asarray(image, dtype=np.float64)
