"""Data sets as stored results."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset

from dicom_node.network.request import Outgoing
from tests.support.factories import dicom as make
from tests.support.sending import Store, result_in


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Write data sets as stored results and return what to send."""

    def write(*datasets: Dataset) -> list[Outgoing]:
        found = []
        for at, dataset in enumerate(datasets):
            path = make.write(dataset, tmp_path / f"{dataset.SOPInstanceUID}.dcm")
            found.append(Outgoing(at + 1, result_in(path), path))
        return found

    return write
