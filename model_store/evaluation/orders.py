"""Whether the order of a publication's arms holds here, and that in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model_store.evaluation.groups import Group
from model_store.evaluation.intervals import interval
from model_store.evaluation.metrics import lower_is_better
from model_store.evaluation.papers import PaperTable

DIGITS = {"PSNR": 2, "SSIM": 4, "PDR": 4}
"""Decimals of each metric in tables and sentences."""
_NOTE = (
    "Differences, better arm less worse arm, as the publication's table has them (empty where it "
    "has no figure and the order is what the method is for), and ours on our cases. PDR is better "
    "when smaller. An order is kept (yes) or turned round (no) where the 95 % bootstrap interval "
    "over images of our difference lies on one side of nought, and open where it does not; of "
    "fewer than three images the mean decides. The last column counts the images that keep the "
    "order. One training an arm: what another training would have given is not in the interval."
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
    def interval(self) -> tuple[float, float] | None:
        """95 % bootstrap interval over images of the mean difference; None of few images."""
        return interval(self.differences)

    @property
    def holds(self) -> bool | None:
        """Whether the better arm is the better one here; None if the images do not tell."""
        low, high = sorted(
            self._sign * round(end, DIGITS[self.metric])
            for end in self.interval or (self.ours, self.ours)
        )
        return None if low <= 0 < high else low > 0

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
            None if self.interval is None else _ends(self.interval, digits),
            {True: "yes", False: "no", None: "open"}[self.holds],
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


def likenesses(condition: str, members: Sequence[Member]) -> list[str]:
    """Whether arms that a publication finds alike are so here, in words.

    They are where the 95 % interval of their difference lies within the bound, or the mean of few
    images; they are not where it lies outside.
    """
    lines = []
    for table in {member.table.source: member.table for member in members}.values():
        own = {member.label: member for member in members if member.table.source == table.source}
        for metric, one, other, bound in table.alike:
            if not {one, other} <= set(own):
                continue
            found = _differences(own[one].group, own[other].group, metric)
            if not found:
                continue
            digits, mean = DIGITS[metric], float(np.mean(found))
            low, high = interval(found) or (mean, mean)
            if -bound <= low <= high <= bound:
                word = "holds"
            else:
                word = "does not hold" if low > bound or high < -bound else "open"
            lines.append(
                f"{metric}: {own[one].name} is as {own[other].name} within {bound:g}: {word} "
                f"(ours {mean:+.{digits}f}, {_ends((low, high), digits)}; {condition})"
            )
    return lines


def order_table(found: Sequence[Order]) -> dict[str, Any]:
    """All orders, one a row."""
    return {
        "title": "Whether the publication's order of the arms is kept",
        "note": _NOTE,
        "columns": [
            "condition",
            "metric",
            "better",
            "worse",
            "theirs",
            "ours",
            "95 %",
            "kept",
            "images",
        ],
        "rows": [order.row for order in found],
    }


def statements(found: Sequence[Order]) -> list[str]:
    """One sentence an order over all conditions, and how many of them hold."""
    by_text: dict[str, list[Order]] = {}
    for order in found:
        by_text.setdefault(order.text, []).append(order)
    lines = [f"{text}: {_holds(members)}" for text, members in by_text.items()]
    kept = sum(all(order.holds for order in members) for members in by_text.values())
    turned = sum(any(order.holds is False for order in members) for members in by_text.values())
    open_ones = len(lines) - kept - turned
    count = f"{kept} of {len(lines)} orders hold"
    if open_ones:
        count += f", {open_ones} cannot be told from chance"
    return [*lines, f"{count}."] if lines else []


def _holds(members: Sequence[Order]) -> str:
    held = sum(order.holds is True for order in members)
    turned = sum(order.holds is False for order in members)
    if len(members) > 1:
        if held == len(members):
            return f"holds under all {held} conditions"
        if turned == len(members):
            return f"does not hold under all {turned} conditions"
        text = f"holds under {held} of {len(members)} conditions"
        still_open = len(members) - held - turned
        return f"{text}, open under {still_open}" if still_open else text
    (order,) = members
    digits, theirs = DIGITS[order.metric], order.theirs
    published = "no figure published" if theirs is None else f"published {theirs:+.{digits}f}"
    ends = "" if order.interval is None else f", {_ends(order.interval, digits)}"
    word = {True: "holds", False: "does not hold", None: "open"}[order.holds]
    return f"{word} (ours {order.ours:+.{digits}f}{ends}, {published}; on {order.images} images)"


def _ends(ends: tuple[float, float], digits: int) -> str:
    low, high = (round(end, digits) + 0.0 for end in ends)
    return f"{low:+.{digits}f} to {high:+.{digits}f}"


def _differences(better: Group, worse: Group, metric: str) -> tuple[float, ...]:
    name = better.metric(metric)
    if name is None or worse.metric(metric) != name:
        return ()
    return tuple(
        left.scores["model"][name] - right.scores["model"][name]
        for left, right in zip(better.trials, worse.trials, strict=True)
    )
