"""Data sets as stored results."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from pydicom import Dataset

from dicom_node.network.request import Outgoing
from dicom_node.network.request.dataset import StoredDataSet
from tests.support.factories import dicom as make
from tests.support.sending import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Write data sets as stored results and return what to send."""

    def write(*datasets: Dataset) -> list[Outgoing]:
        found = []
        for at, dataset in enumerate(datasets):
            path = make.write(dataset, tmp_path / f"{dataset.SOPInstanceUID}.dcm")
            stored = StoredDataSet.at(path)
            found.append(
                Outgoing(
                    delivery_id=at + 1,
                    path=path,
                    sop_class_uid=stored.sop_class_uid,
                    sop_instance_uid=stored.sop_instance_uid,
                    transfer_syntax_uid=stored.transfer_syntax_uid,
                    sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                )
            )
        return found

    return write
