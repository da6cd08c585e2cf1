"""Training patches of radiographs: quiet images plus Poisson and electronic noise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from model_store.errors import DataError
from model_store.training.noise import Draw, MixedNoise, white_noise
from model_store.training.patches import (
    DrawnPatches,
    Floats,
    noise_weight,
    random_deviation,
    random_square,
    random_turn,
    resized,
    shares_of,
)
from model_store.training.recipe import XrayData
from model_store.training.references import block_mean, list_files, read_radiograph
from model_store.training.simulation.xray import RadiographNoise


class XrayPatches(DrawnPatches):
    """Patches of noisy radiographs, noise drawn on the fly.

    With `curves` each patch gets a random curve and polarity, so that 8-bit radiographs teach what
    fits detectors of any range.

    Parameters
    ----------
    images : list of ndarray, float32
        Quiet radiographs, 0..1.
    data : XrayData
        Noise, curves and target.
    batch, patch, seed : int
        Patches in a batch, their side in pixels, and the seed of all draws.
    """

    def __init__(
        self, images: list[Floats], data: XrayData, *, batch: int, patch: int, seed: int
    ) -> None:
        if not images or any(min(image.shape) < patch for image in images):
            raise DataError(f"every radiograph must have at least {patch} rows and columns")
        super().__init__(batch=batch, seed=seed, noisy_target=data.target == "noisy")
        self._images = images
        self._data = data
        self._patch = patch
        self._share = shares_of(images)

    def _one(
        self, generator: np.random.Generator, noisy_target: bool
    ) -> tuple[Floats, Floats, float]:
        image = self._images[generator.choice(len(self._images), p=self._share)]
        turned = random_turn(generator)(self._square(image, generator))
        curve = _curve(generator) if self._data.curves else _unchanged
        clean = curve(turned)
        draw, weight = self._noise(lambda: float(curve(image[::8, ::8]).mean()), generator)
        noisy = draw(clean)
        target = draw(clean) if noisy_target else clean
        return np.ascontiguousarray(noisy), np.ascontiguousarray(target), weight

    def _square(self, image: Floats, generator: np.random.Generator) -> Floats:
        """A square of the image, of another size brought to that of a patch if the data say so."""
        if self._data.zoom is None:
            return image[random_square(image, self._patch, generator)]
        factor = float(np.exp(generator.uniform(*np.log(self._data.zoom))))
        side = min(max(round(self._patch / factor), 2), *image.shape)
        return resized(image[random_square(image, side, generator)], self._patch)

    def _noise(
        self, mean: Callable[[], float], generator: np.random.Generator
    ) -> tuple[Draw, float]:
        """Noise of one patch, and the patch's weight."""
        data = self._data
        if not isinstance(data.noise, MixedNoise):
            return white_noise(data.noise, mean(), generator), 1.0
        deviation = random_deviation(data.minimum_sd, data.maximum_sd, data.quiet_share, generator)
        correlated = generator.random() < data.correlated_share
        noise = RadiographNoise(
            deviation,
            quantum_share=float(generator.uniform(0, 1)),
            inverted=bool(generator.integers(2)),
            blur=float(generator.uniform(0.3, 0.9)) if correlated else 0.0,
        )
        weight = noise_weight(deviation, hounsfield=False)

        def draw(clean: Floats) -> Floats:
            noisy = clean + noise.draw(clean, generator)
            return np.clip(noisy, 0, 1) if generator.random() < 0.5 else noisy  # noqa: PLR2004

        return draw, weight


def _unchanged(image: Floats) -> Floats:
    return image


def _curve(generator: np.random.Generator) -> Callable[[Floats], Floats]:
    """Random polarity, gamma and range, as detectors and their processing differ."""
    inverted = generator.random() < 0.5  # noqa: PLR2004
    gamma = np.exp(generator.uniform(np.log(0.6), np.log(1.7)))
    contrast = generator.uniform(0.4, 1)
    offset = generator.uniform(0, 1 - contrast)

    def curve(image: Floats) -> Floats:
        signal = np.clip(1 - image if inverted else image, 0, 1)
        result: Floats = (offset + contrast * signal**gamma).astype(np.float32)
        return result

    return curve


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
