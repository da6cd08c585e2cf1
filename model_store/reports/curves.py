"""Curves of several runs together: how they converge, and where they help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_store.errors import DataError
from model_store.manifest import Validity
from model_store.reports.losses import Points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FIRST = ("PSNR", "SSIM", "PDR", "loss")
_UNITS = {"PSNR": "PSNR, dB"}
_COLUMNS = 3
_NEAR_DB = 0.5
_PANEL = (4.6, 3.2)
_DPI = 110
_DASHES = ("solid", (0, (5, 2)), (0, (1, 1.5)))
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b4548f", "#a8790a", "#56b4e9", "#6b7785")


def convergence(found: Mapping[str, Mapping[str, Points]]) -> Figure:
    """What runs measured on patches that they do not draw, a panel a quantity.

    Parameters
    ----------
    found : mapping
        Run to what `read_validation` gives for it.

    Raises
    ------
    DataError
        If no run measured anything, or matplotlib is not installed.
    """
    quantities = list(dict.fromkeys(name for told in found.values() for name in told))
    if not quantities:
        raise DataError("none of the runs has measured itself: there is no curve to draw")
    ordered = [name for name in _FIRST if name in quantities]
    ordered += [name for name in quantities if name not in ordered]
    figure = _figure(len(ordered))
    looks = dict(zip(found, _looks(), strict=False))
    for number, quantity in enumerate(ordered):
        axes = figure.add_subplot(-(-len(ordered) // _COLUMNS), _COLUMNS, number + 1)
        for run, told in found.items():
            points = told.get(quantity, [])
            if points:
                across, upward = zip(*points, strict=True)
                axes.plot(across, upward, label=run, **looks[run])
        axes.set_title(_UNITS.get(quantity, quantity), fontsize=11, loc="left")
        axes.set_xlabel("iterations", fontsize=9)
        values = [value for told in found.values() for _, value in told.get(quantity, [])]
        if quantity not in _FIRST[:3] and min(values) > 0 and max(values) > 30 * min(values):
            axes.set_yscale("log")
        _plain(axes)
    _legend(figure)
    return figure


def crossing(found: Mapping[str, Validity]) -> Figure:
    """PSNR out against PSNR in for several models at strength 1, with where each begins to harm.

    As in Figures 2 and 4 of the Noise2Noise publication (Gnudi et al. 2020).

    Parameters
    ----------
    found : mapping of str to Validity
        Model to its sweep; all of one noise.

    Raises
    ------
    DataError
        If matplotlib is not installed.
    """
    figure = _figure(1, (9.6, 4.2))
    out, gain = figure.subplots(1, 2)
    for (name, validity), look in zip(found.items(), _looks(), strict=False):
        curve = sorted(validity.gain_curve)
        least, most = validity.trained_psnr
        inside = [least - _NEAR_DB <= entry <= most + _NEAR_DB for entry, _ in curve]
        for axes, of_input in ((out, 1), (gain, 0)):
            points = [(entry, of_input * entry + more) for entry, more in curve]
            axes.plot(*zip(*points, strict=True), label=name, **look)
            trained = [point for point, known in zip(points, inside, strict=True) if known]
            if trained:
                axes.plot(*zip(*trained, strict=True), "o", color=look["color"], markersize=5)
            if (harm := validity.zero_crossing_psnr) is not None:
                axes.plot([harm], [of_input * harm], "x", color=look["color"], markersize=8)
    entries = [entry for validity in found.values() for entry, _ in validity.gain_curve]
    ends = min(entries), max(entries)
    out.plot(ends, ends, color="#6b7785", linewidth=1, label="input")
    gain.plot(ends, (0, 0), color="#6b7785", linewidth=1)
    measure = next(iter(found.values())).measure
    for axes, title in ((out, "of the output, dB"), (gain, "gain, dB")):
        axes.set_title(title, fontsize=11, loc="left")
        axes.set_xlabel(
            f"{measure} of the input, dB; dots: as trained, x: harms beyond", fontsize=9
        )
        _plain(axes)
    _legend(figure)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})


def _figure(panels: int, size: tuple[float, float] | None = None) -> Figure:
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise DataError("curves need matplotlib: pip install 'dicom-node[train]'") from error
    width, height = _PANEL
    rows = -(-panels // _COLUMNS)
    return Figure(size or (width * min(panels, _COLUMNS), height * rows), layout="constrained")


def _looks() -> Sequence[dict[str, Any]]:
    """Colours that colour-blind readers tell apart, and dashes when they are used up."""
    return [
        {"color": colour, "linestyle": dash, "linewidth": 1.6}
        for dash, colour in zip(
            (dash for dash in _DASHES for _ in _COLOURS), cycle(_COLOURS), strict=False
        )
    ]


def _plain(axes: Axes) -> None:
    axes.grid(axis="y", color="#d5dbe1", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)


def _legend(figure: Figure) -> None:
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    columns = min(len(handles), 6 if len(figure.axes) > 1 else 3)
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside upper left",
        ncols=columns,
        frameon=False,
        fontsize=10,
    )
