"""CT evaluation: simulated low dose on a held-out patient, and real pairs of quarter and full dose.

The pairs are those of the Low-Dose CT Grand Challenge (AAPM, Mayo Clinic; TCIA 10.7937/9NPB-2637):
full-dose slices and the same with noise inserted into the measured projections.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from model_store.errors import DataError
from model_store.evaluation.lpips import Lpips
from model_store.evaluation.metrics import mean_frequency, nps, psnr, psnr_window, ssim
from model_store.evaluation.trial import Case, Scorer
from model_store.training.ct_patches import random_kernel, simulate, soft_tissue
from model_store.training.noise import AwgnNoise, deviation_of
from model_store.training.recipe import CtData, Recipe
from model_store.training.references import (
    LOWEST_HU,
    CtSlice,
    list_files,
    read_ct_folder,
    read_ct_slice,
)
from model_store.training.simulation.ct import Exposure, ParallelBeam, noise_image
from model_store.training.simulation.dead_leaves import random_phantom
from model_store.training.simulation.xray import awgn

Floats = NDArray[np.float32]

PAIRS = "ct_paired_quarter_dose"
LEVELS_HU = (10.0, 25.0, 50.0)
PAPER_LEVELS_DB = (24.44, 18.66)
"""White noise of the Noise2Noise publication's CT networks, PSNR on values of 0..1."""

MAIN = "PSNR 400 HU"
_Item = TypeVar("_Item")
_SEED = 7
_PHANTOM_SIDE, _PHANTOM_MM = 384, 0.8


def in_window(image: Floats) -> Floats:
    """-160..240 HU as 0..1, clipped."""
    result: Floats = np.clip((image + 160) / 400, 0, 1).astype(np.float32)
    return result


def scores(image: Floats, reference: Floats) -> dict[str, float]:
    """PSNR on (HU + 1024) / 4096 and in the soft-tissue window, SSIM in that window."""
    return {
        MAIN: psnr_window(image, reference),
        "SSIM 400 HU": ssim(in_window(image), in_window(reference)),
        "PSNR 4096 HU": psnr(image, reference, 4096.0),
    }


def scorer(perceptual: Lpips | None) -> Scorer:
    """`scores`, and with LPIPS at hand the perceptual distance in the soft-tissue window."""
    if perceptual is None:
        return scores

    def all_scores(image: Floats, reference: Floats) -> dict[str, float]:
        distance = perceptual(in_window(image), in_window(reference))
        return {**scores(image, reference), "PDR 400 HU": distance}

    return all_scores


def facts(image: Floats, noisy: Floats, reference: Floats) -> dict[str, float]:
    """Noise (deviation from the reference) and bias against the input, in soft tissue, in HU."""
    tissue = soft_tissue(reference)
    return {
        "noise HU": float((image - reference)[tissue].std()),
        "bias HU": float((image - noisy)[tissue].mean()),
    }


def ct_cases(
    recipe: Recipe, data: Path, perceptual: Lpips | None = None, *, quick: bool = False
) -> Iterator[Case]:
    """Cases of what a CT model is for, all of patients and scanners not trained on.

    A model of projection noise: simulated low dose at three levels, then the real pairs. A model
    of white noise: that noise on (HU + 1024) / 4096, at those of the Noise2Noise publication's
    two levels that its training covers.

    Raises
    ------
    DataError
        If a folder is missing or unreadable, or the recipe is not of CT.
    """
    if not isinstance(recipe.data, CtData):
        raise DataError(f"{recipe.name} was not trained on CT")
    score = scorer(perceptual)
    slices = held_out_slices(recipe, data, 2 if quick else 3)
    if isinstance(recipe.data.noise, AwgnNoise):
        yield from _white(recipe.data.noise, slices, score)
        return
    levels = LEVELS_HU[1:2] if quick else LEVELS_HU
    yield from _simulated(slices, levels, "patient not trained on", score)
    if PAIRS in recipe.data.held_out:
        yield from _pairs(data, 1 if quick else 2, score)


def phantom_case(recipe: Recipe, perceptual: Lpips | None = None) -> Case:
    """A digital phantom with the noise of a CT recipe: an image that is nobody's.

    Raises
    ------
    DataError
        If the recipe is not of CT with simulated noise.
    """
    if not isinstance(recipe.data, CtData):
        raise DataError(f"{recipe.name} was not trained on CT with simulated noise")
    image = random_phantom(_PHANTOM_SIDE, _PHANTOM_MM, np.random.default_rng(_SEED))
    item = CtSlice(image, np.ones(image.shape, bool), _PHANTOM_MM)
    slices, score = [("phantom", item)], scorer(perceptual)
    if isinstance(recipe.data.noise, AwgnNoise):
        return next(_white(recipe.data.noise, slices, score))
    return next(_simulated(slices, LEVELS_HU[1:2], "digital phantom", score))


def _simulated(
    slices: Sequence[tuple[str, CtSlice]], levels: Sequence[float], whose: str, score: Scorer
) -> Iterator[Case]:
    for level in levels:
        for name, item in slices:
            yield Case(
                f"simulated noise of {level:g} HU, {whose}",
                name,
                coloured(item, level, seed_of(name)),
                item.hounsfield,
                middle_of(item.hounsfield),
                score,
                MAIN,
                facts,
            )


def _white(
    noise: AwgnNoise, slices: Sequence[tuple[str, CtSlice]], score: Scorer
) -> Iterator[Case]:
    low, high = noise.range_sd
    covered = [
        level for level in PAPER_LEVELS_DB if 0.9 * low <= deviation_of(level) <= 1.1 * high
    ] or PAPER_LEVELS_DB[:1]
    for level in covered:
        for name, item in slices:
            generator = np.random.default_rng([seed_of(name), int(100 * level)])
            yield Case(
                f"white noise, {level:g} dB on (HU + 1024) / 4096",
                name,
                awgn(item.hounsfield, 4096 * deviation_of(level), generator),
                item.hounsfield,
                middle_of(item.hounsfield),
                score,
                "PSNR 4096 HU",
                facts,
                beyond=True,
            )


def _pairs(data: Path, each: int, score: Scorer) -> Iterator[Case]:
    for folder in _folders(data / PAIRS):
        for full_path in spread(list_files(folder, "*_full*"), each):
            quarter_path = full_path.with_name(full_path.name.replace("_full", "_quarter"))
            full, quarter = read_ct_slice(full_path), read_ct_slice(quarter_path)
            yield Case(
                f"real quarter dose against full dose, {folder.name}",
                full_path.name.partition("_")[0],
                quarter.hounsfield,
                full.hounsfield,
                middle_of(full.hounsfield),
                score,
                MAIN,
                facts,
            )


def ct_spectra(data: Path) -> dict[str, Any]:
    """Noise of the real pairs beside what the training's simulation draws for the same slices."""
    generator = np.random.default_rng(_SEED)
    rows: list[list[str | float]] = []
    for folder in _folders(data / PAIRS):
        real, simulated, deviation, white = [], [], [], []
        for full_path in spread(list_files(folder, "*_full*"), 2):
            quarter_path = full_path.with_name(full_path.name.replace("_full", "_quarter"))
            full, quarter = read_ct_slice(full_path), read_ct_slice(quarter_path)
            image, middle = full.hounsfield, middle_of(full.hounsfield)
            part = Case("", "", image, image, middle, scores, MAIN, size=192).crop
            noise = part(quarter.hounsfield - image)
            real.append(mean_frequency(nps(noise, full.pixel_mm), full.pixel_mm))
            deviation.append(float(noise[soft_tissue(part(image))].std()))
            beam = ParallelBeam(len(image), views=512)
            for _ in range(6):
                kernel = random_kernel(generator, full.pixel_mm)
                drawn = noise_image(image, full.pixel_mm, Exposure(2e5), kernel, generator, beam)
                simulated.append(mean_frequency(nps(part(drawn), full.pixel_mm), full.pixel_mm))
            flat = generator.normal(size=noise.shape).astype(np.float32)
            white.append(mean_frequency(nps(flat, full.pixel_mm), full.pixel_mm))
        rows.append(
            [
                folder.name,
                round(float(np.mean(deviation)), 1),
                round(float(np.mean(real)), 3),
                f"{min(simulated):.3f} to {max(simulated):.3f}",
                round(float(np.mean(white)), 3),
            ]
        )
    return {
        "title": "Noise texture: mean frequency of the noise power spectrum, per mm",
        "note": "Quarter minus full dose, against what the simulation of the training draws over "
        "its random kernels for the same slices; white noise for comparison. A check only: the "
        "simulation was not fitted to the pairs.",
        "columns": ["pairs", "noise HU", "real", "simulated", "white"],
        "rows": rows,
    }


def held_out_slices(recipe: Recipe, data: Path, count: int) -> list[tuple[str, CtSlice]]:
    """That many slices, with a name each, of every folder that the recipe held out.

    Raises
    ------
    DataError
        If there are none, or one is missing or unreadable.
    """
    if not isinstance(recipe.data, CtData):
        raise DataError(f"{recipe.name} was not trained on CT with simulated noise")
    result = []
    for folder in recipe.data.held_out:
        if folder != PAIRS:
            slices = spread(read_ct_folder(data / folder), count)
            result += [(f"{Path(folder).name}/{index}", item) for index, item in enumerate(slices)]
    if not result:
        raise DataError(f"{recipe.name} held no CT folder out: there is nothing to measure it on")
    return result


def coloured(item: CtSlice, level: float, seed: int) -> Floats:
    """The slice with simulated noise of `level` HU in soft tissue; dose and kernel by seed."""
    noise = simulate(item, 1, np.random.default_rng([seed, int(level)])).noise[0]
    noisy: Floats = np.maximum(item.hounsfield + level * noise.astype(np.float32), LOWEST_HU)
    return noisy


def seed_of(name: str) -> int:
    """A seed, and so a dose and a kernel, of its own for every image."""
    return _SEED + zlib.crc32(name.encode())


def middle_of(image: Floats) -> tuple[int, int]:
    """Centre of the body: row and column."""
    row, column = ndimage.center_of_mass(image > -500)  # noqa: PLR2004
    return int(row), int(column)


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder}: the pairs of quarter and full dose are not there")
    return sorted(path for path in folder.iterdir() if path.is_dir())


def spread(items: Sequence[_Item], count: int) -> list[_Item]:
    """`count` of some items, evenly spread; all if there are no more."""
    count = min(count, len(items))
    step = len(items) / count
    return [items[int((index + 0.5) * step)] for index in range(count)]
