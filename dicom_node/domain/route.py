"""Routes: a named rule that says which instances, which model, how strong, and where to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from dicom_node.domain.condition import Condition
from model_store.ref import ModelName


class Output(StrEnum):
    """Form of the result objects of a route."""

    SECONDARY_CAPTURE = "secondary-capture"
    SECONDARY_CAPTURE_MULTIFRAME = "secondary-capture-multiframe"
    DERIVED = "derived"


@dataclass(frozen=True, slots=True)
class Route:
    """One routing rule.

    Parameters
    ----------
    name : str
        Unique name; part of what result UIDs are derived from.
    when : tuple of Condition
        All must hold.
    model : ModelName
        Model alias or version.
    strength : float or None
        ``x + strength * (G(x) - x)``, 0 to 1; None: what the model version recommends.
    output : Output
        Form of the result.
    destinations : tuple of str
        Names of destinations.
    series_description, series_number : str
        Templates; see `dicom_node.settings.RouteSettings`.
    """

    name: str
    when: tuple[Condition, ...]
    model: ModelName
    strength: float | None
    output: Output
    destinations: tuple[str, ...]
    series_description: str
    series_number: str

    def strength_with(self, recommended: float) -> float:
        """The strength for a model version that recommends one.

        As many digits as `parameters` tells, so that equal UIDs are of equal pixels.
        """
        strength = recommended if self.strength is None else self.strength
        return float(_strength_text(strength))

    def parameters(self, strength: float) -> dict[str, str]:
        """Settings that change pixels or form; result UIDs are derived from them."""
        return {"strength": _strength_text(strength), "output": self.output.value}


def _strength_text(strength: float) -> str:
    return f"{strength:.6g}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one route matched an instance or did not."""

    route: str
    matched: bool
    considered: bool
    reasons: tuple[str, ...] = field(default=())


def explain(
    routes: tuple[Route, ...], value_of: Callable[[str], object], *, first_only: bool
) -> tuple[Explanation, ...]:
    """Evaluate every route against a data set.

    Parameters
    ----------
    routes : tuple of Route
        In the order of the configuration.
    value_of : callable
        Value of an attribute by keyword, None where it is absent.
    first_only : bool
        Only the first match counts; later routes are explained but not considered.

    Returns
    -------
    tuple of Explanation
        One a route, in order. `reasons` lists the conditions that failed (for a match: held).
    """
    explanations: list[Explanation] = []
    taken = False
    for route in routes:
        failed = tuple(str(c) for c in route.when if not c.holds(value_of(c.keyword)))
        held = tuple(str(c) for c in route.when if c.holds(value_of(c.keyword)))
        considered = not (first_only and taken)
        matched = not failed and considered
        taken = taken or matched
        explanations.append(Explanation(route.name, matched, considered, failed or held))
    return tuple(explanations)
