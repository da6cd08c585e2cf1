"""Whether the order of a publication's arms holds here, and that in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model_store.evaluation.groups import Group
from model_store.evaluation.metrics import lower_is_better
from model_store.evaluation.papers import PaperTable

DIGITS = {"PSNR": 2, "SSIM": 4, "PDR": 4}
"""Decimals of each metric in tables and sentences."""
_NOTE = (
    "Differences, better arm less worse arm, as the publication's table has them (empty where it "
    "has no figure and the order is what the method is for), and ours on our cases. PDR is better "
    "when smaller. The last column counts the images that keep the order; one training an arm, so "
    "small differences may be chance."
)


@dataclass(frozen=True, slots=True)
class Member:
    """An arm under one condition.

    Parameters
    ----------
    name : str
        Ours.
    group : Group
        Its trials.
    table : PaperTable
        What the publication reports.
    label : str
        The arm in that table.
    """

    name: str
    group: Group
    table: PaperTable
    label: str


@dataclass(frozen=True, slots=True)
class Order:
    """Two arms under one condition, the one that should be better first.

    Parameters
    ----------
    condition, metric : str
        Where, and ``PSNR``, ``SSIM`` or ``PDR``.
    better, worse : Member
        The arms.
    differences : tuple of float
        Better arm less worse arm, image by image, at least one.
    """

    condition: str
    metric: str
    better: Member
    worse: Member
    differences: tuple[float, ...]

    @property
    def ours(self) -> float:
        """Mean difference, to the decimals that are shown: what is nought there is none."""
        return round(float(np.mean(self.differences)), DIGITS[self.metric]) + 0.0

    @property
    def theirs(self) -> float | None:
        """The publication's difference; None where it has no figure."""
        arms = self.better.table.arms
        left, right = (arms[arm.label].of(self.metric) for arm in (self.better, self.worse))
        return None if left is None or right is None else left - right

    @property
    def holds(self) -> bool:
        """Whether the better arm is the better one here."""
        return self._sign * self.ours > 0

    @property
    def images(self) -> str:
        """How many images keep the order."""
        kept = sum(self._sign * each > 0 for each in self.differences)
        return f"{kept} of {len(self.differences)}"

    @property
    def text(self) -> str:
        """The order alone, such as ``PDR: dngan < dngan-mse``."""
        sign = "<" if lower_is_better(self.metric) else ">"
        return f"{self.metric}: {self.better.name} {sign} {self.worse.name}"

    @property
    def row(self) -> list[str | float | None]:
        """Its row of the table."""
        digits, theirs = DIGITS[self.metric], self.theirs
        return [
            self.condition,
            self.metric,
            self.better.label,
            self.worse.label,
            None if theirs is None else round(theirs, digits),
            self.ours,
            "yes" if self.holds else "no",
            self.images,
        ]

    @property
    def _sign(self) -> int:
        return -1 if lower_is_better(self.metric) else 1


def orders(condition: str, members: Sequence[Member]) -> list[Order]:
    """Every order of the publications' tables that the arms of one condition can show."""
    found = []
    for table in {member.table.source: member.table for member in members}.values():
        own = [member for member in members if member.table.source == table.source]
        for metric, better, worse in table.orders({member.label for member in own}):
            pairs = [
                (left, right)
                for left in own
                for right in own
                if (left.label, right.label) == (better, worse)
            ]
            for left, right in pairs:
                differences = _differences(left.group, right.group, metric)
                if differences:
                    found.append(Order(condition, metric, left, right, differences))
    return found


def order_table(found: Sequence[Order]) -> dict[str, Any]:
    """All orders, one a row."""
    return {
        "title": "Whether the publication's order of the arms is kept",
        "note": _NOTE,
        "columns": ["condition", "metric", "better", "worse", "theirs", "ours", "kept", "images"],
        "rows": [order.row for order in found],
    }


def statements(found: Sequence[Order]) -> list[str]:
    """One sentence an order over all conditions, and how many of them hold."""
    by_text: dict[str, list[Order]] = {}
    for order in found:
        by_text.setdefault(order.text, []).append(order)
    lines = [f"{text}: {_holds(members)}" for text, members in by_text.items()]
    kept = sum(all(order.holds for order in members) for members in by_text.values())
    return [*lines, f"{kept} of {len(lines)} orders hold."] if lines else []


def _holds(members: Sequence[Order]) -> str:
    held = sum(order.holds for order in members)
    if len(members) > 1:
        if 0 < held < len(members):
            return f"holds under {held} of {len(members)} conditions"
        return f"{'holds' if held else 'does not hold'} under all {len(members)} conditions"
    (order,) = members
    digits, theirs = DIGITS[order.metric], order.theirs
    published = "no figure published" if theirs is None else f"published {theirs:+.{digits}f}"
    return (
        f"{'holds' if held else 'does not hold'} (ours {order.ours:+.{digits}f}, {published}; on "
        f"{order.images} images)"
    )


def _differences(better: Group, worse: Group, metric: str) -> tuple[float, ...]:
    name = better.metric(metric)
    if name is None or worse.metric(metric) != name:
        return ()
    return tuple(
        left.scores["model"][name] - right.scores["model"][name]
        for left, right in zip(better.trials, worse.trials, strict=True)
    )
