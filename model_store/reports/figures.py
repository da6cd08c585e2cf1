"""The figures of a page: which curves of the findings are drawn, and how they are named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model_store.manifest import Manifest
from model_store.reports.losses import Points
from model_store.reports.plots import Curve, LinePlot
from model_store.reports.sweep import Sweep

_BEFORE = -1
_CONTRASTS = 4
_SMOOTH = 0.9


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot with its caption.

    Parameters
    ----------
    title, caption : str
        Above and below it.
    svg : str
        The plot.
    """

    title: str
    caption: str
    svg: str


def sweep_figures(sweep: Sweep | None, manifest: Manifest) -> list[Figure]:
    """Gain, and PSNR of the output, against the PSNR of the input."""
    if sweep is None:
        return []
    across = f"{sweep.measure} of the input, dB"
    band = None if sweep.trained is None else (*sweep.trained, "trained range")
    crossing = sweep.crossing
    marks = [] if crossing is None else [(crossing, 0.0, f"no gain at {crossing:.1f} dB")]
    ends = [point[0] for point in sweep.gain]
    same = [(end, end) for end in (min(ends), max(ends))]
    noise = manifest.trained_noise
    unit = "HU" if manifest.input.units == "HU" else "of the range"
    caption = (
        f"Shaded: noise of the training, {noise.minimum_sd:g} to {noise.maximum_sd:g} {unit}. "
        + ("The ring is where the gain ends." if marks else "The gain ends beyond the sweep.")
    )
    plots = (
        (
            LinePlot(
                "Gain against the quality of the input",
                across,
                "gain, dB",
                [Curve("", sweep.gain, dots=True)],
                band=band,
                marks=marks,
                level=(0.0, "no gain"),
            ),
            caption,
        ),
        (
            LinePlot(
                "Quality of the output against that of the input",
                across,
                f"{sweep.measure} of the output, dB",
                [
                    Curve("input unchanged", same, _BEFORE, dashed=True),
                    Curve("denoised", sweep.out, dots=True),
                ],
                band=band,
                marks=[] if crossing is None else [(crossing, crossing, "")],
            ),
            "Below the dashed line the model makes the image worse.",
        ),
    )
    return _drawn(plots)


def spectrum_figures(physics: Mapping[str, Any] | None) -> list[Figure]:
    """Radial noise power spectra before and after."""
    plots = []
    for curve in _curves(physics, "nps"):
        plot = LinePlot(
            f"Noise power spectrum: {curve['name']}",
            "frequency, 1/mm",
            "NPS, HU\N{SUPERSCRIPT TWO} mm\N{SUPERSCRIPT TWO}",
            [
                Curve("input", _points(curve, "before"), _BEFORE, dashed=True),
                Curve("denoised", _points(curve, "after")),
            ],
            from_zero=True,
        )
        plots.append((plot, ""))
    return _drawn(plots)


def transfer_figures(physics: Mapping[str, Any] | None) -> list[Figure]:
    """Task transfer functions before and after, a plot a condition, a few contrasts each."""
    conditions: dict[str, dict[float, Mapping[str, Any]]] = {}
    for curve in _curves(physics, "ttf"):
        condition, _, level = str(curve["name"]).rpartition(", ")
        try:
            hounsfield = float(level.removesuffix(" HU"))
        except ValueError:
            continue
        conditions.setdefault(condition, {})[hounsfield] = curve
    plots = []
    for condition, curves in conditions.items():
        inputs: list[Curve] = []
        outputs: list[Curve] = []
        for colour, contrast in enumerate(
            _spread_of(sorted(curves, key=lambda hu: (-abs(hu), hu)))
        ):
            curve = curves[contrast]
            nyquist = max(curve["frequency"]) / 2
            before, after = (
                [point for point in _points(curve, side) if point[0] <= nyquist]
                for side in ("before", "after")
            )
            name = f"{contrast:g} HU".replace("-", "\N{MINUS SIGN}")
            inputs.append(Curve("" if inputs else "input", before, _BEFORE, dashed=True))
            outputs.append(Curve(name, after, colour))
        plot = LinePlot(
            f"Task transfer function: {condition}",
            "frequency, 1/mm",
            "TTF",
            [*inputs, *outputs],
            level=(0.5, "TTF50"),
            from_zero=True,
        )
        plots.append(
            (plot, "Solid: denoised, one line a contrast; a linear filter would have one for all.")
        )
    return _drawn(plots)


def loss_figures(losses: Mapping[str, Points]) -> list[Figure]:
    """Loss of the training against iterations; its first tenth may leave the frame."""
    series = []
    for colour, (name, points) in enumerate(losses.items()):
        smooth, mean = [], None
        for step, loss in points:
            mean = loss if mean is None else _SMOOTH * mean + (1 - _SMOOTH) * loss
            smooth.append((step, mean))
        few = len(points) < 40  # noqa: PLR2004 -- a line of the console is smoothed already
        series.append(Curve(name, points if few else smooth, colour))
    late = [loss for one in series for _, loss in one.points[len(one.points) // 10 :]]
    if not late:
        return []
    top = max(late) * 1.5
    shown = [
        Curve(one.name, [(step, min(loss, top)) for step, loss in one.points], one.colour)
        for one in series
    ]
    plot = LinePlot("Training loss", "iteration", "loss", shown, from_zero=True)
    return _drawn([(plot, "Smoothed; a beginning above the frame is cut off.")])


def _drawn(plots: Iterable[tuple[LinePlot, str]]) -> list[Figure]:
    figures = [Figure(plot.title, caption, plot.svg()) for plot, caption in plots]
    return [figure for figure in figures if figure.svg]


def _curves(physics: Mapping[str, Any] | None, kind: str) -> Sequence[Mapping[str, Any]]:
    curves = ((physics or {}).get("curves") or {}).get(kind) or []
    needed = {"name", "frequency", "before", "after"}
    return [curve for curve in curves if needed <= set(curve)]


def _points(curve: Mapping[str, Any], side: str) -> Points:
    pairs = zip(curve["frequency"], curve[side], strict=False)
    return [(float(x), float(y)) for x, y in pairs if x is not None and y is not None]


def _spread_of(contrasts: Sequence[float]) -> list[float]:
    """A few of the contrasts, from the strongest to the weakest."""
    levels: dict[float, float] = {}
    for contrast in contrasts:
        levels.setdefault(abs(contrast), contrast)
    sizes = list(levels)
    index = np.unique(np.linspace(0, len(sizes) - 1, min(_CONTRASTS, len(sizes))).round())
    return [levels[sizes[int(at)]] for at in index]
