"""Training patches of CT: quiet slices plus low-dose noise simulated in projections."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from model_store.errors import DataError
from model_store.training.noise import ProjectionNoise, ordered_pairs, white_noise
from model_store.training.patches import (
    Batch,
    DrawnPatches,
    Square,
    noise_weight,
    random_deviation,
    random_square,
    random_turn,
    shares_of,
)
from model_store.training.recipe import CtData, CtSource, InputSection
from model_store.training.references import (
    LOWEST_HU,
    CtSlice,
    Floats,
    read_ct_folder,
)
from model_store.training.simulation.ct import Exposure, Kernel, ParallelBeam, noise_image
from model_store.training.simulation.dead_leaves import random_phantom, scanned_phantom

_PHANTOM_SIZE = 384
Reference = tuple[CtSlice, Kernel | None]
"""A slice without noise, and the kernel that it was reconstructed with if its noise must fit it."""

_SIMULATION = 2  # counts changes of the simulation, so that no cache outlives one


@dataclass(frozen=True, slots=True)
class NoisySlice:
    """A clean slice and realisations of noise of unit standard deviation in soft tissue."""

    clean: Floats
    noise: NDArray[np.float16]


def simulate(
    slice_: CtSlice,
    realisations: int,
    generator: np.random.Generator,
    kernel: Kernel | None = None,
) -> NoisySlice:
    """Draw noise of random dose, tube-current modulation and kernel for one slice.

    Parameters
    ----------
    slice_ : CtSlice
        Without noise.
    realisations : int
        How many images of noise.
    generator : numpy.random.Generator
        Source of randomness.
    kernel : Kernel, optional
        That the slice was reconstructed with; otherwise each realisation draws its own.

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
            kernel or random_kernel(generator, slice_.pixel_mm),
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


class CtPatches(DrawnPatches):
    """Patches of simulated low-dose CT.

    Parameters
    ----------
    slices : list of NoisySlice
        Reference slices with their noise.
    data : CtData
        Noise and target.
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
        super().__init__(batch=batch, seed=seed, noisy_target=data.target == "noisy")
        self._slices = slices
        self._data = data
        self._input = input_
        self._patch = patch
        self._share = shares_of(item.clean for item in slices)

    def batch(self, step: int) -> Batch:
        """Batch number `step`."""
        if not self._data.antithetic:
            return super().batch(step)
        generator = np.random.default_rng([self._seed, step])
        seeds = generator.integers(1 << 62, size=self._size // 2)
        both = [(seed, sign) for seed in seeds for sign in (1.0, -1.0)]
        drawn = [self._one(np.random.default_rng(seed), False, sign) for seed, sign in both]
        return Batch.stack(drawn)

    def _one(
        self, generator: np.random.Generator, noisy_target: bool, sign: float = 1.0
    ) -> tuple[Floats, Floats, float]:
        item = self._slices[generator.choice(len(self._slices), p=self._share)]
        square = body_square(item.clean, self._patch, generator)
        clean = np.asarray(item.clean[square])
        if isinstance(self._data.noise, ProjectionNoise):
            noisy, target, weight = self._projected(item, square, generator, noisy_target, sign)
        else:
            draw = white_noise(self._data.noise, 0.0, generator)
            white, weight = [draw(_fraction(clean)) for _ in range(1 + noisy_target)], 1.0
            noisy = _hounsfield(white[0])
            target = _hounsfield(white[1]) if noisy_target else clean
        turn = random_turn(generator)
        return self._input.of(turn(noisy)), self._input.of(turn(target)), weight

    def _projected(
        self,
        item: NoisySlice,
        square: Square,
        generator: np.random.Generator,
        noisy_target: bool,
        sign: float,
    ) -> tuple[Floats, Floats, float]:
        """Noisy patch, target and weight, with one or two of the slice's realisations."""
        clean = np.asarray(item.clean[square])
        if noisy_target:
            pairs = ordered_pairs(len(item.noise))
            first, second = pairs[generator.integers(len(pairs))]
        else:
            first = second = int(generator.integers(len(item.noise)))
        deviation = random_deviation(
            self._data.minimum_sd, self._data.maximum_sd, self._data.quiet_share, generator
        )

        def with_noise(index: int) -> Floats:
            noise = item.noise[index][square].astype(np.float32)
            noisy: Floats = clean + np.float32(sign * deviation) * noise
            if generator.random() < 0.5:  # noqa: PLR2004
                noisy = np.maximum(noisy, LOWEST_HU)
            return noisy

        noisy = with_noise(first)
        target = with_noise(second) if noisy_target else clean
        return noisy, target, noise_weight(deviation, hounsfield=True)


def _fraction(hounsfield: Floats) -> Floats:
    """HU as the 0..1 in which noise levels in dB are stated: (HU + 1024) / 4096."""
    result: Floats = (hounsfield - np.float32(LOWEST_HU)) / np.float32(4096)
    return result


def _hounsfield(fraction: Floats) -> Floats:
    result: Floats = fraction * np.float32(4096) + np.float32(LOWEST_HU)
    return result


def body_square(image: Floats, patch: int, generator: np.random.Generator) -> Square:
    """Draw a square: most often mainly soft tissue, else mainly body, seldom anything."""
    lower, upper, share = (-200, 300, 0.6) if generator.random() < 0.65 else (-950, 3000, 0.7)  # noqa: PLR2004
    square = random_square(image, patch, generator)
    for _ in range(7):
        coarse = image[square][::4, ::4]
        if ((coarse > lower) & (coarse < upper)).mean() > share:
            break
        square = random_square(image, patch, generator)
    return square


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
    series: list[tuple[object, Callable[[np.random.Generator], Iterable[Reference]]]] = [
        (
            [source.model_dump(exclude_defaults=True), scale],
            partial(_clinical, folder, source, scale),
        )
        for source in data.sources
        for scale in source.scales
    ]
    if data.phantoms:
        series.append((["phantoms", data.phantoms], partial(_phantoms, data.phantoms)))
    if data.scanned_phantoms:
        count = data.scanned_phantoms
        series.append((["scanned phantoms", count], partial(_scanned_phantoms, count)))
    result: list[NoisySlice] = []
    for what, draw in series:
        key = json.dumps([what, data.realisations, seed, _SIMULATION])
        stem = hashlib.sha256(key.encode()).hexdigest()[:16]
        clean_path, noise_path = cache / f"{stem}-clean.npy", cache / f"{stem}-noise.npy"
        if not noise_path.exists():
            generator = np.random.default_rng([seed, int(stem[:8], 16)])
            slices = [
                simulate(item, data.realisations, generator, kernel)
                for item, kernel in draw(generator)
            ]
            cache.mkdir(parents=True, exist_ok=True)
            _save(clean_path, np.stack([item.clean for item in slices]))
            _save(noise_path, np.stack([item.noise for item in slices]))
        clean, noise = _open(clean_path), _open(noise_path)
        result += [NoisySlice(one, many) for one, many in zip(clean, noise, strict=True)]
    return result


def _clinical(
    folder: Path, source: CtSource, scale: int, _generator: np.random.Generator
) -> Iterator[Reference]:
    for item in read_ct_folder(folder / source.folder)[:: source.every]:
        yield item.smaller(scale, source.smooth, source.total_variation), None


def _phantoms(count: int, generator: np.random.Generator) -> Iterator[Reference]:
    for _ in range(count):
        pixel_mm = float(generator.uniform(0.5, 1.1))
        image = random_phantom(_PHANTOM_SIZE, pixel_mm, generator)
        yield CtSlice(image, np.ones(image.shape, bool), pixel_mm), None


def _scanned_phantoms(count: int, generator: np.random.Generator) -> Iterator[Reference]:
    for _ in range(count):
        pixel_mm = float(generator.uniform(0.5, 1.1))
        kernel = random_kernel(generator, pixel_mm)
        aperture_mm = float(generator.uniform(0.5, 1.0))
        image = scanned_phantom(_PHANTOM_SIZE, pixel_mm, kernel, aperture_mm, generator)
        yield CtSlice(image, np.ones(image.shape, bool), pixel_mm), kernel


def _save(path: Path, array: NDArray[np.generic]) -> None:
    """Write an array so that a run beside this one never sees half of it."""
    half = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with half.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    half.replace(path)


def _open(path: Path) -> NDArray[np.generic]:
    """Map an array of the cache into memory, shared by all runs that use it."""
    try:
        mapped: NDArray[np.generic] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not readable ({error}); delete it to simulate anew") from error
    return mapped
