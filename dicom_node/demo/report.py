"""The report: one HTML file that holds everything, and a picture for a page elsewhere."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata, resources
from io import BytesIO
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from dicom_node.demo.summary import SeriesSummary

_PACKAGES = ("dicom-node", "pydicom", "pynetdicom", "openvino", "numpy")
_PANEL, _GAP, _CAPTION, _MARGIN = 416, 12, 36, 16
_INK, _PAPER, _FAINT = 232, 16, 152


@dataclass(frozen=True, slots=True)
class Run:
    """What happened, for the report.

    Parameters
    ----------
    at : datetime
        When it ended, local and aware.
    summaries : sequence of SeriesSummary
        The series.
    seconds : float
        From the first byte sent to the last result.
    scanner, node, destinations : str
        Who sent to whom.
    replaced : sequence of str
        Why a phantom stood in for published images, one line a series.
    """

    at: datetime
    summaries: Sequence[SeriesSummary]
    seconds: float
    scanner: str
    node: str
    destinations: str
    replaced: Sequence[str]


def write_html(run: Run, path: Path) -> None:
    """Write the report as one self-contained file."""
    template = resources.files("dicom_node.demo").joinpath("templates/report.html.j2")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(template.read_text("utf-8")).render(
        run=run, versions=versions(), machine=machine()
    )
    path.write_text(page, encoding="utf-8")


def versions() -> dict[str, str]:
    """Versions of the packages that took part."""
    found = {"Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> str:
    """Return the operating system and processor architecture."""
    return f"{platform.system()} {platform.machine()}"


def write_picture(summaries: Sequence[SeriesSummary], path: Path) -> None:
    """Write a wide grey PNG, one row a series: before, after, difference, each with its caption."""
    width = 2 * _MARGIN + 3 * _PANEL + 2 * _GAP
    row = _CAPTION + _PANEL + _GAP
    sheet = Picture.new("L", (width, 2 * _MARGIN + row * len(summaries) + _CAPTION), _PAPER)
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(18), ImageFont.load_default(14)
    for number, summary in enumerate(summaries):
        top = _MARGIN + number * row
        view = summary.hero
        captions = (
            (
                f"{summary.modality} as received",
                _noise(summary, summary.noise.before),
            ),
            ("denoised", _noise(summary, summary.noise.after)),
            ("difference", f"{-view.scale:+g} to {view.scale:+g} {view.unit}"),
        )
        for column, (png, (title, note)) in enumerate(
            zip((view.before, view.after, view.difference), captions, strict=True)
        ):
            left = _MARGIN + column * (_PANEL + _GAP)
            draw.text((left, top + 6), title, _INK, large)
            draw.text((left + _PANEL, top + 10), note, _FAINT, small, anchor="ra")
            sheet.paste(_panel(png), (left, top + _CAPTION))
    foot = "Images: " + "; ".join(f"{s.modality}, {s.source.credit}" for s in summaries)
    draw.text((_MARGIN, sheet.height - _MARGIN), foot, _FAINT, small, anchor="ls")
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, "PNG", optimize=True)


def _noise(summary: SeriesSummary, value: float) -> str:
    return f"noise {value:.1f} {summary.unit}"


def _panel(png: bytes) -> Picture.Image:
    picture = Picture.open(BytesIO(png)).convert("L")
    return picture.resize((_PANEL, _PANEL), Picture.Resampling.LANCZOS)
