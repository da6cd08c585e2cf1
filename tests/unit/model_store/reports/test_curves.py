from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from model_store.errors import DataError
from model_store.manifest import Validity
from model_store.reports.curves import convergence, crossing, save


def _sweep(crossing_at: float | None, gains: tuple[float, ...] = (4.0, 2.0, -1.0)) -> Validity:
    return Validity(
        measure="PSNR",
        noise="white",
        images=2,
        gain_curve=tuple(zip((20.0, 30.0, 40.0), gains, strict=True)),
        noise_sd=(0.1, 0.03, 0.01),
        trained_sd=(0.03, 0.03),
        trained_psnr=(30.0, 30.0),
        zero_crossing_psnr=crossing_at,
        zero_crossing_sd=None if crossing_at is None else 0.015,
        statement="",
    )


def test_runs_are_drawn_together_a_panel_a_quantity() -> None:
    found = {
        "one": {"loss": [(0.0, 2.0), (10.0, 1.0)], "PSNR": [(0.0, 20.0), (10.0, 30.0)]},
        "two": {"PSNR": [(0.0, 20.0), (10.0, 28.0)], "D(x)": [(0.0, 0.5), (10.0, 0.9)]},
    }
    figure = convergence(found)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["PSNR, dB", "loss", "D(x)"]
    assert [len(axes.lines) for axes in figure.axes] == [2, 1, 1]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["one", "two"]
    with pytest.raises(DataError, match="no curve"):
        convergence({"one": {}})


def test_sweeps_cross_and_show_where_each_begins_to_harm(tmp_path: Path) -> None:
    figure = crossing({"strong": _sweep(36.5), "weak": _sweep(None, (1.0, 1.5, 0.5))})
    out, gain = figure.axes
    harm = [line for line in out.lines if line.get_marker() == "x"]
    assert [(*line.get_xdata(), *line.get_ydata()) for line in harm] == [(36.5, 36.5)]  # type: ignore[misc]
    strong = out.lines[0]
    assert list(strong.get_ydata()) == [24.0, 32.0, 39.0]  # type: ignore[arg-type]
    assert list(gain.lines[0].get_ydata()) == [4.0, 2.0, -1.0]  # type: ignore[arg-type]
    save(figure, tmp_path / "sweep.png")
    with Image.open(tmp_path / "sweep.png") as picture:
        assert picture.width > 900
