"""The validity sweep: what a model gains from far more noise than it was trained on to far less.

Figures 2 and 4 of the Noise2Noise publication (Gnudi et al. 2020): output PSNR against input PSNR,
fresh realisations of the noise at every level, no retraining.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.errors import DataError
from model_store.evaluation.ct import MAIN as CT_MAIN
from model_store.evaluation.ct import coloured, held_out_slices, seed_of
from model_store.evaluation.metrics import psnr, psnr_window
from model_store.evaluation.xray import held_out_images, stored
from model_store.manifest import Validity
from model_store.training.noise import (
    AwgnNoise,
    PoissonGaussianNoise,
    WhiteNoise,
    XrayNoise,
    as_stored,
    deviation_of,
    white_noise,
)
from model_store.training.pairs.section import PairsData
from model_store.training.recipe import CtData, Recipe
from model_store.training.references import CtSlice
from model_store.training.simulation.xray import RadiographNoise, awgn

Floats = NDArray[np.float32]
Denoise = Callable[[Floats], Floats]

IMAGES = 4
COLOURED_HU = (240.0, 120.0, 80.0, 60.0, 40.0, 25.0, 15.0, 10.0, 6.0, 4.0, 2.0, 1.0, 0.5)
WHITE_CT_DB = (3.61, 8.0, 12.0, 16.0, 18.66, 21.0, 24.44, 28.0, 32.0, 36.0, 41.0, 46.51)
XRAY_DB = (14.8, 18.0, 22.0, 26.0, 29.91, 33.0, 36.0, 40.0, 45.0, 50.06, 56.0)
_SMOOTH = 1.0
_SIDE = 384


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a sweep: standard deviation of the noise, and a PSNR pair for each image."""

    noise_sd: float
    before: tuple[float, ...]
    after: tuple[float, ...]

    @property
    def psnr_in(self) -> float:
        """Mean PSNR of the inputs, dB."""
        return float(np.mean(self.before))

    @property
    def psnr_out(self) -> float:
        """Mean PSNR of the outputs, dB."""
        return float(np.mean(self.after))

    @property
    def gain(self) -> float:
        """Mean of what the model gains, dB."""
        return self.psnr_out - self.psnr_in

    @property
    def spread(self) -> float:
        """Standard deviation of the gain over the images, dB."""
        gains = np.subtract(self.after, self.before)
        return float(gains.std(ddof=1)) if len(gains) > 1 else 0.0


def measure_validity(
    model: Denoise,
    recipe: Recipe,
    data: Path,
    *,
    trained: tuple[float, float] | None = None,
    quick: bool = False,
) -> tuple[Validity, dict[str, Any]]:
    """Sweep a model at strength 1 over levels of the noise that its recipe is about.

    Parameters
    ----------
    model : callable
        The model, also on values outside its manifest's range if its noise goes there.
    recipe : Recipe
        Says which noise, what was held out, and which range was trained.
    data : Path
        Folder that the held-out data are below.
    trained : pair of float, optional
        Least and greatest deviation of the noise that was trained, if not the recipe's.
    quick : bool
        Every third level, two images.

    Returns
    -------
    Validity, dict
        For the manifest, and the table for report and card.

    Raises
    ------
    DataError
        If held-out data are missing or unreadable.
    """
    section = recipe.data
    if isinstance(section, PairsData):
        raise DataError(f"{recipe.name} was trained on pairs: there is no noise to draw in a sweep")
    count = 2 if quick else IMAGES
    if isinstance(section, CtData):
        white = isinstance(section.noise, AwgnNoise)
        slices = held_out_slices(recipe, data, count)[:count]
        measure, noise, levels = _sweep_ct(model, slices, white, 3 if quick else 1)
        unit = "HU"
    else:
        images = [_central(image) for _, image in held_out_images(recipe, data)[:count]]
        measure, noise, levels = _sweep_xray(model, images, section.noise, 3 if quick else 1)
        unit = "of the range"
    low, high = trained or section.noise_range
    validity = _validity(levels, (low, high), measure, noise, unit)
    return validity, _table(levels, validity, unit)


def zero_crossing(levels: Sequence[Level]) -> tuple[float, float] | None:
    """Input PSNR and noise above which the gain stays negative.

    Parameters
    ----------
    levels : sequence of Level
        From the most noise to the least.

    Returns
    -------
    tuple of float, or None
        PSNR in dB (linear between the two levels where the sign changes) and standard deviation
        of the noise (geometric). None if the quietest level has no loss; the noisiest level if
        every one has.
    """
    if levels[-1].gain >= 0:
        return None
    for noisier, quieter in reversed(list(pairwise(levels))):
        if noisier.gain >= 0 > quieter.gain:
            share = noisier.gain / (noisier.gain - quieter.gain)
            level = noisier.psnr_in + share * (quieter.psnr_in - noisier.psnr_in)
            return level, float(noisier.noise_sd ** (1 - share) * quieter.noise_sd**share)
    return levels[0].psnr_in, levels[0].noise_sd


def _sweep_ct(
    model: Denoise, slices: Sequence[tuple[str, CtSlice]], white: bool, step: int
) -> tuple[str, str, list[Level]]:
    references = [(name, _quiet(item)) for name, item in slices]
    quiet = (
        f"slices of one patient not trained on, averaged down by 2 after a Gaussian of {_SMOOTH:g} "
        "pixel, which leaves at most 5 to 7 HU of noise of their own (9 to 10 before); what is "
        "left counts as signal, so its removal counts against the model at the quiet end"
    )
    if white:

        def drawn(item: CtSlice, level: float, seed: int) -> Floats:
            generator = np.random.default_rng([seed, int(100 * level)])
            return awgn(item.hounsfield, 4096 * deviation_of(level), generator)

        levels = [
            _level(
                4096 * deviation_of(level),
                [
                    (drawn(item, level, seed_of(name) + 1), item.hounsfield)
                    for name, item in references
                ],
                model,
                lambda a, b: psnr(a, b, 4096.0),
            )
            for level in WHITE_CT_DB[::step]
        ]
        return "PSNR 4096 HU", f"white normal noise on {quiet}", levels
    levels = [
        _level(
            level,
            [
                (coloured(item, level, seed_of(name) + 1), item.hounsfield)
                for name, item in references
            ],
            model,
            psnr_window,
        )
        for level in COLOURED_HU[::step]
    ]
    return CT_MAIN, f"noise simulated in projections on {quiet}", levels


def _sweep_xray(
    model: Denoise, images: Sequence[Floats], section: XrayNoise, step: int
) -> tuple[str, str, list[Level]]:
    name = "white normal noise" if isinstance(section, AwgnNoise) else "Poisson noise"
    if isinstance(section, PoissonGaussianNoise):
        name = "Poisson and normal noise, half of the variance each"
    levels = []
    for level in XRAY_DB[::step]:
        pairs = []
        for index, image in enumerate(images):
            generator = np.random.default_rng([index, int(100 * level), 12])
            noisy = _radiograph(section, image, level, generator)
            pairs.append((stored(noisy) if as_stored(section) else noisy, image))
        levels.append(_level(deviation_of(level), pairs, model, psnr))
    text = (
        f"{name} on radiographs averaged down to at most 1024 pixels, central {_SIDE} x {_SIDE}; "
        "their own noise and JPEG residue (0.2 to 0.5 % of the range, 46 to 54 dB) counts against "
        "the model at the quiet end"
    )
    return "PSNR", text, levels


def _radiograph(
    section: object, image: Floats, level: float, generator: np.random.Generator
) -> Floats:
    if isinstance(section, AwgnNoise):
        same: WhiteNoise = AwgnNoise(kind="awgn", psnr=level)
        return white_noise(same, float(image.mean()), generator)(image)
    share = 0.5 if isinstance(section, PoissonGaussianNoise) else 1.0
    noisy: Floats = image + RadiographNoise(deviation_of(level), share).draw(image, generator)
    return noisy


def _quiet(item: CtSlice) -> CtSlice:
    return item.smaller(2, _SMOOTH)


def _central(image: Floats) -> Floats:
    rows, columns = ((length - min(length, _SIDE)) // 2 for length in image.shape)
    return np.ascontiguousarray(image[rows : rows + _SIDE, columns : columns + _SIDE])


def _level(
    noise_sd: float,
    pairs: Sequence[tuple[Floats, Floats]],
    model: Denoise,
    measure: Callable[[Floats, Floats], float],
) -> Level:
    before = tuple(measure(noisy, clean) for noisy, clean in pairs)
    after = tuple(measure(model(noisy), clean) for noisy, clean in pairs)
    return Level(noise_sd, before, after)


def _validity(
    levels: Sequence[Level],
    trained: tuple[float, float],
    measure: str,
    noise: str,
    unit: str,
) -> Validity:
    crossing = zero_crossing(levels)
    entry = [level.psnr_in for level in levels]
    at = [float(np.interp(-np.log(max(sd, 1e-6)), _logs(levels), entry)) for sd in trained]
    return Validity(
        measure=measure,
        noise=noise,
        images=len(levels[0].before),
        gain_curve=tuple((round(level.psnr_in, 2), round(level.gain, 2)) for level in levels),
        noise_sd=tuple(float(f"{level.noise_sd:.4g}") for level in levels),
        trained_sd=(float(f"{trained[0]:.4g}"), float(f"{trained[1]:.4g}")),
        trained_psnr=(round(min(at), 2), round(max(at), 2)),
        zero_crossing_psnr=None if crossing is None else round(crossing[0], 2),
        zero_crossing_sd=None if crossing is None else float(f"{crossing[1]:.3g}"),
        statement=_statement(levels, trained, crossing, unit),
    )


def _logs(levels: Sequence[Level]) -> list[float]:
    """Rises with the quiet, as interpolation needs it."""
    return [-float(np.log(level.noise_sd)) for level in levels]


def _statement(
    levels: Sequence[Level],
    trained: tuple[float, float],
    crossing: tuple[float, float] | None,
    unit: str,
) -> str:
    best = max(levels, key=lambda level: level.gain)
    parts = [
        f"Trained on noise of {trained[0]:.3g} to {trained[1]:.3g} {unit}. At strength 1 it gains "
        f"most, {best.gain:.1f} dB, at {best.noise_sd:.3g} {unit}."
    ]
    above = [level for level in levels if level.noise_sd > 1.05 * trained[1]]
    if above:
        worst = above[0]
        parts.append(
            f"Beyond the training, at {worst.noise_sd:.3g} {unit}, the gain is {worst.gain:.1f} dB."
        )
    if crossing is None:
        quietest = levels[-1]
        parts.append(
            f"It harms nowhere in the sweep, which ends at {quietest.psnr_in:.1f} dB "
            f"({quietest.noise_sd:.2g} {unit}, gain {quietest.gain:.2f} dB); quieter images were "
            "not measured: return them as they are."
        )
    elif crossing[0] <= levels[0].psnr_in:
        parts.append("It loses PSNR at every level of the sweep: it gives no gain in fidelity.")
    else:
        parts.append(
            f"Inputs above {crossing[0]:.1f} dB (noise below {crossing[1]:.2g} {unit}) lose PSNR "
            f"on average, single images from {_earliest(levels):.1f} dB: return them as they are, "
            "or lower the strength."
        )
    parts.append("Routes may run it at another strength.")
    return " ".join(parts)


def _earliest(levels: Sequence[Level]) -> float:
    """Lowest zero crossing of a single image, dB; a sweep's end where an image has none."""
    found = []
    for index in range(len(levels[0].before)):
        alone = [
            Level(level.noise_sd, (level.before[index],), (level.after[index],)) for level in levels
        ]
        crossing = zero_crossing(alone)
        found.append(levels[-1].psnr_in if crossing is None else crossing[0])
    return min(found)


def _table(levels: Sequence[Level], validity: Validity, unit: str) -> dict[str, Any]:
    rows: list[list[str | float | None]] = []
    for level in levels:
        inside = validity.trained_sd[0] * 0.95 <= level.noise_sd <= validity.trained_sd[1] * 1.05
        rows.append(
            [
                float(f"{level.noise_sd:.3g}"),
                round(level.psnr_in, 2),
                round(level.psnr_out, 2),
                round(level.gain, 2),
                round(level.spread, 2),
                "yes" if inside else "",
            ]
        )
    return {
        "title": f"Validity: {validity.measure} out against in, {validity.images} held-out images",
        "note": f"{validity.noise[0].upper()}{validity.noise[1:]}. {validity.statement}",
        "columns": [f"noise {unit}", "PSNR in", "PSNR out", "gain dB", "SD of gain", "trained"],
        "rows": rows,
    }
