"""Limits that a denoiser's physics is held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

LEAST_REDUCTION = 40.0
"""Per cent by which the standard deviation of the noise must fall."""
LARGEST_SHIFT = 15.0
"""Per cent by which the mean frequency of the noise may move."""
LARGEST_BIAS_HU = 1.0
"""HU by which the mean of a uniform region may move."""
LEAST_TRANSFER = 95.0
"""Per cent of the input's TTF50 that must remain at contrasts of 100 HU and more."""
GATED_CONTRAST_HU = 100.0
LARGEST_HALF_WIDTH = 0.03
"""Half the 95 % interval of a difference of areas above which the comparison proves nothing."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One limit and whether it holds.

    Parameters
    ----------
    name : str
        What is limited.
    value, limit : float
        In `unit`.
    unit : str
        Of both.
    passed : bool
        Whether the value keeps the limit.
    note : str
        Where the value comes from.
    """

    name: str
    value: float
    limit: float
    unit: str
    passed: bool
    note: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def noise_criterion(reductions: dict[str, float]) -> Criterion:
    """Least reduction of the noise (per cent) over images; see `LEAST_REDUCTION`."""
    where = min(reductions, key=lambda name: reductions[name])
    value = reductions[where]
    return Criterion(
        "noise SD falls by at least", value, LEAST_REDUCTION, "%", value >= LEAST_REDUCTION, where
    )


def spectrum_criterion(shifts: dict[str, float]) -> Criterion:
    """Largest shift of the mean noise frequency (per cent); see `LARGEST_SHIFT`."""
    where = max(shifts, key=lambda name: abs(shifts[name]))
    value = abs(shifts[where])
    name = "NPS mean frequency moves by at most"
    return Criterion(name, value, LARGEST_SHIFT, "%", value <= LARGEST_SHIFT, where)


def bias_criterion(biases: dict[str, float]) -> Criterion:
    """Largest bias of a uniform region in HU; see `LARGEST_BIAS_HU`."""
    where = max(biases, key=lambda name: abs(biases[name]))
    value = abs(biases[where])
    name = "uniform region moves by at most"
    return Criterion(name, value, LARGEST_BIAS_HU, "HU", value <= LARGEST_BIAS_HU, where)


def transfer_criterion(ratios: dict[tuple[str, float], float]) -> Criterion:
    """Least ratio of TTF50 (per cent) over conditions and contrasts; see `LEAST_TRANSFER`.

    Contrasts below `GATED_CONTRAST_HU` do not count.
    """
    counted = {key: value for key, value in ratios.items() if abs(key[1]) >= GATED_CONTRAST_HU}
    condition, contrast = min(counted, key=lambda key: counted[key])
    value = counted[condition, contrast]
    return Criterion(
        "TTF50 at 100 HU and more keeps at least",
        value,
        LEAST_TRANSFER,
        "%",
        value >= LEAST_TRANSFER,
        f"{condition}, {contrast:g} HU",
    )


def detection_criterion(differences: dict[str, tuple[float, float, float]]) -> Criterion:
    """Area under the ROC curve of the observer, denoised less input, mean over the rods.

    It passes if, under every condition, the 95 % interval (second and third value) of the
    difference (first) reaches zero or beyond, and is narrow enough (`LARGEST_HALF_WIDTH`) to have
    shown a loss.
    """
    where = min(differences, key=lambda name: differences[name][2])
    difference, low, high = differences[where]
    passed = high >= 0 and all(
        (above - below) / 2 <= LARGEST_HALF_WIDTH for _, below, above in differences.values()
    )
    note = f"{where}; 95 % interval {low:+.3f} to {high:+.3f}, passes if it reaches 0"
    return Criterion("CHO AUC, denoised less input", difference, 0.0, "", passed, note)


def kept_and_missed(criteria: Sequence[Mapping[str, Any]], strength: float) -> str:
    """Which limits hold, as a sentence.

    Parameters
    ----------
    criteria : sequence of mapping
        As `Criterion.as_dict` has them, at least one.
    strength : float
        Of the denoising.
    """
    missed = [
        f"{each['name']} {each['limit']:g} {each['unit']} (is {each['value']:.3g})"
        for each in criteria
        if not each["passed"]
    ]
    if not missed:
        return f"On phantoms at strength {strength:g} it keeps all {len(criteria)} limits."
    return (
        f"On phantoms at strength {strength:g} it misses {len(missed)} of {len(criteria)} limits: "
        f"{'; '.join(missed)}."
    )


def strongest(sweep: Mapping[str, Any] | None) -> str:
    """The largest strength of a sweep that keeps every limit, as a sentence; empty without one."""
    if not sweep:
        return ""
    best = sweep.get("strength")
    if best is None:
        return "No strength keeps every limit of the phantoms under every condition."
    return f"The largest strength that keeps every limit of the phantoms is {best:g}."
