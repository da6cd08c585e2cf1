"""Evaluation on radiographs: known noise on quiet, averaged-down images that were held out."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_store.errors import DataError
from model_store.evaluation.lpips import Lpips
from model_store.evaluation.metrics import psnr, ssim
from model_store.evaluation.trial import Case, Scorer
from model_store.training.noise import (
    AwgnNoise,
    PoissonGaussianNoise,
    PoissonNoise,
    WhiteNoise,
    XrayNoise,
    as_stored,
    deviation_of,
    white_noise,
)
from model_store.training.recipe import Recipe, XrayData
from model_store.training.references import block_mean, list_files, read_radiograph
from model_store.training.simulation.dead_leaves import random_phantom
from model_store.training.simulation.xray import RadiographNoise

Floats = NDArray[np.float32]
_Noise = Callable[[Floats, np.random.Generator], Floats]

LEVELS_DB = (24.15, 29.91, 36.0)
"""Poisson noise: DNGAN's input, that of the Noise2Noise publication, and less."""

SHARPXR = PoissonGaussianNoise(kind="poisson-gaussian", counts=(175, 175), sd=(15 / 255, 15 / 255))
"""The middle of the noise that SharpXR draws."""

WHITE_SD = 0.08
MAIN = "PSNR"
_SEED = 11
_LONGEST = 1024
_SAME_LEVEL_DB = 0.5
_IMAGES = 4
_PHANTOM_SIDE, _PHANTOM_LAYERS = 384, 3


def scores(image: Floats, reference: Floats) -> dict[str, float]:
    """PSNR and SSIM with a peak of 1."""
    return {MAIN: psnr(image, reference), "SSIM": ssim(image, reference)}


def scorer(perceptual: Lpips | None) -> Scorer:
    """`scores`, and with LPIPS at hand the perceptual distance."""
    if perceptual is None:
        return scores
    return lambda image, reference: {
        **scores(image, reference),
        "PDR": perceptual(image, reference),
    }


def facts(image: Floats, noisy: Floats, reference: Floats) -> dict[str, float]:
    """Noise (deviation from the reference), bias against the input, in thousandths of the range."""
    return {
        "noise 1e-3": 1e3 * float((image - reference).std()),
        "bias 1e-3": 1e3 * float((image - noisy).mean()),
    }


def xray_cases(
    recipe: Recipe, data: Path, perceptual: Lpips | None = None, *, quick: bool = False
) -> Iterator[Case]:
    """Cases of what a radiograph model is for, on held-out files.

    A model of mixed noise: Poisson noise at three levels, noise half electronic, and blurred
    noise. A model of another noise: that noise, at the level of its publication.

    Raises
    ------
    DataError
        If there are none, or the recipe is not of radiographs.
    """
    if not isinstance(recipe.data, XrayData):
        raise DataError(f"{recipe.name} was not trained on radiographs with simulated noise")
    images = held_out_images(recipe, data)
    yield from _noisy(images, recipe.data.noise, scorer(perceptual), quick=quick)


def phantom_case(recipe: Recipe, perceptual: Lpips | None = None) -> Case:
    """Overlapping shapes as a radiograph shows them, with a recipe's noise: nobody's image.

    Raises
    ------
    DataError
        If the recipe is not of radiographs with simulated noise.
    """
    if not isinstance(recipe.data, XrayData):
        raise DataError(f"{recipe.name} was not trained on radiographs with simulated noise")
    generator = np.random.default_rng(_SEED)
    shapes = [random_phantom(_PHANTOM_SIDE, 0.8, generator) for _ in range(_PHANTOM_LAYERS)]
    thickness = np.mean([np.clip(each + 1000, 0, 2000) / 2000 for each in shapes], axis=0)
    image = (0.15 + 0.8 * thickness).astype(np.float32)
    score = scorer(perceptual)
    return next(_noisy([("phantom", image)], recipe.data.noise, score, quick=True))


def _noisy(
    images: Sequence[tuple[str, Floats]], noise: XrayNoise, score: Scorer, *, quick: bool
) -> Iterator[Case]:
    kinds = _kinds(noise)
    for group, draw in list(kinds.items())[:1] if quick else kinds.items():
        for index, (name, image) in enumerate(images[: 2 if quick else _IMAGES]):
            generator = np.random.default_rng([_SEED, index, zlib.crc32(group.encode())])
            noisy = draw(image, generator)
            yield Case(
                group,
                name,
                stored(noisy) if as_stored(noise) else noisy,
                image,
                (image.shape[0] // 2, image.shape[1] // 2),
                score,
                MAIN,
                facts,
                size=192,
                beyond=not as_stored(noise),
            )


def _kinds(noise: XrayNoise) -> dict[str, _Noise]:
    """What is added to the cases of a recipe's noise, by the name of its group."""
    if isinstance(noise, PoissonGaussianNoise):
        return {"Poisson noise of 175 quanta and normal noise of 15/255": _section(SHARPXR)}
    if isinstance(noise, AwgnNoise):
        low, high = noise.range_sd
        level = noise.psnr if noise.psnr is not None else _level_of(min(max(WHITE_SD, low), high))
        section = AwgnNoise(kind="awgn", psnr=level)
        return {f"white noise, {level:.4g} dB": _section(section)}
    if isinstance(noise, PoissonNoise):
        near = [level for level in LEVELS_DB[:2] if abs(level - noise.psnr) < _SAME_LEVEL_DB]
        return {poisson_group(level): _mixed(level) for level in near or [noise.psnr]}
    middle = LEVELS_DB[1]
    return {poisson_group(level): _mixed(level) for level in LEVELS_DB} | {
        f"half Poisson half electronic, bright is few quanta, {middle:g} dB": _mixed(
            middle, quantum_share=0.5, inverted=True
        ),
        f"Poisson noise blurred by 0.6 pixels, {middle:g} dB": _mixed(middle, blur=0.6),
    }


def poisson_group(level: float) -> str:
    """Name of the group with Poisson noise of that PSNR."""
    return f"Poisson noise, {level:g} dB"


def _mixed(
    level: float, quantum_share: float = 1.0, blur: float = 0.0, *, inverted: bool = False
) -> _Noise:
    noise = RadiographNoise(deviation_of(level), quantum_share, inverted=inverted, blur=blur)
    return lambda image, generator: image + noise.draw(image, generator)


def _section(section: WhiteNoise) -> _Noise:
    return lambda image, generator: white_noise(section, float(image.mean()), generator)(image)


def _level_of(deviation: float) -> float:
    return float(-20 * np.log10(deviation))


def stored(image: Floats) -> Floats:
    """Clip to 0..1, as stored values are."""
    clipped: Floats = np.clip(image, 0, 1).astype(np.float32)
    return clipped


def held_out_images(recipe: Recipe, data: Path) -> list[tuple[str, Floats]]:
    """The recipe's held-out radiographs, averaged down to at most 1024 pixels a side.

    Raises
    ------
    DataError
        If there are none.
    """
    if not isinstance(recipe.data, XrayData):
        raise DataError(f"{recipe.name} was not trained on radiographs")
    wanted = set(recipe.data.held_out)
    folders = sorted({source.folder for source in recipe.data.sources})
    result = []
    for folder in folders:
        for path in list_files(data / folder, "*"):
            if path.name in wanted:
                image = read_radiograph(path)
                scale = max(2, -(-max(image.shape) // _LONGEST))
                result.append((path.stem, block_mean(image, scale)))
    if not result:
        raise DataError(f"{data}: none of the held-out radiographs is there")
    return result
