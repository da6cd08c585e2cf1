"""What the code imports is what pyproject.toml declares, for every form that can be installed."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("dicom_node", "workers", "model_store")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WITH_TRAINING = (
    "model_store/evaluation/", "model_store/export.py", "model_store/generators/",
    "model_store/reports/", "model_store/training/",
)  # fmt: skip
"""What only the extra ``train`` is for."""

BESIDE = {"bm3d", "torch"}
"""Asked for by those who installed them: bm3d's licence keeps it out (decision 2), and torch is the
extra ``train``'s wherever it is imported."""

OF_NAMESPACES = {"google.protobuf": "protobuf"}


def declared(*extras: str) -> set[str]:
    """Names of the distributions that a plain install and these extras bring."""
    lines = [*PROJECT["dependencies"]]
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return {canonicalize_name(Requirement(line).name) for line in lines}


def imported(tree: ast.AST) -> Iterator[str]:
    """Modules that a file imports, by a statement or by ``import_module("...")``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module)
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", "") == "import_module"
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value)


@cache
def installed() -> Mapping[str, Sequence[str]]:
    """Top-level module to the distributions that have it."""
    return packages_distributions()


def distributions(module: str) -> set[str]:
    """Which distributions have a module; its own name if none is installed here."""
    for prefix, distribution in OF_NAMESPACES.items():
        if module.startswith(prefix):
            return {distribution}
    top = module.partition(".")[0]
    return {canonicalize_name(name) for name in installed().get(top, [top])}


def undeclared(path: Path) -> Iterator[str]:
    place = str(path.relative_to(ROOT))
    text = path.read_text(encoding="utf-8")
    dynamic = set(re.findall(r'import_module\(\s*"([^"]+)"', text))
    names = declared("train") if place.startswith(WITH_TRAINING) else declared()
    anywhere = declared(*PROJECT["optional-dependencies"])
    for module in imported(ast.parse(text)):
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names or top in (*PACKAGES, *BESIDE):
            continue
        allowed = anywhere if module in dynamic else names
        if not distributions(module) & allowed:
            yield f"{place}: {module}"


def test_every_module_that_is_imported_is_of_a_package_that_is_declared() -> None:
    found = [
        line
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for line in undeclared(path)
    ]
    assert found == []


def test_a_run_time_dependency_has_its_line_in_the_decision() -> None:
    page = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| ")]
    named = {canonicalize_name(word) for row in rows for word in re.findall(r"[\w.-]+", row)}
    extras = [name for name in PROJECT["optional-dependencies"] if name not in ("test", "dev")]
    assert declared(*extras) - named == set()


def test_the_constraints_name_a_version_that_may_be_used_of_everything_a_node_needs() -> None:
    text = (ROOT / "deploy" / "constraints.txt").read_text(encoding="utf-8")
    pins = dict(line.split("==") for line in text.splitlines() if not line.startswith("#"))
    named = {canonicalize_name(name): version for name, version in pins.items()}
    extras = ("postgresql", "remote", "onnxruntime")
    wanted = [*PROJECT["dependencies"]]
    wanted += [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    for requirement in map(Requirement, wanted):
        version = named.get(canonicalize_name(requirement.name), "missing")
        assert version != "missing", requirement.name
        assert requirement.specifier.contains(version), f"{requirement}: {version}"
