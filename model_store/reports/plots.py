"""Line plots as SVG that lives inside a page: no scripts, colours from the page's style sheet.

Matplotlib draws them, without pyplot and its global state. Colours are variables of the page's
style sheet, so that one plot serves a light and a dark page; see ``templates/style.css``. Those of
series are after Okabe and Ito, which colour-blind readers tell apart. Text stays text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Any

from model_store.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT, _TEXT = 440, 300, 12
_PIXELS = 72
"""Pixels an inch: matplotlib's points are pixels of the page."""
_TICKS = 7
_SERIES = ("#0072b2", "#d55e00", "#009e73", "#b4548f", "#a8790a", "#6b7785")
_INK, _FAINT, _LINE, _BAND, _RING = "#17202a", "#5b6875", "#d5dbe1", "#dcebea", "#b3261e"
_VARIABLES = {_INK: "ink", _FAINT: "faint", _LINE: "line", _BAND: "band", _RING: "bad"} | {
    colour: f"s{number}" for number, colour in enumerate(_SERIES)
}
_ONLY_IN_FILES = {
    r' (?:xmlns(?::\w+)?|version)="[^"]*"': "",
    r"<defs>\s*<style.*?</style>\s*</defs>": "",
    r"font-family: [^;]*; ": "",
    r' transform="rotate\(-0 [^"]*"': "",
    r"(width|height)=\"(\d+)pt\"": r'\1="\2"',
    r"xlink:": "",
    r"\s*\n\s*": " ",
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": _TEXT,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.linewidth": 1,
    "grid.color": _LINE,
    "grid.linewidth": 0.7,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
    "ytick.left": False,
    "legend.frameon": False,
    "legend.borderpad": 0,
    "legend.columnspacing": 1.5,
    "legend.handlelength": 1.7,
    "lines.solid_joinstyle": "round",
}


@dataclass(frozen=True, slots=True)
class Curve:
    """One curve.

    Parameters
    ----------
    name : str
        For the legend; empty for none.
    points : sequence of (float, float)
        x and y, in the order in which they are joined; those that are not finite are left out.
    colour : int
        Which of the six colours of the page; -1 is the faint one of what is compared with.
    dashed : bool
        Whether the line is dashed.
    dots : bool
        Whether measured points are marked.
    """

    name: str
    points: Sequence[tuple[float, float]]
    colour: int = 0
    dashed: bool = False
    dots: bool = False

    def finite(self) -> list[tuple[float, float]]:
        """The points that can be drawn."""
        return [(x, y) for x, y in self.points if math.isfinite(x) and math.isfinite(y)]


@dataclass(frozen=True, slots=True)
class LinePlot:
    """A plot of curves over one pair of axes.

    Parameters
    ----------
    title : str
        What a reader sees above it and a screen reader says.
    x_label, y_label : str
        With units.
    series : sequence of Curve
        Curves; a plot without a finite point draws nothing.
    band : (float, float, str), optional
        Range of x that is shaded, and its name.
    marks : sequence of (float, float, str)
        Points with a ring and a text.
    level : (float, str), optional
        Horizontal line, such as no gain, and its name.
    from_zero : bool
        Whether both axes begin at zero.
    """

    title: str
    x_label: str
    y_label: str
    series: Sequence[Curve]
    band: tuple[float, float, str] | None = None
    marks: Sequence[tuple[float, float, str]] = ()
    level: tuple[float, str] | None = None
    from_zero: bool = False

    def svg(self) -> str:
        """SVG element, or an empty string if there is nothing to draw.

        Raises
        ------
        DataError
            If matplotlib is not installed.
        """
        if not any(series.finite() for series in self.series):
            return ""
        try:
            from matplotlib import rc_context  # noqa: PLC0415
        except ImportError as error:
            raise DataError("plots need matplotlib: pip install 'dicom-node[train]'") from error
        with rc_context({**_STYLE, "svg.hashsalt": self.title}):
            out = StringIO()
            nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
            self.figure().savefig(out, format="svg", transparent=True, metadata=nothing)
        return _inside_a_page(out.getvalue(), self.title)

    def figure(self) -> Figure:
        """The plot, drawn by matplotlib in its present style."""
        from matplotlib.figure import Figure  # noqa: PLC0415

        size = (_WIDTH / _PIXELS, _HEIGHT / _PIXELS)
        figure = Figure(figsize=size, dpi=_PIXELS, layout="constrained")
        axes = figure.add_subplot(xlabel=self.x_label, ylabel=self.y_label)
        axes.locator_params(nbins=_TICKS, steps=[1, 2, 2.5, 5, 10])
        axes.grid(axis="y")
        for series in self.series:
            _draw(axes, series)
        self._level(axes)
        self._limit(axes)
        self._band(axes)
        for mark in self.marks:
            _mark(axes, mark)
        _legend(figure, axes)
        return figure

    def _limit(self, axes: Axes) -> None:
        axes.margins(x=0 if self.from_zero else 0.03, y=0.06)
        if self.from_zero:
            axes.set_xlim(left=min(0.0, axes.dataLim.xmin))
            axes.set_ylim(bottom=min(0.0, axes.dataLim.ymin))
        axes.autoscale_view()
        axes.autoscale(enable=False)

    def _level(self, axes: Axes) -> None:
        if self.level is not None:
            value, name = self.level
            axes.axhline(value, color=_FAINT, linewidth=1, linestyle=(0, (2, 3)))
            axes.annotate(
                name,
                (0, value),
                xycoords=("axes fraction", "data"),
                xytext=(5, 4),
                textcoords="offset points",
                color=_FAINT,
            )

    def _band(self, axes: Axes) -> None:
        if self.band is not None:
            left, right = axes.get_xlim()
            low, high = (min(max(value, left), right) for value in sorted(self.band[:2]))
            if low < high:
                axes.axvspan(low, high, color=_BAND, linewidth=0, zorder=0, label=self.band[2])


def _draw(axes: Axes, series: Curve) -> None:
    points = series.finite()
    if points:
        across, upward = zip(*points, strict=True)
        axes.plot(
            across,
            upward,
            color=_FAINT if series.colour < 0 else _SERIES[series.colour % len(_SERIES)],
            linewidth=1.4 if series.dashed else 1.8,
            linestyle=(0, (4, 3)) if series.dashed else "solid",
            marker="o" if series.dots else "",
            markersize=5,
            markeredgewidth=0,
            label=series.name or "_",
        )


def _mark(axes: Axes, mark: tuple[float, float, str]) -> None:
    across, upward, text = mark
    axes.plot(across, upward, "o", color=_RING, markersize=10, markeredgewidth=2, fillstyle="none")
    late = across > sum(axes.get_xlim()) / 2
    axes.annotate(
        text,
        (across, upward),
        xytext=(-9 if late else 9, -16),
        textcoords="offset points",
        horizontalalignment="right" if late else "left",
    )


def _legend(figure: Figure, axes: Axes) -> None:
    """Above the axes, as many names to a row as fit."""
    handles, names = axes.get_legend_handles_labels()
    for columns in range(len(names), 0, -1):
        order = [at for column in range(columns) for at in range(column, len(names), columns)]
        legend = figure.legend(
            [handles[at] for at in order],
            [names[at] for at in order],
            loc="outside upper left",
            ncols=columns,
        )
        if columns == 1 or legend.get_window_extent().width <= _WIDTH:
            return
        legend.remove()


def _inside_a_page(svg: str, title: str) -> str:
    """The element without what only a file of its own needs, in the page's font and colours."""
    element = svg[svg.index("<svg") :]
    for pattern, instead in _ONLY_IN_FILES.items():
        element = re.sub(pattern, instead, element)
    for colour, variable in _VARIABLES.items():
        element = element.replace(colour, f"var(--{variable})")
    referred = set(re.findall(r"#([\w-]+)", element))
    element = re.sub(r' id="([^"]+)"', lambda at: at[0] if at[1] in referred else "", element)
    element = re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\.\d\d)\d+", r"\1", tag[0]), element)
    label = escape(title, quote=True)
    return element.replace("<svg", f'<svg class="plot" role="img" aria-label="{label}"', 1)
