"""Training patches of radiographs: quiet images plus Poisson and electronic noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from model_store.errors import DataError
from model_store.training.patches import (
    Batch,
    Floats,
    random_deviation,
    random_turn,
    random_window,
)
from model_store.training.recipe import XrayData
from model_store.training.references import block_mean, list_files, read_radiograph
from model_store.training.simulation.xray import RadiographNoise

_WEIGHT_KNEE = 0.015


class XrayPatches:
    """Patches of noisy radiographs, noise drawn on the fly.

    Each patch gets a random curve and polarity, so that 8-bit radiographs teach what fits
    detectors of any range.

    Parameters
    ----------
    images : list of ndarray, float32
        Quiet radiographs, 0..1.
    data : XrayData
        Range of the noise.
    batch, patch, seed : int
        Patches in a batch, their side in pixels, and the seed of all draws.
    """

    def __init__(
        self, images: list[Floats], data: XrayData, *, batch: int, patch: int, seed: int
    ) -> None:
        if not images or any(min(image.shape) < patch for image in images):
            raise DataError(f"every radiograph must have at least {patch} rows and columns")
        self._images = images
        self._data = data
        self._size = batch
        self._patch = patch
        self._seed = seed
        area = np.array([image.size for image in images], float)
        self._share = area**0.5 / (area**0.5).sum()

    def batch(self, step: int) -> Batch:
        """Batch number `step`."""
        generator = np.random.default_rng([self._seed, step])
        return Batch.stack([self._one(generator) for _ in range(self._size)])

    def _one(self, generator: np.random.Generator) -> tuple[Floats, Floats, float]:
        data = self._data
        image = self._images[generator.choice(len(self._images), p=self._share)]
        patch = image[random_window(image, self._patch, generator)]
        clean = _curve(random_turn(generator)(patch), generator)
        deviation = random_deviation(data.minimum_sd, data.maximum_sd, data.quiet_share, generator)
        correlated = generator.random() < data.correlated_share
        noise = RadiographNoise(
            deviation,
            quantum_share=float(generator.uniform(0, 1)),
            inverted=bool(generator.integers(2)),
            blur=float(generator.uniform(0.3, 0.9)) if correlated else 0.0,
        )
        noisy = clean + noise.draw(clean, generator)
        if generator.random() < 0.5:  # noqa: PLR2004
            noisy = np.clip(noisy, 0, 1)
        weight = _WEIGHT_KNEE**2 / (_WEIGHT_KNEE**2 + deviation**2)
        return np.ascontiguousarray(noisy), np.ascontiguousarray(clean), weight


def _curve(image: Floats, generator: np.random.Generator) -> Floats:
    """Random polarity, gamma and range, as detectors and their processing differ."""
    if generator.random() < 0.5:  # noqa: PLR2004
        image = 1 - image
    gamma = np.exp(generator.uniform(np.log(0.6), np.log(1.7)))
    contrast = generator.uniform(0.4, 1)
    offset = generator.uniform(0, 1 - contrast)
    result: Floats = (offset + contrast * np.clip(image, 0, 1) ** gamma).astype(np.float32)
    return result


def prepare_xray(data: XrayData, folder: Path) -> list[Floats]:
    """Read the quiet radiographs of the sources, less the files held out.

    Raises
    ------
    DataError
        If a source has no file, or one is not a readable radiograph.
    """
    images: list[Floats] = []
    for source in data.sources:
        for path in list_files(folder / source.folder, source.pattern):
            if path.name in data.held_out:
                continue
            image = read_radiograph(path)
            images += [block_mean(image, scale) for scale in source.scales]
    if not images:
        raise DataError("every radiograph of the sources is held out")
    return images
