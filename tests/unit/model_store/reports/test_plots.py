from __future__ import annotations

import math
import re
from xml.etree import ElementTree as Xml

import pytest

from model_store.reports.plots import LinePlot, Scale, Series, ticks


def _plot(**changes: object) -> LinePlot:
    values = {
        "title": "A plot",
        "x_label": "x, mm",
        "y_label": "y, HU",
        "series": [Series("one", [(0.0, 0.0), (10.0, 5.0)])],
    }
    return LinePlot(**{**values, **changes})  # type: ignore[arg-type]


def test_a_scale_maps_its_ends_and_the_middle() -> None:
    scale = Scale(10.0, 20.0, 300.0, 100.0)
    assert [scale(value) for value in (10.0, 15.0, 20.0)] == [300.0, 200.0, 100.0]


def test_a_known_curve_is_drawn_at_known_coordinates() -> None:
    plot = _plot(from_zero=True)
    scales = plot.scales()
    assert scales is not None
    x, y = scales
    assert (x.low, x.high, y.low) == (0.0, 10.0, 0.0)
    root = Xml.fromstring(plot.svg())
    line = next(item for item in root.iter("path") if item.find("title") is not None)
    drawn = [float(part) for part in re.findall(r"[-\d.]+", line.get("d", ""))]
    assert drawn == pytest.approx([x.start, y.start, x.stop, y(5.0)], abs=0.05)
    assert y.start > y(5.0) > y.stop


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 12, [0, 2, 4, 6, 8, 10, 12]),
        (-5.2, 10.1, [-5, 0, 5, 10]),
        (0, 0.75, [0, 0.2, 0.4, 0.6]),
    ],
)
def test_ticks_are_round_and_inside(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_the_shaded_range_is_cut_at_the_axes() -> None:
    plot = _plot(band=(5.0, math.inf, "trained range"))
    scales = plot.scales()
    assert scales is not None
    root = Xml.fromstring(plot.svg())
    band = next(root.iter("rect"))
    left, width = float(band.get("x", "")), float(band.get("width", ""))
    assert left == pytest.approx(scales[0](5.0), abs=0.05)
    assert left + width == pytest.approx(scales[0].stop, abs=0.1)


def test_points_that_are_not_finite_are_left_out_and_nothing_draws_nothing() -> None:
    assert "nan" not in _plot(series=[Series("one", [(0, math.nan), (1, 2), (2, 3)])]).svg()
    assert _plot(series=[Series("one", [(0.0, math.nan)])]).svg() == ""
    assert _plot(series=[Series("flat", [(1.0, 2.0)])]).svg().startswith("<svg")


def test_names_are_escaped_and_the_title_is_read_out() -> None:
    svg = _plot(title='<b> & "b"', series=[Series("<i>", [(0, 0), (1, 1)])]).svg()
    root = Xml.fromstring(svg)
    assert root.get("aria-label") == '<b> & "b"'
    assert root.get("role") == "img"
    assert "<i>" not in svg


def test_a_long_legend_takes_more_rows_and_room() -> None:
    many = [Series(f"a rather long name {number}", [(0, 0), (1, 1)]) for number in range(5)]
    one, several = _plot().scales(), _plot(series=many).scales()
    assert one is not None
    assert several is not None
    assert several[1].stop > one[1].stop
