"""The report: one HTML file that holds everything, and a picture for a page elsewhere."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata, resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from dicom_node.demo.summary import SeriesSummary
from dicom_node.sheet import SheetRow, draw

_PACKAGES = ("dicom-node", "pydicom", "pynetdicom", "openvino", "numpy")


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
    rows = [
        SheetRow(
            each.hero, f"{each.modality} as received", _noise(each, each.noise.before),
            _noise(each, each.noise.after),
        )
        for each in summaries
    ]  # fmt: skip
    foot = "Images: " + "; ".join(f"{s.modality}, {s.source.credit}" for s in summaries)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(draw(rows, foot))


def _noise(summary: SeriesSummary, value: float) -> str:
    return f"noise {value:.1f} {summary.unit}"
