"""Training patches of CT: quiet slices plus low-dose noise simulated in projections."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from model_store.errors import DataError
from model_store.training.patches import (
    Batch,
    Window,
    random_deviation,
    random_turn,
    random_window,
)
from model_store.training.recipe import CtData, InputSection
from model_store.training.references import (
    LOWEST_HU,
    CtSlice,
    Floats,
    read_ct_folder,
)
from model_store.training.simulation.ct import Exposure, Kernel, ParallelBeam, noise_image

_WEIGHT_KNEE_HU = 10.0
_SIMULATION = 2  # counts changes of the simulation, so that no cache outlives one


@dataclass(frozen=True, slots=True)
class NoisySlice:
    """A clean slice and realisations of noise of unit standard deviation in soft tissue."""

    clean: Floats
    noise: NDArray[np.float16]


def simulate(slice_: CtSlice, realisations: int, generator: np.random.Generator) -> NoisySlice:
    """Draw noise of random dose, tube-current modulation and kernel for one slice.

    Returns
    -------
    NoisySlice
        Noise ``[realisations, rows, columns]`` with standard deviation 1 over soft tissue, zero in
        padding.
    """
    size = max(slice_.hounsfield.shape)
    square = np.full((size, size), LOWEST_HU, np.float32)
    rows, columns = slice_.hounsfield.shape
    square[:rows, :columns] = slice_.hounsfield
    beam = ParallelBeam(size, views=max(360, size))
    tissue = soft_tissue(slice_.hounsfield) & slice_.valid
    noise = np.zeros((realisations, rows, columns), np.float16)
    for index in range(realisations):
        exposure = Exposure(
            photons=float(np.exp(generator.uniform(np.log(6e4), np.log(2e6)))),
            electronic=float(generator.uniform(2, 10)),
            modulation=float(generator.uniform(0, 0.8)),
        )
        drawn = noise_image(
            square,
            slice_.pixel_mm,
            exposure,
            random_kernel(generator, slice_.pixel_mm),
            generator,
            beam,
        )[:rows, :columns]
        noise[index] = np.where(slice_.valid, drawn / max(float(drawn[tissue].std()), 1e-3), 0)
    return NoisySlice(slice_.hounsfield, np.clip(noise, -100, 100))


def random_kernel(generator: np.random.Generator, pixel_mm: float) -> Kernel:
    """Draw a kernel between soft and sharp, with or without edge enhancement.

    Scanners define kernels per millimetre: soft ones end near 0.6, sharp ones beyond 1.2.
    """
    return Kernel(
        cutoff=float(np.clip(generator.uniform(0.55, 1.6) * pixel_mm, 0.25, 1.0)),
        softness=float(generator.uniform(0.0, 1.2)),
        boost=float(generator.choice([0.0, generator.uniform(0, 2.5)])),
    )


def soft_tissue(hounsfield: Floats) -> NDArray[np.bool_]:
    """Pixels whose neighbourhood is soft tissue; the body if there is hardly any."""
    mean = ndimage.uniform_filter(hounsfield, 9)
    for lower, upper in ((-60, 120), (-150, 300), (-600, 1500)):
        mask = (mean > lower) & (mean < upper)
        if mask.mean() > 0.005:  # noqa: PLR2004
            return np.asarray(mask)
    return np.ones(hounsfield.shape, bool)


class CtPatches:
    """Patches of simulated low-dose CT.

    Parameters
    ----------
    slices : list of NoisySlice
        Reference slices with their noise.
    data : CtData
        Range of the noise.
    input_ : InputSection
        Normalisation of HU.
    batch, patch, seed : int
        Patches in a batch, their side in pixels, and the seed of all draws.
    """

    def __init__(
        self,
        slices: list[NoisySlice],
        data: CtData,
        input_: InputSection,
        *,
        batch: int,
        patch: int,
        seed: int,
    ) -> None:
        if not slices or any(min(item.clean.shape) < patch for item in slices):
            raise DataError(f"every reference slice must have at least {patch} rows and columns")
        self._slices = slices
        self._data = data
        self._input = input_
        self._size = batch
        self._patch = patch
        self._seed = seed
        # slices of a smaller matrix hold fewer patches
        area = np.array([item.clean.size for item in slices], float)
        self._share = area**0.5 / (area**0.5).sum()

    def batch(self, step: int) -> Batch:
        """Batch number `step`."""
        generator = np.random.default_rng([self._seed, step])
        return Batch.stack([self._one(generator) for _ in range(self._size)])

    def _one(self, generator: np.random.Generator) -> tuple[Floats, Floats, float]:
        item = self._slices[generator.choice(len(self._slices), p=self._share)]
        window = _window(item.clean, self._patch, generator)
        clean = item.clean[window]
        noise = item.noise[generator.integers(len(item.noise))][window].astype(np.float32)
        deviation = random_deviation(
            self._data.minimum_sd, self._data.maximum_sd, self._data.quiet_share, generator
        )
        noisy = clean + np.float32(deviation) * noise
        if generator.random() < 0.5:  # noqa: PLR2004
            noisy = np.maximum(noisy, LOWEST_HU)
        turn = random_turn(generator)
        weight = _WEIGHT_KNEE_HU**2 / (_WEIGHT_KNEE_HU**2 + deviation**2)
        return self._scaled(turn(noisy)), self._scaled(turn(clean)), weight

    def _scaled(self, hounsfield: Floats) -> Floats:
        scaled = (hounsfield + self._input.offset) / self._input.scale
        return np.ascontiguousarray(scaled, dtype=np.float32)


def _window(image: Floats, patch: int, generator: np.random.Generator) -> Window:
    """Draw a window: most often mainly soft tissue, else mainly body, seldom anything."""
    lower, upper, share = (-200, 300, 0.6) if generator.random() < 0.65 else (-950, 3000, 0.7)  # noqa: PLR2004
    window = random_window(image, patch, generator)
    for _ in range(7):
        coarse = image[window][::4, ::4]
        if ((coarse > lower) & (coarse < upper)).mean() > share:
            break
        window = random_window(image, patch, generator)
    return window


def prepare_ct(data: CtData, folder: Path, cache: Path, seed: int) -> list[NoisySlice]:
    """Read the reference slices and simulate their noise, or read both from the cache.

    Parameters
    ----------
    data : CtData
        What to read.
    folder : Path
        Folder that the sources are relative to.
    cache : Path
        Folder for the simulated noise (``.npy``), keyed by everything it depends on.
    seed : int
        Seed of the noise.

    Raises
    ------
    DataError
        If a source is missing or unreadable.
    """
    result: list[NoisySlice] = []
    for source in data.sources:
        for scale in source.scales:
            key = json.dumps([source.model_dump(), scale, data.realisations, seed, _SIMULATION])
            stem = hashlib.sha256(key.encode()).hexdigest()[:16]
            clean_path, noise_path = cache / f"{stem}-clean.npy", cache / f"{stem}-noise.npy"
            if not noise_path.exists():
                generator = np.random.default_rng([seed, int(stem[:8], 16)])
                slices = [
                    simulate(item.smaller(scale, source.smooth), data.realisations, generator)
                    for item in read_ct_folder(folder / source.folder)[:: source.every]
                ]
                cache.mkdir(parents=True, exist_ok=True)
                np.save(clean_path, np.stack([item.clean for item in slices]), allow_pickle=False)
                np.save(noise_path, np.stack([item.noise for item in slices]), allow_pickle=False)
            clean = np.load(clean_path, allow_pickle=False)
            noise = np.load(noise_path, allow_pickle=False)
            result += [NoisySlice(*pair) for pair in zip(clean, noise, strict=True)]
    return result
