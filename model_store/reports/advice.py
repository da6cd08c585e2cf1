"""Advice on the use of a model version in plain words, from its measurements alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model_store.evaluation.physics.acceptance import kept_and_missed, strongest
from model_store.manifest import Manifest
from model_store.reports.sweep import Sweep

_NOISE = "noise HU"
_NOTHING = "Not measured yet."
_LEVEL_DB = 0.05


@dataclass(frozen=True, slots=True)
class Advice:
    """What a reader must know before anything else.

    Parameters
    ----------
    does : tuple of str
        What it does at strength 1.
    worse : tuple of str
        Where a classical filter does better.
    limits : tuple of str
        Where it should not be used.
    """

    does: tuple[str, ...]
    worse: tuple[str, ...]
    limits: tuple[str, ...]

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        headline: Mapping[str, Mapping[str, Any]],
        tables: Sequence[Mapping[str, Any]],
        sweep: Sweep | None,
        physics: Mapping[str, Any] | None,
    ) -> Advice:
        """Put measurements into words.

        Parameters
        ----------
        manifest : Manifest
            Of the version.
        headline : mapping
            Group to its scores, as of ``model_store.evaluation.report``; empty if not measured.
        tables : sequence of mapping
            Tables of the evaluation.
        sweep : Sweep or None
            Over noise levels.
        physics : mapping or None
            Results on phantoms, as of ``model_store.evaluation.physics.report``.
        """
        return cls(
            (*_gains(headline), *_noise(tables), *_phantoms(physics)) or (_NOTHING,),
            tuple(_losses(headline)) or (_NOTHING,),
            (*_crossing(manifest, sweep), *_strongest(manifest), *_strength(physics)),
        )


def _gains(headline: Mapping[str, Mapping[str, Any]]) -> list[str]:
    gains = [
        (item["model"] - item["input"], group, item)
        for group, item in headline.items()
        if None not in (item.get("model"), item.get("input"))
    ]
    if not gains:
        return []
    low, high = min(gains, key=lambda gain: gain[0]), max(gains, key=lambda gain: gain[0])
    metric = str(low[2].get("metric", "PSNR"))
    return [
        f"At strength 1 it changes {metric} on held-out images by "
        f"{_signed(low[0])} dB ({_group(low[1])}) to {_signed(high[0])} dB ({_group(high[1])})."
    ]


def _noise(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """Noise of soft tissue before and after, where the tables have it."""
    falls = [
        (100 * (1 - after / before), before, after)
        for before, after in _before_after(tables)
        if before
    ]
    if not falls:
        return []
    low, high = min(falls), max(falls)
    return [
        f"The deviation from the reference in soft tissue falls by {low[0]:.0f} % "
        f"({low[1]:.0f} to {low[2]:.0f} HU) to {high[0]:.0f} % ({high[1]:.0f} to {high[2]:.0f} HU)."
    ]


def _before_after(tables: Sequence[Mapping[str, Any]]) -> Iterator[tuple[float, float]]:
    """Noise of input and model: in a row of each, or in a column of either's row."""
    for table in tables:
        rows = {row[0]: row for row in table["rows"]}
        names = (f"{_NOISE}, input", f"{_NOISE}, model")
        pairs: list[tuple[Any, Any]] = []
        if set(names) <= set(rows):
            pairs = list(zip(*(rows[name][1:] for name in names), strict=True))
        elif _NOISE in table["columns"] and {"input", "model"} <= set(rows):
            column = table["columns"].index(_NOISE)
            pairs = [(rows["input"][column], rows["model"][column])]
        yield from ((before, after) for before, after in pairs if None not in (before, after))


def _phantoms(physics: Mapping[str, Any] | None) -> list[str]:
    gates = (physics or {}).get("gates") or []
    if not gates:
        return []
    return [kept_and_missed(gates, (physics or {}).get("strength", 1))]


def _losses(headline: Mapping[str, Mapping[str, Any]]) -> list[str]:
    found = []
    for key, what in (
        ("bm3d_estimated_noise", "BM3D with the noise level estimated from the image"),
        ("best_filter_setting", "the best classical filter, its setting chosen with the reference"),
    ):
        known = [
            (item["model"] - item[key], group)
            for group, item in headline.items()
            if None not in (item.get("model"), item.get(key))
        ]
        if not known:
            if headline and key == "bm3d_estimated_noise":
                found.append("BM3D was not measured.")
            continue
        worse = [(gap, group) for gap, group in known if gap < -_LEVEL_DB]
        if not worse:
            found.append(f"Nowhere below {what}.")
            continue
        where = "; ".join(f"{_group(group)} ({_signed(gap)} dB)" for gap, group in sorted(worse))
        found.append(f"Below {what} in {len(worse)} of {len(known)} groups: {where}.")
    return found


def _crossing(manifest: Manifest, sweep: Sweep | None) -> list[str]:
    if sweep is None:
        return ["From which quality of the input on it does harm was not measured."]
    if sweep.crossing is None:
        return [
            f"Up to the quietest input measured ({sweep.gain[-1][0]:.0f} dB) it made no image "
            "worse on average."
        ]
    if sweep.helps_nowhere:
        return ["It loses PSNR at every noise level of the sweep."]
    noise = ""
    if sweep.crossing_sd is not None:
        if manifest.input.units == "HU":
            noise = f" (noise below about {sweep.crossing_sd:.2g} HU)"
        else:
            noise = f" (noise below about {100 * sweep.crossing_sd:.2g} % of the range)"
    return [
        f"Do not use it on quiet images: where the input has more than {sweep.crossing:.0f} dB"
        f"{noise} it takes away more than it cleans."
    ]


def _strongest(manifest: Manifest) -> list[str]:
    high = manifest.trained_noise.maximum_sd
    if high <= 0:
        return []
    level = f"{high:g} HU" if manifest.input.units == "HU" else f"{100 * high:g} % of the range"
    return [f"It was not trained for noise above {level}."]


def _strength(physics: Mapping[str, Any] | None) -> list[str]:
    sentence = strongest((physics or {}).get("sweep"))
    return [sentence] if sentence else []


def _group(name: str) -> str:
    return name.replace(", patient not trained on", "").replace(" against full dose,", ",")


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")
