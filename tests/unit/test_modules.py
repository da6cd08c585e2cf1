"""A module is one noun, and short."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MOST_LINES = 400


@pytest.mark.parametrize("package", ["dicom_node", "workers", "model_store"])
def test_no_module_is_long(package: str) -> None:
    modules = (ROOT / package).rglob("*.py")
    lengths = {
        str(each.relative_to(ROOT)): len(each.read_text(encoding="utf-8").splitlines())
        for each in modules
    }
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}
