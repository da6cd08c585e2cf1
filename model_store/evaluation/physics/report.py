"""Results of the physics of a denoiser as plain data: criteria, tables and curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_store.evaluation.physics.measure import (
    BeforeAfter,
    Measurement,
    RodResult,
    TaskResult,
    best_strength,
)
from model_store.evaluation.physics.npwe import npwe_index
from model_store.evaluation.physics.observer import interval

Table = dict[str, Any]
CellValue = str | float | None


def summary(measurement: Measurement) -> dict[str, Any]:
    """Everything measured at one strength.

    Returns
    -------
    dict
        ``strength``; ``passed`` (all criteria); ``gates`` (the worst over the conditions: ``name``,
        ``value``, ``limit``, ``unit``, ``passed``, ``note``); ``conditions`` (name to the same list
        for one condition); ``tables`` (``title``, ``note``, ``columns``, ``rows``); ``curves``
        (``nps`` and ``ttf``: name, frequency per mm, before, after).
    """
    tables = [
        _criteria_table(measurement),
        _noise_table(measurement),
        _resolution_table(measurement),
        _detection_table(measurement),
    ]
    if measurement.inserts:
        tables.insert(2, _insert_table(measurement))
    if measurement.repeats:
        tables.append(_repeat_table(measurement))
    return {
        "strength": measurement.strength,
        "passed": measurement.passed(),
        "gates": [criterion.as_dict() for criterion in measurement.criteria()],
        "conditions": {
            name: [criterion.as_dict() for criterion in measurement.criteria(name)]
            for name in measurement.conditions
        },
        "tables": tables,
        "curves": _curves(measurement),
    }


def for_manifest(results: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest keeps of all results: everything but the curves and the check of the noise.

    Parameters
    ----------
    results : mapping
        As of `summary`, with the ``sweep`` of `sweep_summary` and whether it was ``quick``, if so.
    """
    kept = ("strength", "passed", "quick", "gates", "conditions", "tables", "sweep")
    return {name: results[name] for name in kept if name in results}


def sweep_summary(sweep: list[Measurement]) -> dict[str, Any]:
    """Largest strength that passes, in all and by condition, and a table over strengths.

    Returns
    -------
    dict
        ``strength`` (None if no strength passes), ``by_condition`` (name to the same), ``table``.
    """
    rows: list[list[CellValue]] = []
    for condition in sweep[0].conditions:
        for item in sweep:
            criteria = item.criteria(condition)
            cells: list[CellValue] = [
                _marked(criterion.value, criterion.passed) for criterion in criteria
            ]
            cells += [None] * (5 - len(criteria))
            rows.append([condition, item.strength, *cells])
    return {
        "strength": best_strength(sweep),
        "by_condition": {name: best_strength(sweep, name) for name in sweep[0].conditions},
        "table": {
            "title": "Acceptance over strengths",
            "note": "! marks what misses its limit: noise SD -40 % or more, mean frequency of the "
            "noise within 15 %, uniform regions within 1 HU, TTF50 at 100 HU and more 95 % or "
            "more, observer's AUC not below the input's.",
            "columns": [
                "condition",
                "strength",
                "noise falls %",
                "f mean moves %",
                "bias HU",
                "TTF50 %",
                "AUC change",
            ],
            "rows": rows,
        },
    }


def _marked(value: float, passed: bool) -> str:
    return f"{value:.3g}" + ("" if passed else " !")


def _criteria_table(measurement: Measurement) -> Table:
    by_name: dict[str, dict[str, str]] = {}
    limits = {}
    for condition in measurement.conditions:
        for criterion in measurement.criteria(condition):
            limits[criterion.name] = f"{criterion.limit:g} {criterion.unit}".strip()
            by_name.setdefault(criterion.name, {})[condition] = _marked(
                criterion.value, criterion.passed
            )
    return {
        "title": f"Acceptance limits at strength {measurement.strength:g}",
        "note": "The worst image, region or contrast of each condition; ! misses the limit. Doses "
        "are of a 150 mm water cylinder, simulated in projections; full dose has 15 HU.",
        "columns": ["limit", "", *measurement.conditions],
        "rows": [
            [name, limits[name], *(values.get(item, "") for item in measurement.conditions)]
            for name, values in by_name.items()
        ],
    }


def _noise_table(measurement: Measurement) -> Table:
    return {
        "title": "Noise and CT numbers of uniform material",
        "note": "NPS of 64 x 64 regions, second-degree surface removed; frequencies per mm. "
        "Uniformity: mean near the edge less mean in the middle, the farthest of four places.",
        "columns": [
            "images",
            "SD HU",
            "after",
            "falls %",
            "f mean",
            "after",
            "moves %",
            "f peak",
            "after",
            "bias HU",
            "uniformity HU",
            "after",
        ],
        "rows": [
            [
                item.name,
                round(item.before.deviation, 2),
                round(item.after.deviation, 2),
                round(item.reduction, 1),
                round(item.before.mean_frequency, 3),
                round(item.after.mean_frequency, 3),
                round(item.shift, 1),
                round(item.before.peak_frequency, 3),
                round(item.after.peak_frequency, 3),
                round(item.bias, 2) if item.means else None,
                *_uniformity(item.means),
            ]
            for item in measurement.uniform
        ],
    }


def _uniformity(means: tuple[BeforeAfter, ...]) -> tuple[float | None, float | None]:
    if len(means) < 2:  # noqa: PLR2004
        return None, None
    middle, edges = means[0], means[1:]
    before = max((edge.before - middle.before for edge in edges), key=abs)
    after = max((edge.after - middle.after for edge in edges), key=abs)
    return round(before, 2), round(after, 2)


def _insert_table(measurement: Measurement) -> Table:
    names = list(measurement.inserts)
    rods = [rod for rod, _ in measurement.inserts[names[0]]]
    return {
        "title": "CT numbers of the CTP404 rods: denoised less input, HU",
        "note": "Two kernels; at quarter dose the mean of two images with opposite noise.",
        "columns": ["rod HU", *names],
        "rows": [
            [
                rod.contrast,
                *(round(measurement.inserts[name][index][1].change, 2) for name in names),
            ]
            for index, rod in enumerate(rods)
        ],
    }


def _resolution_table(measurement: Measurement) -> Table:
    groups = [
        [rod for rod in measurement.rods if rod.condition == name]
        for name in measurement.conditions
    ]
    columns = ["rod HU"]
    for name in measurement.conditions:
        columns += [f"{name}: TTF50 kept %", "TTF10 kept %", "HU", "CNR", "after"]
    return {
        "title": "Resolution, CT number and contrast to noise by contrast",
        "note": "TTF of the edges of 20 mm rods in noise, mean over pairs of images with opposite "
        "noise; HU: denoised less input; CNR of one image.",
        "columns": columns,
        "rows": [
            [members[0].rod.contrast, *(cell for rod in members for cell in _rod_cells(rod))]
            for members in sorted(
                zip(*groups, strict=True), key=lambda members: -abs(members[0].rod.contrast)
            )
        ],
    }


def _rod_cells(rod: RodResult) -> list[CellValue]:
    half, tenth = rod.ratio(0.5), rod.ratio(0.1)
    return [
        None if half is None else round(half, 1),
        None if tenth is None else round(tenth, 1),
        round(rod.mean.change, 2),
        round(rod.contrast_to_noise.before, 2),
        round(rod.contrast_to_noise.after, 2),
    ]


def _detection_table(measurement: Measurement) -> Table:
    rows = []
    for condition, tasks in measurement.tasks.items():
        spectra = next(item for item in measurement.uniform if item.condition == condition)
        rods = [rod for rod in measurement.rods if rod.condition == condition]
        for task in tasks:
            like = min(rods, key=lambda rod: abs(rod.rod.contrast - task.contrast))
            size = task.diameter_mm, task.contrast
            rows.append(
                [
                    condition,
                    *_task_cells(task),
                    round(npwe_index(*size, like.before, spectra.before), 2),
                    round(npwe_index(*size, like.after, spectra.after), 2),
                ]
            )
    return {
        "title": "Low-contrast detection, simulated",
        "note": "Channelised Hotelling observer, five Laguerre-Gauss channels, ten splits in "
        "halves, 95 % intervals of a bootstrap; rods of the MITA phantom at 24 places of each "
        "image. d' of the NPWE observer from TTF (at the nearest contrast measured) and NPS.",
        "columns": [*_task_columns("condition"), "NPWE d'", "after"],
        "rows": rows,
    }


def _repeat_table(measurement: Measurement) -> Table:
    return {
        "title": "Low-contrast detection, repeats of the MITA phantom (FDA DIDSR)",
        "note": "Ten repeats with and ten without the rods at each dose: the intervals are so wide "
        "that this table can only contradict a gross loss.",
        "columns": _task_columns("dose %"),
        "rows": [
            [float(dose), *_task_cells(task)]
            for dose, tasks in measurement.repeats.items()
            for task in tasks
        ],
    }


def _task_columns(first: str) -> list[str]:
    return [first, "rod", "AUC", "after", "change", "95 % interval", "SNR", "after"]


def _task_cells(task: TaskResult) -> list[CellValue]:
    result = task.comparison
    low, high = interval(result.differences)
    return [
        f"{task.diameter_mm:g} mm, {task.contrast:g} HU",
        round(result.before.auc, 3),
        round(result.after.auc, 3),
        round(result.difference, 3),
        f"{low:+.3f} to {high:+.3f}",
        round(result.before.snr, 2),
        round(result.after.snr, 2),
    ]


def _curves(measurement: Measurement) -> dict[str, list[dict[str, Any]]]:
    spectra = []
    for item in measurement.uniform:
        frequency, before = item.before.profile()
        spectra.append(
            {
                "name": item.name,
                "frequency": _numbers(frequency),
                "before": _numbers(before),
                "after": _numbers(item.after.profile()[1]),
            }
        )
    transfers = []
    for rod in measurement.rods:
        step = max(len(rod.before.frequency) // 60, 1)
        transfers.append(
            {
                "name": f"{rod.condition}, {rod.rod.contrast:g} HU",
                "frequency": _numbers(rod.before.frequency[::step]),
                "before": _numbers(rod.before.value[::step]),
                "after": _numbers(rod.after.value[::step]),
            }
        )
    return {"nps": spectra, "ttf": transfers}


def _numbers(values: Any) -> list[float]:
    return [float(f"{value:.4g}") for value in values]
