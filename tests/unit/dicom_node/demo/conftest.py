"""Small series that the tests of the demonstration share."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from dicom_node.demo import phantom
from dicom_node.demo.images import ImageCredit, SeriesFiles

SOURCE = ImageCredit(
    "Title & <b>", "package==1", "LICENCE-1", "credit", "attribution", "none", True
)


@pytest.fixture(scope="session")
def slices(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Three slices of the CT phantom."""
    folder = tmp_path_factory.mktemp("slices")
    files = []
    for dataset in islice(phantom.ct_series(), 3):
        files.append(folder / f"{dataset.SOPInstanceUID}.dcm")
        dataset.save_as(files[-1], enforce_file_format=True)
    return tuple(files)


@pytest.fixture
def series(slices: tuple[Path, ...]) -> SeriesFiles:
    return SeriesFiles("ct", slices, SOURCE)
