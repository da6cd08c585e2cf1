"""Evaluation on radiographs: known noise on quiet, averaged-down images that were held out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.errors import DataError
from model_store.evaluation.metrics import psnr, ssim
from model_store.evaluation.session import ReleasedModel
from model_store.evaluation.trial import Case
from model_store.training.recipe import Recipe, XrayData
from model_store.training.references import block_mean, list_files, read_radiograph
from model_store.training.simulation.xray import RadiographNoise

Floats = NDArray[np.float32]

LEVELS_DB = (24.0, 29.91, 36.0)
SWEEP_DB = (20.0, 24.0, 28.0, 32.0, 36.0, 40.0, 45.0, 50.0)
_SEED = 11
_LONGEST = 1024


def scores(image: Floats, reference: Floats) -> dict[str, float]:
    """PSNR and SSIM with a peak of 1."""
    return {"PSNR": psnr(image, reference), "SSIM": ssim(image, reference)}


def facts(image: Floats, noisy: Floats, reference: Floats) -> dict[str, float]:
    """Bias against the input, and root mean square error, in thousandths of the range."""
    return {
        "bias 1e-3": 1e3 * float((image - noisy).mean()),
        "RMSE 1e-3": 1e3 * float(np.sqrt(np.mean((image - reference) ** 2))),
    }


def deviation_of(decibel: float) -> float:
    """Root mean square of noise that gives this PSNR with a peak of 1."""
    return float(10 ** (-decibel / 20))


def xray_cases(recipe: Recipe, data: Path, *, quick: bool = False) -> Iterator[Case]:
    """Held-out radiographs with Poisson noise at several levels, and with mixed noise.

    Raises
    ------
    DataError
        If there are none.
    """
    images = held_out_images(recipe, data)
    for index, (name, image) in enumerate(images[: 2 if quick else 6]):
        for level in LEVELS_DB[1:2] if quick else LEVELS_DB:
            kinds = {f"Poisson noise, {level:g} dB": RadiographNoise(deviation_of(level))}
            if level == LEVELS_DB[1]:
                kinds[f"half Poisson half electronic, bright is few quanta, {level:g} dB"] = (
                    RadiographNoise(deviation_of(level), quantum_share=0.5, inverted=True)
                )
                kinds[f"Poisson noise blurred by 0.6 pixels, {level:g} dB"] = RadiographNoise(
                    deviation_of(level), blur=0.6
                )
            for group, noise in kinds.items():
                generator = np.random.default_rng([_SEED, index, int(level)])
                noisy = _stored(image + noise.draw(image, generator))
                middle = (image.shape[0] // 2, image.shape[1] // 2)
                yield Case(group, name, noisy, image, middle, scores, "PSNR", facts, size=192)


def xray_sweep(model: ReleasedModel, recipe: Recipe, data: Path) -> dict[str, Any]:
    """Gain of the model from strong noise to hardly any, Poisson noise, whole images."""
    images = held_out_images(recipe, data)[:4]
    rows: list[list[float]] = []
    for level in SWEEP_DB:
        before, after = [], []
        for index, (_, image) in enumerate(images):
            generator = np.random.default_rng([_SEED + 1, index, int(level)])
            noise = RadiographNoise(deviation_of(level)).draw(image, generator)
            noisy = _stored(image + noise)
            before.append(psnr(noisy, image))
            after.append(psnr(model(noisy), image))
        entry, out = float(np.mean(before)), float(np.mean(after))
        rows.append([round(entry, 2), round(out, 2), round(out - entry, 2)])
    return {
        "note": "The references have noise of their own (0.2 to 0.5 % of the range, 46 to 54 dB), "
        "whose removal counts against the model at the quiet end.",
        "columns": ["PSNR in", "PSNR out", "gain dB"],
        "rows": rows,
    }


def _stored(image: Floats) -> Floats:
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
