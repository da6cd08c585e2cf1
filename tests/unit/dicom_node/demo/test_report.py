"""The report holds everything in one file, says where images come from, and claims no more."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence

from dicom_node.demo.errors import ResultsMissing
from dicom_node.demo.images import SeriesFiles
from dicom_node.demo.report import Run, write_html, write_picture
from dicom_node.demo.results import origin
from dicom_node.demo.summary import SeriesSummary, summarise
from dicom_node.routing.eligibility import MODEL_NAME

SAID = (
    "Denoised by model ct@1.2.0, sha256 00, strength 1, engine openvino f32 on CPU, route ct. More."
)


def make_result(source: Path, folder: Path) -> Path:
    dataset = dcmread(source)
    middle = dataset.pixel_array.astype(np.float32)
    for axis in (0, 1):
        middle = (np.roll(middle, 1, axis) + 2 * middle + np.roll(middle, -1, axis)) / np.float32(4)
    dataset.add_new("PixelData", "OW", np.rint(middle).astype("<u2").tobytes())
    equipment = Dataset()
    equipment.ManufacturerModelName = MODEL_NAME
    equipment.ContributionDescription = SAID
    dataset.ContributingEquipmentSequence = Sequence([equipment])
    dataset.DerivationDescription = "Denoised <b>"
    path = folder / source.name
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def summary(series: SeriesFiles, tmp_path: Path) -> SeriesSummary:
    results = {
        str(dcmread(file, stop_before_pixels=True).SOPInstanceUID): make_result(file, tmp_path)
        for file in series.files
    }
    return summarise(series, results, 1.5)


def run_of(summary: SeriesSummary, *replaced: str) -> Run:
    at = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    return Run(at, [summary], 2.5, "scanner", "node", "PACS", replaced)


def test_a_summary_measures_and_names_the_makers(summary: SeriesSummary) -> None:
    assert summary.instances == 3
    assert summary.noise.reduction > 0.2
    assert (summary.origin.model, summary.origin.engine) == ("ct@1.2.0", "openvino f32 on CPU")


def test_the_page_needs_nothing_from_elsewhere(summary: SeriesSummary, tmp_path: Path) -> None:
    write_html(run_of(summary), tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text("utf-8")
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert len(sources) == 9
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "url(" not in page


def test_the_page_names_source_licence_scale_and_versions(
    summary: SeriesSummary, tmp_path: Path
) -> None:
    write_html(run_of(summary), tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text("utf-8")
    for text in (
        "LICENCE-1",
        "attribution",
        "ct@1.2.0",
        "openvino f32 on CPU",
        "pydicom",
        "black",
    ):
        assert text in page
    assert "Synthetic images." not in page
    assert "<b>" not in page.replace("<b>C-STORE", "")


def test_a_phantom_is_not_passed_off_as_a_patient(summary: SeriesSummary, tmp_path: Path) -> None:
    write_html(run_of(summary, "ct: no network"), tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text("utf-8")
    assert "Synthetic images." in page
    assert "ct: no network" in page


def test_a_wide_picture_is_drawn(summary: SeriesSummary, tmp_path: Path) -> None:
    write_picture([summary, summary], tmp_path / "new" / "wide.png")
    with Picture.open(tmp_path / "new" / "wide.png") as picture:
        assert picture.width > picture.height
        assert picture.mode == "L"


def test_a_missing_result_is_named(series: SeriesFiles) -> None:
    with pytest.raises(ResultsMissing, match=series.files[0].stem):
        summarise(series, {}, 1.0)


def test_a_result_of_somebody_else_says_nothing() -> None:
    assert origin(Dataset()).model == "not stated"
