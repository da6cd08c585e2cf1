"""Rules of ``[promotion] metrics``: which numbers of a manifest they mean, and how far off one is.

Nothing here reads a file: a manifest comes in, findings come out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from model_store.manifest import Manifest

EVERY: Final = "*"
"""Key of a path that stands for every key there is."""

_VALIDITY: Final = "validity"


class MetricBounds(Protocol):
    """One number of a manifest and the bounds that it must keep."""

    @property
    def metric(self) -> str:
        """Path of keys, as it was written."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The path's keys, without quotes; `EVERY` is each key there is."""

    @property
    def over(self) -> str | None:
        """Key beside the number whose number is subtracted first."""

    @property
    def minimum(self) -> float | None:
        """Least number that passes."""

    @property
    def maximum(self) -> float | None:
        """Greatest number that passes."""

    @property
    def modality(self) -> tuple[str, ...]:
        """Only versions for one of these; empty: all versions."""


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What one rule found at one place.

    Attributes
    ----------
    where : str
        Path of the number, with the keys that ``*`` stood for.
    short : float or None
        How far the number is out of its bounds, 0 if it is within; None if there is no number.
    said : str
        The number and what it is held against, in words.
    room : float
        How far the number is from the nearest bound, if it is within.
    """

    where: str
    short: float | None
    said: str
    room: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether there is a number and it keeps its bounds."""
        return self.short == 0


def applies(rule: MetricBounds, manifest: Manifest) -> bool:
    """Whether a rule is meant for this version's modalities."""
    return not rule.modality or not set(rule.modality).isdisjoint(manifest.modality)


def held_against(rule: MetricBounds, manifest: Manifest) -> tuple[RuleResult, ...]:
    """Hold every number that a rule means against its bounds.

    Parameters
    ----------
    rule : MetricBounds
        Bounds and path; whether it is meant for this version is not asked here.
    manifest : Manifest
        Where the numbers are: ``metrics``, and ``validity`` for paths that start so.

    Returns
    -------
    tuple of RuleResult
        One for each place; a single one without a number if the manifest has no such place.
    """
    found = tuple(
        _finding(rule, keys, beside) for keys, beside in _places(_tree(rule, manifest), rule.keys)
    )
    if found:
        return found
    said = f"the manifest has no {rule.metric}: the version was not measured"
    return (RuleResult(rule.metric, None, said),)


def _tree(rule: MetricBounds, manifest: Manifest) -> Mapping[str, Any]:
    if rule.keys[0] != _VALIDITY:
        return manifest.metrics
    validity = manifest.validity
    return {} if validity is None else {_VALIDITY: validity.model_dump(mode="json")}


def _places(
    tree: Any, keys: Sequence[str], before: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Every place that a path leads to, with the table that the last key is in."""
    if not isinstance(tree, Mapping):
        return
    first, *rest = keys
    for key in list(tree) if first == EVERY else [first]:
        if key not in tree:
            continue
        if rest:
            yield from _places(tree[key], rest, (*before, key))
        else:
            yield (*before, key), tree


def _finding(rule: MetricBounds, keys: tuple[str, ...], beside: Mapping[str, Any]) -> RuleResult:
    where = ".".join(f'"{key}"' if "." in key else key for key in keys)
    number = _number(beside[keys[-1]])
    if number is None:
        return RuleResult(where, None, f"{where} is no number")
    if rule.over is not None:
        other = _number(beside.get(rule.over))
        if other is None:
            return RuleResult(where, None, f"{where} has no number {rule.over} beside it")
        where, number = f"{where} over {rule.over}", number - other
    below = 0.0 if rule.minimum is None else max(0.0, rule.minimum - number)
    above = 0.0 if rule.maximum is None else max(0.0, number - rule.maximum)
    short = max(below, above)
    asked = f"at least {rule.minimum:g}" if below or rule.maximum is None else ""
    asked = asked or (f"at most {rule.maximum:g}" if above or rule.minimum is None else "")
    asked = asked or f"{rule.minimum:g} to {rule.maximum:g}"
    missed = f", {short:.4g} too {'little' if below else 'much'}" if short else ""
    bounds = [bound for bound in (rule.minimum, rule.maximum) if bound is not None]
    room = min(abs(number - bound) for bound in bounds)
    return RuleResult(where, short, f"{where} is {number:.4g}, {asked} is asked for{missed}", room)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None
