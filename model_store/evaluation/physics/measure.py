"""Measure the physics of a denoiser at one strength, or find the strength that it may have.

The output at strength a is ``x + a (G(x) - x)``, so the network sees every image once however
many strengths are looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_store.evaluation.physics.acceptance import (
    Criterion,
    bias_criterion,
    detection_criterion,
    noise_criterion,
    spectrum_criterion,
    transfer_criterion,
)
from model_store.evaluation.physics.edge import TransferFunction, transfer
from model_store.evaluation.physics.observer import DetectabilityChange, compare, interval
from model_store.evaluation.physics.phantom import Rod, contrast_phantom
from model_store.evaluation.physics.repeats import ctp404_rods
from model_store.evaluation.physics.spectrum import NoiseSpectrum, noise_spectrum
from model_store.evaluation.physics.study import Responses, Study, Task

STRENGTHS = tuple(round(0.1 * step, 1) for step in range(3, 11))
_ROI_MM = 8.0


@dataclass(frozen=True, slots=True)
class BeforeAfter:
    """One quantity of the input and of the output."""

    before: float
    after: float

    @property
    def change(self) -> float:
        """Output less input."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class UniformResult:
    """Noise and CT numbers of uniform material, before and after.

    Parameters
    ----------
    name : str
        Which images.
    before, after : NoiseSpectrum
        Noise.
    means : tuple of BeforeAfter
        Mean HU in the middle (first) and near the edge.
    condition : str or None
        Whose criteria count it.
    """

    name: str
    before: NoiseSpectrum
    after: NoiseSpectrum
    means: tuple[BeforeAfter, ...]
    condition: str | None

    @property
    def reduction(self) -> float:
        """Per cent by which the standard deviation falls."""
        return 100 * (1 - self.after.deviation / self.before.deviation)

    @property
    def shift(self) -> float:
        """Per cent by which the mean frequency moves."""
        return 100 * (self.after.mean_frequency / self.before.mean_frequency - 1)

    @property
    def bias(self) -> float:
        """The change of a mean that is farthest from zero, in HU; zero where none is measured."""
        return max((mean.change for mean in self.means), key=abs, default=0.0)


@dataclass(frozen=True, slots=True)
class RodResult:
    """A rod of the contrast phantom before and after.

    Parameters
    ----------
    condition : str
        Kernel and dose.
    rod : Rod
        Which.
    before, after : TransferFunction
        Resolution of its edge.
    mean : BeforeAfter
        Mean HU within it.
    contrast_to_noise : BeforeAfter
        Contrast over the noise of the background of one image.
    """

    condition: str
    rod: Rod
    before: TransferFunction
    after: TransferFunction
    mean: BeforeAfter
    contrast_to_noise: BeforeAfter

    def ratio(self, level: float) -> float | None:
        """Per cent of the input's frequency at that level of the TTF that remains."""
        before, after = self.before.at_level(level), self.after.at_level(level)
        return None if before is None or after is None else 100 * after / before


@dataclass(frozen=True, slots=True)
class TaskResult:
    """Detection of one low-contrast rod before and after."""

    diameter_mm: float
    contrast: float
    comparison: DetectabilityChange


@dataclass(frozen=True, slots=True)
class Measurement:
    """All results at one strength.

    Parameters
    ----------
    strength : float
        Of the denoising.
    uniform, rods : list
        Of uniform material and the contrast phantom.
    tasks : dict
        Condition to tasks of the simulated low-contrast ensemble.
    inserts : dict
        Name of a CTP404 image to rods and their mean HU.
    repeats : dict
        Dose to the tasks of the repeats.
    """

    strength: float
    uniform: list[UniformResult]
    rods: list[RodResult]
    tasks: dict[str, list[TaskResult]]
    inserts: dict[str, list[tuple[Rod, BeforeAfter]]]
    repeats: dict[str, list[TaskResult]]

    @classmethod
    def of(cls, study: Study, strength: float, *, criteria_only: bool = False) -> Measurement:
        """Evaluate a study at one strength; without what no criterion needs, if so asked."""
        return cls(
            strength,
            _uniform(study, strength),
            [
                rod
                for condition, images in study.contrast.items()
                for rod in _rods(condition, images, strength)
            ],
            _tasks(study.simulated, strength),
            {} if criteria_only else _inserts(study, strength),
            {} if criteria_only else _tasks(study.repeats, strength),
        )

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions that have criteria."""
        return tuple(dict.fromkeys(rod.condition for rod in self.rods))

    def detection(self, condition: str) -> tuple[float, float, float]:
        """Mean difference of the areas over the simulated rods, and its 95 % interval."""
        tasks = [task.comparison for task in self.tasks[condition]]
        samples = np.mean([task.differences for task in tasks], axis=0)
        return float(np.mean([task.difference for task in tasks])), *interval(samples)

    def criteria(self, condition: str | None = None) -> list[Criterion]:
        """The acceptance limits under one condition; the worst over all of them by default."""
        names = self.conditions if condition is None else (condition,)
        uniform = [item for item in self.uniform if item.condition in names]
        rods = [rod for rod in self.rods if rod.condition in names]
        ratios = {(rod.condition, rod.rod.contrast): rod.ratio(0.5) or 0.0 for rod in rods}
        found = [
            noise_criterion({item.name: item.reduction for item in uniform}),
            spectrum_criterion({item.name: item.shift for item in uniform}),
            bias_criterion({item.name: item.bias for item in uniform}),
            transfer_criterion(ratios),
        ]
        detections = {name: self.detection(name) for name in names if name in self.tasks}
        if detections:
            found.append(detection_criterion(detections))
        return found

    def passed(self, condition: str | None = None) -> bool:
        """Whether every criterion holds, under one condition or all."""
        return all(criterion.passed for criterion in self.criteria(condition))


def strength_sweep(study: Study, strengths: tuple[float, ...] = STRENGTHS) -> list[Measurement]:
    """Evaluate a study at many strengths."""
    return [Measurement.of(study, strength, criteria_only=True) for strength in strengths]


def best_strength(sweep: list[Measurement], condition: str | None = None) -> float | None:
    """Largest strength at which every criterion holds, under one condition or all; None if none."""
    return max((item.strength for item in sweep if item.passed(condition)), default=None)


def _uniform(study: Study, strength: float) -> list[UniformResult]:
    results = []
    for item in study.uniform:
        before, after = item.images.before, item.images.after(strength)
        radius = _ROI_MM / item.pixel_mm
        results.append(
            UniformResult(
                item.name,
                noise_spectrum([image[item.inside] for image in before], item.pixel_mm),
                noise_spectrum([image[item.inside] for image in after], item.pixel_mm),
                tuple(
                    BeforeAfter(disc_mean(before, place, radius), disc_mean(after, place, radius))
                    for place in item.places
                ),
                item.condition,
            )
        )
    return results


def _rods(condition: str, images: Responses, strength: float) -> list[RodResult]:
    phantom = contrast_phantom()
    before, after = images.before, images.after(strength)
    means = before.mean(0), after.mean(0)
    middle = (slice(96, 160), slice(96, 160))
    noise = [
        noise_spectrum([image[middle] for image in part], phantom.pixel_mm).deviation
        for part in (before, after)
    ]
    water = [disc_mean(mean, (128.0, 128.0), 20) for mean in means]
    results = []
    for rod in phantom.rods:
        place, radius = phantom.place(rod), rod.diameter_mm / 2 / phantom.pixel_mm
        edges = (
            transfer(means[0], place, radius, phantom.pixel_mm),
            transfer(means[1], place, radius, phantom.pixel_mm),
        )
        values = [disc_mean(mean, place, 0.6 * radius) for mean in means]
        ratios = [abs(values[side] - water[side]) / max(noise[side], 1e-9) for side in (0, 1)]
        results.append(
            RodResult(condition, rod, *edges, BeforeAfter(*values), BeforeAfter(*ratios))
        )
    return results


def _inserts(study: Study, strength: float) -> dict[str, list[tuple[Rod, BeforeAfter]]]:
    found = {}
    for name, images in study.ctp404.items():
        before, after = images.before, images.after(strength)
        found[name] = [
            (rod, BeforeAfter(disc_mean(before, place, 6), disc_mean(after, place, 6)))
            for rod, place in ctp404_rods()
        ]
    return found


def _tasks(groups: dict[str, list[Task]], strength: float) -> dict[str, list[TaskResult]]:
    return {name: [_task(task, strength) for task in tasks] for name, tasks in groups.items()}


def _task(task: Task, strength: float) -> TaskResult:
    comparison = compare(
        (task.absent.before, task.present.before),
        (task.absent.after(strength), task.present.after(strength)),
    )
    return TaskResult(task.diameter_mm, task.contrast, comparison)


def disc_mean(images: NDArray[np.floating], place: tuple[float, float], radius: float) -> float:
    """Mean within `radius` pixels of `place` (row, column) over ``[..., rows, columns]``."""
    rows, columns = images.shape[-2:]
    row = np.arange(rows)[:, None] - place[0]
    column = np.arange(columns)[None, :] - place[1]
    return float(images[..., row**2 + column**2 < radius**2].mean(dtype=np.float64))
