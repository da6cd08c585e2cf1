from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("dicom_node.cli", ["alembic", "celery", "kombu", "pydicom", "pynetdicom", "openvino"]),
        ("dicom_node.receiving", ["alembic", "celery", "kombu", "openvino"]),
        ("dicom_node.upkeep.upkeep", ["alembic", "celery", "kombu", "pynetdicom", "openvino"]),
        ("workers.app", ["alembic", "openvino", "torch"]),
    ],
)
def test_a_process_does_not_load_what_it_does_not_use(module: str, without: list[str]) -> None:
    code = f"import sys, {module}; print(*(set({without}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == []
