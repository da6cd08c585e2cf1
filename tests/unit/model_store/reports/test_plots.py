from __future__ import annotations

import math
import re
import sys
from xml.etree import ElementTree as Xml

import pytest

from model_store.errors import DataError
from model_store.reports.plots import Curve, LinePlot


def _plot(**changes: object) -> LinePlot:
    values = {
        "title": "A plot",
        "x_label": "x, mm",
        "y_label": "y, HU",
        "series": [Curve("one", [(0.0, 0.0), (10.0, 5.0)])],
    }
    return LinePlot(**{**values, **changes})  # type: ignore[arg-type]


def _texts(plot: LinePlot) -> list[str]:
    return [item.text or "" for item in Xml.fromstring(plot.svg()).iter("text")]


def _ends(plot: LinePlot, colour: str) -> list[float]:
    """The first and last coordinates of the line of a colour."""
    (line,) = [
        item
        for item in Xml.fromstring(plot.svg()).iter("path")
        if f"stroke: var(--{colour})" in item.get("style", "") and item.get("clip-path")
    ]
    drawn = [float(part) for part in re.findall(r"[-\d.]+", line.get("d", ""))]
    return [*drawn[:2], *drawn[-2:]]


@pytest.mark.parametrize("from_zero", [False, True])
def test_a_rising_curve_goes_up_from_left_to_right_inside_the_picture(from_zero: bool) -> None:
    left, bottom, right, top = _ends(_plot(from_zero=from_zero), "s0")
    assert 0 < left < right < 440
    assert 300 > bottom > top > 0


def test_axes_are_labelled_and_curves_named() -> None:
    found = _texts(_plot(level=(2.0, "no gain"), marks=[(5.0, 2.0, "here")]))
    assert {"x, mm", "y, HU", "one", "no gain", "here"} <= set(found)


def test_the_shaded_range_is_cut_at_the_axes() -> None:
    svg = Xml.fromstring(_plot(band=(5.0, math.inf, "trained range")).svg())
    band = next(item for item in svg.iter("path") if "var(--band)" in item.get("style", ""))
    across = [float(x) for x in re.findall(r"[ML] ([-\d.]+)", band.get("d", ""))]
    assert 200 < min(across) < 300
    assert 400 < max(across) < 440


def test_points_that_are_not_finite_are_left_out_and_nothing_draws_nothing() -> None:
    assert "nan" not in _plot(series=[Curve("one", [(0, math.nan), (1, 2), (2, 3)])]).svg()
    assert _plot(series=[Curve("one", [(0.0, math.nan)])]).svg() == ""
    assert _plot(series=[Curve("flat", [(1.0, 2.0)])]).svg().startswith("<svg")


def test_names_are_escaped_and_the_title_is_read_out() -> None:
    plot = _plot(title='<b> & "b"', series=[Curve("<i> $x$", [(0, 0), (1, 1)])])
    root = Xml.fromstring(plot.svg())
    assert root.get("aria-label") == '<b> & "b"'
    assert root.get("role") == "img"
    assert "<i>" not in plot.svg()
    assert "<i> $x$" in _texts(plot)


def test_a_long_legend_takes_more_rows_in_reading_order_and_stays_inside() -> None:
    names = [f"a rather long name {number}" for number in range(5)]
    plot = _plot(series=[Curve(name, [(0, 0), (1, 1)], at) for at, name in enumerate(names)])
    svg = Xml.fromstring(plot.svg())
    where = {item.text: item for item in svg.iter("text") if item.text in names}
    places = [(float(where[name].get("y", "")), float(where[name].get("x", ""))) for name in names]
    assert places == sorted(places)
    assert len({y for y, _ in places}) > 1
    assert max(x for _, x in places) < 300


def test_colours_are_the_pages_and_nothing_in_it_is_a_file_of_its_own() -> None:
    svg = _plot(
        series=[Curve(str(at), [(0, 0), (1, at)], at, at % 2 == 0, True) for at in range(-1, 6)],
        band=(0.2, 0.5, "range"),
        level=(0.0, "level"),
        marks=[(0.5, 1.0, "")],
    ).svg()
    assert re.findall(r"#[0-9a-f]{6}\b(?!\w)", svg) == []
    assert not re.search(r"<\?|<!|<style|<metadata|xmlns|https?:|font-family", svg)
    for colour in ("ink", "faint", "line", "band", "bad", *(f"s{at}" for at in range(6))):
        assert f"var(--{colour})" in svg


def test_the_same_plot_is_the_same_text_and_another_shares_no_name_with_it() -> None:
    first, again, other = (_plot(title=title).svg() for title in ("a", "a", "b"))
    assert first == again
    names = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (first, other)]
    assert names[0]
    assert not names[0] & names[1]


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(DataError, match=r"dicom-node\[train\]"):
        _plot().svg()
