"""What the parts may know of each other, and what a running node never does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(code: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "CI"}
    environment |= {"HOME": str(home), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment, cwd=home, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_imports_run_one_way() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run(
        [lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_engine_leaves_nothing_of_telemetry_behind(tmp_path: Path) -> None:
    result = run(
        "from model_store.engines.openvino import load_openvino; load_openvino()", tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_node_starts_without_pytorch_and_without_training(tmp_path: Path) -> None:
    result = run(
        "import sys, dicom_node.cli, workers.app\n"
        "heavy = {'torch', 'scipy', 'skimage', 'onnxruntime', 'matplotlib'}\n"
        "heavy.add('model_store.training')\n"
        "print(sorted(heavy & set(sys.modules)))",
        tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("dicom_node", ["numpy", "pydicom", "rich", "sqlalchemy", "workers"]),
        (
            "dicom_node.cli",
            ["alembic", "celery", "kombu", "PIL", "pydicom", "pynetdicom", "openvino"],
        ),
        ("dicom_node.receiving", ["alembic", "celery", "kombu", "openvino"]),
        ("dicom_node.upkeep.upkeep", ["alembic", "celery", "kombu", "pynetdicom", "openvino"]),
        ("workers.app", ["alembic", "openvino", "torch"]),
        ("model_store", ["matplotlib", "scipy", "torch"]),
        ("model_store.cli", ["matplotlib", "scipy", "torch"]),
        ("model_store.reports.page", ["matplotlib"]),
    ],
)
def test_a_process_does_not_load_what_it_does_not_use(module: str, without: list[str]) -> None:
    code = f"import sys, {module}; print(*(set({without}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == []
