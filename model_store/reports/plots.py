"""Line plots as SVG that lives inside a page: no scripts, colours from the page's style sheet.

Colours are classes (``s0`` to ``s5`` for series, ``ink``, ``faint``, ``grid``, ``band``), so one
plot serves a light and a dark page; see ``templates/style.css``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 440, 300
_LEFT, _RIGHT, _BOTTOM = 54, 14, 42
_ROW, _LETTER, _SWATCH = 17, 6.3, 26
_TICKS = 6
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_COLOURS = 6


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map from values to coordinates.

    Parameters
    ----------
    low, high : float
        Values at the two ends; they differ.
    start, stop : float
        Coordinates there, in pixels of the plot.
    """

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """Coordinate of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)


@dataclass(frozen=True, slots=True)
class Series:
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

    @property
    def style(self) -> str:
        """Classes of the line."""
        colour = "s-before" if self.colour < 0 else f"s{self.colour % _COLOURS}"
        return f"line {colour}" + (" dashed" if self.dashed else "")

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
    series : sequence of Series
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
    series: Sequence[Series]
    band: tuple[float, float, str] | None = None
    marks: Sequence[tuple[float, float, str]] = ()
    level: tuple[float, str] | None = None
    from_zero: bool = False

    def scales(self) -> tuple[Scale, Scale] | None:
        """Scales of x and y, or None if there is nothing to draw."""
        points = [point for series in self.series for point in series.finite()]
        if not points:
            return None
        across = [x for x, _ in points]
        upward = [y for _, y in points] + ([self.level[0]] if self.level else [])
        if self.from_zero:
            across, upward = [0.0, *across], [0.0, *upward]
        low, high = _padded(min(across), max(across), pad=0.0 if self.from_zero else 0.03)
        bottom, top = _padded(min(upward), max(upward), pad=0.06)
        if self.from_zero and min(upward) >= 0:
            bottom = 0.0
        return (
            Scale(low, high, _LEFT, _WIDTH - _RIGHT),
            Scale(bottom, top, _HEIGHT - _BOTTOM, self._top()),
        )

    def svg(self) -> str:
        """SVG element, or an empty string if there is nothing to draw."""
        scales = self.scales()
        if scales is None:
            return ""
        x, y = scales
        parts = [*self._band(x, y), *_grid(x, y), *self._level(x, y)]
        parts += [part for series in self.series for part in _curve(series, x, y)]
        parts += [part for mark in self.marks for part in _mark(mark, x, y)]
        parts += [*self._names(), *self._legend()]
        label = escape(self.title, quote=True)
        return (
            f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
            f'height="{_HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
        )

    def _entries(self) -> list[tuple[float, int, str, str]]:
        """Legend: left edge, row, name and class; as many to a row as fit."""
        named = [(one.name, one.style) for one in self.series if one.name and one.finite()]
        named += [(self.band[2], "band")] if self.band else []
        entries: list[tuple[float, int, str, str]] = []
        left, row = float(_LEFT), 0
        for name, style in named:
            width = _SWATCH + _LETTER * len(name) + 20
            if left > _LEFT and left + width > _WIDTH:
                left, row = float(_LEFT), row + 1
            entries.append((left, row, name, style))
            left += width
        return entries

    def _top(self) -> float:
        entries = self._entries()
        return 12.0 + _ROW * (entries[-1][1] + 1 if entries else 0)

    def _legend(self) -> Iterable[str]:
        for left, row, name, style in self._entries():
            middle = 10 + _ROW * row
            if style == "band":
                yield f'<rect class="band" x="{left:.1f}" y="{middle - 6}" width="20" height="12"/>'
            else:
                yield _path(style, [(left, middle), (left + 20, middle)])
            yield _text(name, left + _SWATCH, middle + 4, "ink")

    def _names(self) -> Iterable[str]:
        yield _text(self.x_label, (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, "ink", "middle")
        middle = (self._top() + _HEIGHT - _BOTTOM) / 2
        label = _text(self.y_label, 13, middle, "ink", "middle")
        yield f'<g transform="rotate(-90 13 {middle:.1f})">{label}</g>'

    def _band(self, x: Scale, y: Scale) -> Iterable[str]:
        if self.band is None:
            return
        low, high = (min(max(value, x.low), x.high) for value in sorted(self.band[:2]))
        if low < high:
            left, right = x(low), x(high)
            yield (
                f'<rect class="band" x="{left:.1f}" y="{y.stop:.1f}" width="{right - left:.1f}" '
                f'height="{y.start - y.stop:.1f}"/>'
            )

    def _level(self, x: Scale, y: Scale) -> Iterable[str]:
        if self.level is not None:
            value, name = self.level
            yield _path("level", [(x.start, y(value)), (x.stop, y(value))])
            yield _text(name, x.start + 5, y(value) - 5, "faint")


def ticks(low: float, high: float, count: int = _TICKS) -> list[float]:
    """Round values within ``[low, high]``, about `count` of them.

    Parameters
    ----------
    low, high : float
        Ends, ``low < high``.
    count : int
        How many are wished for; between half and twice as many come.
    """
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in _STEPS if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _padded(low: float, high: float, pad: float) -> tuple[float, float]:
    span = high - low or max(abs(high), 1.0)
    return low - pad * span, low + span + pad * span


def _grid(x: Scale, y: Scale) -> Iterable[str]:
    for value in ticks(y.low, y.high):
        yield _path("grid", [(x.start, y(value)), (x.stop, y(value))])
        yield _text(_number(value), x.start - 6, y(value) + 4, "faint", "end")
    for value in ticks(x.low, x.high):
        yield _path("axis", [(x(value), y.start), (x(value), y.start + 4)])
        yield _text(_number(value), x(value), y.start + 17, "faint", "middle")
    yield _path("axis", [(x.start, y.stop), (x.start, y.start), (x.stop, y.start)])


def _curve(series: Series, x: Scale, y: Scale) -> Iterable[str]:
    points = [(x(across), y(upward)) for across, upward in series.finite()]
    if points:
        yield _path(series.style, points, series.name)
    if series.dots:
        dot = series.style.replace("line", "dot", 1)
        for across, upward in points:
            yield f'<circle class="{dot}" cx="{across:.1f}" cy="{upward:.1f}" r="2.8"/>'


def _mark(mark: tuple[float, float, str], x: Scale, y: Scale) -> Iterable[str]:
    across, upward = x(mark[0]), y(mark[1])
    late = across > (x.start + x.stop) / 2
    side, anchor = (-9, "end") if late else (9, "start")
    yield f'<circle class="mark" cx="{across:.1f}" cy="{upward:.1f}" r="5"/>'
    yield _text(mark[2], across + side, upward + 16, "ink", anchor)


def _path(style: str, points: Sequence[tuple[float, float]], title: str = "") -> str:
    line = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    inside = f"<title>{escape(title)}</title>" if title else ""
    return f'<path class="{style}" d="{line}">{inside}</path>'


def _text(text: str, x: float, y: float, style: str, anchor: str = "start") -> str:
    return (
        f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")
