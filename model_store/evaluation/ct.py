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

from model_store.evaluation.metrics import mean_frequency, nps, psnr, psnr_window, ssim
from model_store.evaluation.session import ReleasedModel
from model_store.evaluation.trial import Case
from model_store.training.ct_patches import random_kernel, simulate, soft_tissue
from model_store.training.recipe import Recipe
from model_store.training.references import (
    LOWEST_HU,
    CtSlice,
    list_files,
    read_ct_folder,
    read_ct_slice,
)
from model_store.training.simulation.ct import Exposure, ParallelBeam, noise_image

Floats = NDArray[np.float32]

PAIRS = "ct_paired_quarter_dose"
LEVELS_HU = (10.0, 25.0, 50.0)
SWEEP_HU = (0.0, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0)
_Item = TypeVar("_Item")
_MAIN = "PSNR 400 HU"
_SEED = 7


def scores(image: Floats, reference: Floats) -> dict[str, float]:
    """PSNR on (HU + 1024) / 4096 and in the soft-tissue window, SSIM in that window."""
    window = [np.clip((part + 160) / 400, 0, 1).astype(np.float32) for part in (image, reference)]
    return {
        _MAIN: psnr_window(image, reference),
        "SSIM 400 HU": ssim(window[0], window[1]),
        "PSNR 4096 HU": psnr(image, reference, 4096.0),
    }


def facts(image: Floats, noisy: Floats, reference: Floats) -> dict[str, float]:
    """Noise (deviation from the reference) and bias against the input, in soft tissue, in HU."""
    tissue = soft_tissue(reference)
    return {
        "noise HU": float((image - reference)[tissue].std()),
        "bias HU": float((image - noisy)[tissue].mean()),
    }


def ct_cases(recipe: Recipe, data: Path, *, quick: bool = False) -> Iterator[Case]:
    """Simulated low dose on held-out folders, then the real pairs.

    Raises
    ------
    DataError
        If a folder is missing or unreadable.
    """
    for name, item in _held_out(recipe, data, 2 if quick else 3):
        for level in LEVELS_HU[1:2] if quick else LEVELS_HU:
            noisy = _noisy(item, level, _seed(name))
            yield Case(
                f"simulated noise of {level:g} HU, patient not trained on",
                name,
                noisy,
                item.hounsfield,
                _middle(item.hounsfield),
                scores,
                _MAIN,
                facts,
            )
    yield from _pairs(data, 1 if quick else 3)


def _pairs(data: Path, each: int) -> Iterator[Case]:
    for folder in sorted(path for path in (data / PAIRS).iterdir() if path.is_dir()):
        for full_path in _spread(list_files(folder, "*_full*"), each):
            quarter_path = full_path.with_name(full_path.name.replace("_full", "_quarter"))
            full, quarter = read_ct_slice(full_path), read_ct_slice(quarter_path)
            yield Case(
                f"real quarter dose against full dose, {folder.name}",
                full_path.name.partition("_")[0],
                quarter.hounsfield,
                full.hounsfield,
                _middle(full.hounsfield),
                scores,
                _MAIN,
                facts,
            )


def ct_sweep(model: ReleasedModel, recipe: Recipe, data: Path) -> dict[str, Any]:
    """Gain of the model at noise levels from none to the strongest of the training."""
    slices = _held_out(recipe, data, 3)
    rows: list[list[float | None]] = []
    for level in SWEEP_HU:
        before, after, moved = [], [], []
        for name, item in slices:
            noisy = _noisy(item, level, _seed(name) + 1) if level else item.hounsfield
            denoised = model(noisy)
            before.append(psnr_window(noisy, item.hounsfield))
            after.append(psnr_window(denoised, item.hounsfield))
            tissue = soft_tissue(item.hounsfield)
            moved.append(float((denoised - noisy)[tissue].std()))
        entry = float(np.mean(before))
        finite = np.isfinite(entry)
        out = float(np.mean(after))
        rows.append(
            [
                level,
                round(entry, 2) if finite else None,
                round(out, 2),
                round(out - entry, 2) if finite else None,
                round(float(np.mean(moved)), 2),
            ]
        )
    return {
        "note": "Level 0 is the reference itself, whose own noise is 9 to 10 HU: what changes "
        "there is mostly that noise, which counts against the model here.",
        "columns": ["noise HU", "PSNR in", "PSNR out", "gain dB", "change HU (SD, soft tissue)"],
        "rows": rows,
    }


def ct_spectra(data: Path) -> dict[str, Any]:
    """Noise of the real pairs beside what the training's simulation draws for the same slices."""
    generator = np.random.default_rng(_SEED)
    rows: list[list[str | float]] = []
    for folder in sorted(path for path in (data / PAIRS).iterdir() if path.is_dir()):
        real, simulated, deviation, white = [], [], [], []
        for full_path in _spread(list_files(folder, "*_full*"), 2):
            quarter_path = full_path.with_name(full_path.name.replace("_full", "_quarter"))
            full, quarter = read_ct_slice(full_path), read_ct_slice(quarter_path)
            image, middle = full.hounsfield, _middle(full.hounsfield)
            part = Case("", "", image, image, middle, scores, _MAIN, size=192).crop
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


def _held_out(recipe: Recipe, data: Path, each: int) -> list[tuple[str, CtSlice]]:
    result = []
    for folder in recipe.data.held_out:
        if folder != PAIRS:
            slices = _spread(read_ct_folder(data / folder), each)
            result += [(f"{Path(folder).name}/{index}", item) for index, item in enumerate(slices)]
    return result


def _noisy(item: CtSlice, level: float, seed: int) -> Floats:
    noise = simulate(item, 1, np.random.default_rng([seed, int(level)])).noise[0]
    noisy: Floats = np.maximum(item.hounsfield + level * noise.astype(np.float32), LOWEST_HU)
    return noisy


def _seed(name: str) -> int:
    """A seed, and so a dose and a kernel, of its own for every image."""
    return _SEED + zlib.crc32(name.encode())


def _middle(image: Floats) -> tuple[int, int]:
    row, column = ndimage.center_of_mass(image > -500)  # noqa: PLR2004
    return int(row), int(column)


def _spread(items: Sequence[_Item], count: int) -> list[_Item]:
    step = len(items) / min(count, len(items))
    return [items[int((index + 0.5) * step)] for index in range(min(count, len(items)))]
