"""A module is one noun, and short."""

from __future__ import annotations

import ast
import re
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


def test_events_of_the_log_have_one_form() -> None:
    """What happened to what: ``association.rejected``."""
    form = re.compile(r"[a-z][a-z_]*\.[a-z][a-z_]*")
    found = [
        (str(path.relative_to(ROOT)), call.args[0].value)
        for package in ("dicom_node", "workers", "model_store")
        for path in (ROOT / package).rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in {"debug", "info", "warning", "error", "exception", "critical"}
        and ast.unparse(call.func.value).lower().endswith("log")
        and call.args
        and isinstance(call.args[0], ast.Constant)
    ]
    assert found
    assert [each for each in found if not form.fullmatch(str(each[1]))] == []
