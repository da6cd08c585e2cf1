"""A scanner double: sends data sets exactly as encoded, on one association."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from dicom_node.demo.network import leave_answers
from tests.support.factories.dicom import write


def storescu(
    folder: Path, port: int, *options: str, calling: str = "SCANNER"
) -> subprocess.CompletedProcess[str]:
    """Send all files of a folder with DCMTK's storescu."""
    return subprocess.run(
        ["storescu", *options, "-aec", "DENOISE", "-aet", calling, "+sd", "127.0.0.1",
         str(port), str(folder)],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "TCP_NODELAY": "1"},
    )  # fmt: skip


def send(datasets: Sequence[Dataset], port: int, folder: Path) -> list[int | None]:
    """Send data sets over one association; returns the status of each, None where none came."""
    entity = AE("SCANNER")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
    contexts = {(str(ds.SOPClassUID), str(ds.file_meta.TransferSyntaxUID)) for ds in datasets}
    for sop_class, syntax in sorted(contexts):
        entity.add_requested_context(sop_class, syntax)
    association = entity.associate(
        "127.0.0.1", port, ae_title="DENOISE", evt_handlers=[(evt.EVT_CONN_OPEN, leave_answers)]
    )
    if not association.is_established:
        return [None] * len(datasets)
    statuses: list[int | None] = []
    try:
        for dataset in datasets:
            if not association.is_established:
                statuses.append(None)
                continue
            try:
                answer = association.send_c_store(dcmread(write(dataset, folder)))
            except RuntimeError:  # the association ended since it was looked at
                statuses.append(None)
                continue
            statuses.append(answer.get("Status"))
    finally:
        if association.is_established:
            association.release()
    return statuses
