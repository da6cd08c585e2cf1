"""A module is one noun, and short; tests lie where it does, and share only what is for sharing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MOST_LINES = 400
PACKAGES = ("dicom_node", "workers", "model_store")
TIERS = ("unit", "property", "integration", "e2e", "forms")
"""Folders of tests; ``chaos`` and ``mutants`` are programs, ``support`` is what all may use."""


@pytest.mark.parametrize("package", [*PACKAGES, "tests", "benchmarks"])
def test_no_module_is_long(package: str) -> None:
    modules = (ROOT / package).rglob("*.py")
    lengths = {
        str(each.relative_to(ROOT)): len(each.read_text(encoding="utf-8").splitlines())
        for each in modules
    }
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


@pytest.mark.parametrize("folder", ["tests", "benchmarks"])
def test_what_tests_share_is_no_test_and_no_other_tiers(folder: str) -> None:
    found = []
    for path in (ROOT / folder).rglob("*.py"):
        own = path.relative_to(ROOT).parts[:2]
        for name in imported(path):
            tier = tuple(name.split(".")[:2])
            elsewhere = tier != own and tier in {("tests", each) for each in TIERS}
            if elsewhere or name.rpartition(".")[2].startswith("test_"):
                found.append((str(path.relative_to(ROOT)), name))
    assert found == []


def imported(path: Path) -> Iterator[str]:
    """Names of modules that a file of tests imports, and of what it takes from packages."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield str(node.module)
            if str(node.module).startswith("tests"):
                yield from (f"{node.module}.{each.name}" for each in node.names)


def test_unit_tests_are_named_after_the_module_that_they_test() -> None:
    """``test_batches.py`` or ``test_batches_joining.py``; what lies at the top is of the whole."""
    unit = ROOT / "tests" / "unit"
    for path in unit.rglob("test_*.py"):
        folder = ROOT / path.parent.relative_to(unit)
        words = path.stem.split("_")[1:]
        names = ["_".join(words[:count]) for count in range(1, len(words) + 1)]
        assert path.parent == unit or any(
            (folder / f"{name}.py").exists() or (folder / name).is_dir() for name in names
        ), path.relative_to(ROOT)


def test_events_of_the_log_have_one_form() -> None:
    """What happened to what: ``association.rejected``."""
    form = re.compile(r"[a-z][a-z_]*\.[a-z][a-z_]*")
    found = [
        (str(path.relative_to(ROOT)), call.args[0].value)
        for package in PACKAGES
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


def test_a_class_is_named_as_no_other_class_or_type_is() -> None:
    """One word for one thing."""
    classes: set[str] = set()
    places: dict[str, set[str]] = {}
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = set[str]()
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                names = {node.name}
                classes |= names
            elif isinstance(node, ast.Assign):
                names = {each.id for each in node.targets if isinstance(each, ast.Name)}
            for name in names:
                places.setdefault(name, set()).add(str(path.relative_to(ROOT)))
    assert len(classes) > 100
    assert {name: sorted(places[name]) for name in classes if len(places[name]) > 1} == {}
