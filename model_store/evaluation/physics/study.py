"""What a denoiser does to phantoms: every image through the network once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_store.evaluation.physics.observer import channel_outputs, laguerre_gauss, region
from model_store.evaluation.physics.phantom import (
    LOW_CONTRAST,
    QUARTER_DOSE,
    SHARP_FULL,
    SHARP_QUARTER,
    SOFT_QUARTER,
    Acquisition,
    ScanCondition,
    contrast_phantom,
    low_contrast_phantom,
    low_contrast_sites,
)
from model_store.evaluation.physics.repeats import (
    CTP404_PIXEL_MM,
    DOSES,
    LOW_CONTRAST_PIXEL_MM,
    ctp404,
    low_contrast_repeats,
    low_contrast_rods,
    scanner_slices,
    uniform_repeats,
)
from model_store.training.simulation.ct import ParallelBeam, noise_image

Floats = NDArray[np.float32]
Model = Callable[[Floats], Floats]

CONDITIONS = (SHARP_QUARTER, SHARP_FULL, SOFT_QUARTER)
"""Each has its own acceptance criteria; low-contrast detection at quarter dose only."""

_SEED = 2014
_EDGE_MM = 52.0
_CROP = (32, 224)  # rows and columns of the repeats that are looked at


@dataclass(frozen=True, slots=True)
class Responses:
    """Values before the network and what it adds at strength 1; linear in the strength.

    Parameters
    ----------
    before, change : ndarray of one shape
        Images ``[n, rows, columns]`` or channel outputs ``[n, channels]``.
    """

    before: NDArray[np.floating]
    change: NDArray[np.floating]

    def after(self, strength: float) -> NDArray[np.floating]:
        """Values behind the network at `strength`."""
        return np.asarray(self.before + self.before.dtype.type(strength) * self.change)

    @classmethod
    def through(cls, model: Model, images: Iterable[Floats]) -> Responses:
        """Put images ``[rows, columns]`` in HU through `model`."""
        before = np.stack([np.asarray(image, np.float32) for image in images])
        return cls(before, np.stack([model(image) - image for image in before]))

    def channels(
        self, places: Iterable[tuple[float, float]], size: int, bank: NDArray[np.floating]
    ) -> Responses:
        """Channel outputs of the regions at `places`, place by place."""
        before, change = [], []
        for place in places:
            before.append(channel_outputs(region(self.before, place, size), bank))
            change.append(channel_outputs(region(self.change, place, size), bank))
        return Responses(np.concatenate(before), np.concatenate(change))

    @classmethod
    def joined(cls, parts: Iterable[Responses]) -> Responses:
        """Concatenate along the first axis."""
        members = list(parts)
        return cls(
            np.concatenate([part.before for part in members]),
            np.concatenate([part.change for part in members]),
        )


@dataclass(frozen=True, slots=True)
class Uniform:
    """Noisy images of uniform material.

    Parameters
    ----------
    name : str
        Which.
    pixel_mm : float
        Pixel spacing.
    images : Responses
        Images in HU.
    inside : tuple of slice
        Their uniform part, at least 64 x 64.
    places : tuple of tuple of float
        Row and column of places in the middle (first) and near the edge, for uniformity.
    condition : str or None
        Name of the condition whose acceptance criteria count it, if any.
    """

    name: str
    pixel_mm: float
    images: Responses
    inside: tuple[slice, slice]
    places: tuple[tuple[float, float], ...] = ()
    condition: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """Channel outputs of one low-contrast rod, absent and present."""

    diameter_mm: float
    contrast: float
    absent: Responses
    present: Responses


@dataclass(frozen=True, slots=True)
class Study:
    """Phantom images before and after one denoiser.

    Parameters
    ----------
    uniform : list of Uniform
        For noise, its spectrum, bias and uniformity.
    contrast : dict
        Condition to images of the contrast phantom, pairs of opposite noise.
    simulated : dict
        Condition to tasks of the simulated low-contrast ensemble.
    ctp404 : dict
        Name to images of the CTP404 module.
    repeats : dict
        Dose to tasks of the repeats of the MITA phantom.
    quick : bool
        Few images.
    """

    uniform: list[Uniform]
    contrast: dict[str, Responses]
    simulated: dict[str, list[Task]]
    ctp404: dict[str, Responses] = field(default_factory=dict)
    repeats: dict[str, list[Task]] = field(default_factory=dict)
    quick: bool = False

    @classmethod
    def run(
        cls,
        model: Model,
        data: Path | None,
        *,
        quick: bool = False,
        conditions: tuple[ScanCondition, ...] = CONDITIONS,
    ) -> Study:
        """Simulate and read the phantoms and put all through `model`.

        Parameters
        ----------
        model : callable
            Image in HU, float32 of shape (rows, columns), to the denoised image.
        data : Path or None
            Folder above ``ct_physics``; None for simulated phantoms alone.
        quick : bool
            A few images of each; no repeats of the low-contrast phantom, no scanner.
        conditions : tuple of ScanCondition
            Of the simulated phantoms.

        Raises
        ------
        DataError
            If `data` lacks the phantoms.
        """
        uniform: list[Uniform] = []
        contrast, simulated = {}, {}
        for condition in conditions:
            if condition.exposure == QUARTER_DOSE:
                tasks, water = _low_contrast(model, condition, 6 if quick else 12)
                simulated[condition.name] = tasks
                uniform.append(water)
            pairs = _contrast(model, condition, 2 if quick else 4)
            contrast[condition.name] = pairs
            uniform.append(_between_rods(condition, pairs))
        if data is None:
            return cls(uniform, contrast, simulated, quick=quick)
        images = uniform_repeats(data, 3 if quick else 10)
        uniform.insert(
            0,
            Uniform(
                "uniform water, repeats",
                CTP404_PIXEL_MM,
                Responses.through(model, images),
                (slice(64, 192), slice(64, 192)),
                _around(127.5, _EDGE_MM / CTP404_PIXEL_MM),
                SHARP_FULL.name,
            ),
        )
        if not quick:
            square = (slice(96, 160), slice(96, 160))
            uniform += [
                Uniform(name, pixel_mm, Responses.through(model, slices), square)
                for name, pixel_mm, slices in scanner_slices(data)
            ]
        return cls(
            uniform,
            contrast,
            simulated,
            _ctp404(model, data, quick=quick),
            {} if quick else {dose: _repeats(model, data, dose) for dose in DOSES},
            quick,
        )


def _contrast(model: Model, condition: ScanCondition, pairs: int) -> Responses:
    """Each noise also with the opposite sign, so that means lose what is linear in it."""
    acquisition = Acquisition(contrast_phantom(), condition)
    generator = np.random.default_rng([_SEED, 1])
    images = []
    for _ in range(pairs):
        noise = acquisition.noise(generator)
        images += [acquisition.mean + noise, acquisition.mean - noise]
    return Responses.through(model, images)


def _between_rods(condition: ScanCondition, pairs: Responses) -> Uniform:
    return Uniform(
        f"simulated, {condition.name}, between rods",
        contrast_phantom().pixel_mm,
        pairs,
        (slice(96, 160), slice(96, 160)),
        ((128.0, 128.0),),
        condition.name,
    )


def _low_contrast(model: Model, condition: ScanCondition, count: int) -> tuple[list[Task], Uniform]:
    generator = np.random.default_rng([_SEED, 2])
    water = Acquisition(low_contrast_phantom(None), condition)
    without = Responses.through(model, [water.mean + water.noise(generator) for _ in range(count)])
    middle = water.phantom.size // 2
    places = [(middle + down, middle + right) for down, right in low_contrast_sites()]
    size = _region_size(water.phantom.pixel_mm, odd=True)
    present: dict[float, list[Responses]] = {diameter: [] for diameter, _ in LOW_CONTRAST}
    banks = {d: laguerre_gauss(size, 2 / 3 * d / water.phantom.pixel_mm) for d in present}
    for turn in range(4):
        phantom = low_contrast_phantom(turn)
        acquisition = Acquisition(phantom, condition)
        repeats = (count + 3 - turn) // 4
        images = [acquisition.mean + acquisition.noise(generator) for _ in range(repeats)]
        pairs = Responses.through(model, images)
        for rod in phantom.rods:
            bank = banks[rod.diameter_mm]
            present[rod.diameter_mm].append(pairs.channels([phantom.place(rod)], size, bank))
    tasks = [
        Task(
            diameter,
            contrast,
            without.channels(places, size, banks[diameter]),
            Responses.joined(present[diameter]),
        )
        for diameter, contrast in LOW_CONTRAST
    ]
    uniform = Uniform(
        f"simulated, {condition.name}, water",
        water.phantom.pixel_mm,
        without,
        (slice(64, 192), slice(64, 192)),
        _around(middle, _EDGE_MM / water.phantom.pixel_mm),
        condition.name,
    )
    return tasks, uniform


def _repeats(model: Model, data: Path, dose: str) -> list[Task]:
    images = low_contrast_repeats(data, dose)
    start, stop = _CROP
    absent, present = (
        Responses.through(model, part[:, start:stop, start:stop])
        for part in (images.absent, images.present)
    )
    size = _region_size(LOW_CONTRAST_PIXEL_MM, odd=False)
    rods = [(rod, (row - start, column - start)) for rod, (row, column) in low_contrast_rods()]
    # by symmetry the four places are alike where no rod is
    places = [place for _, place in rods]
    tasks = []
    for rod, place in rods:
        bank = laguerre_gauss(size, 2 / 3 * rod.diameter_mm / LOW_CONTRAST_PIXEL_MM)
        tasks.append(
            Task(
                rod.diameter_mm,
                rod.contrast,
                absent.channels(places, size, bank),
                present.channels([place], size, bank),
            )
        )
    return tasks


def _ctp404(model: Model, data: Path, *, quick: bool) -> dict[str, Responses]:
    generator = np.random.default_rng([_SEED, 3])
    beam = ParallelBeam(256, views=400)
    found = {}
    for name, condition in (("sharp", SHARP_QUARTER), ("smooth", SOFT_QUARTER)):
        image = ctp404(data, name)
        found[f"{name}, no noise"] = Responses.through(model, [image])
        if not quick:
            kernel = condition.system.kernel(CTP404_PIXEL_MM)
            noise = noise_image(image, CTP404_PIXEL_MM, QUARTER_DOSE, kernel, generator, beam)
            found[f"{name}, quarter dose"] = Responses.through(
                model, [image + noise, image - noise]
            )
    return found


def _around(middle: float, distance: float) -> tuple[tuple[float, float], ...]:
    """The middle and four places at `distance` from it, in pixels."""
    return (
        (middle, middle),
        (middle - distance, middle),
        (middle, middle + distance),
        (middle + distance, middle),
        (middle, middle - distance),
    )


def _region_size(pixel_mm: float, *, odd: bool) -> int:
    """Twice the largest rod, in pixels."""
    size = round(2 * max(diameter for diameter, _ in LOW_CONTRAST) / pixel_mm)
    return size if size % 2 == odd else size + 1
