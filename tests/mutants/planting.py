"""Planting one mutant: in the functions of this process, or in what it and its children import."""

from __future__ import annotations

import ast
import gc
import importlib.abc
import importlib.machinery
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Final

from tests.mutants.mutant import Mutant, planted, source_of

VARIABLE: Final = "DICOM_NODE_MUTANT"
SITE: Final = Path(__file__).resolve().parent / "site"
"""A folder for PYTHONPATH: whatever Python starts there plants what `VARIABLE` names."""


class Unplantable(Exception):
    """The change is not in a function's own code: the module has to be imported anew."""


def environment(mutant: Mutant) -> dict[str, str]:
    """What a process needs in its environment to have the mutant."""
    paths = [str(SITE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {VARIABLE: json.dumps(asdict(mutant)), "PYTHONPATH": os.pathsep.join(paths)}


def from_environment() -> Mutant | None:
    """The mutant that this process is to have."""
    text = os.environ.get(VARIABLE)
    return Mutant(**json.loads(text)) if text else None


def plant_on_import(mutant: Mutant) -> None:
    """Have the module come with the change when it is imported."""
    sys.meta_path.insert(0, _Finder(mutant))


def plant_here(mutant: Mutant) -> None:
    """Change the functions of a module that was imported already.

    Raises
    ------
    Unplantable
        If that cannot be.
    """
    function = function_of(mutant)
    if function is None:
        raise Unplantable("not within a function")
    text, path = source_of(mutant.module)
    before = _code(compile(text, str(path), "exec"), function)
    after = _code(compile(planted(mutant, ast.parse(text)), str(path), "exec"), function)
    if before is None or after is None or before == after:
        raise Unplantable("not in the function's code")
    found = [each for each in _functions() if _is_of(each.__code__, before)]
    if not found:
        raise Unplantable("nobody has the function")
    for each in found:
        try:
            each.__code__ = after
        except ValueError as error:  # another number of variables from outside
            raise Unplantable(str(error)) from error


def function_of(mutant: Mutant) -> str | None:
    """The outermost function that a mutant is in; None for one of a class or module."""
    tree: ast.AST = ast.parse(source_of(mutant.module)[0])
    names: list[str] = []
    for name in filter(None, mutant.where.split(".")):
        tree = next(
            each
            for each in ast.walk(tree)
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and each.name == name
        )
        names.append(name)
        if not isinstance(tree, ast.ClassDef):
            return ".".join(names)
    return None


def _code(module: CodeType, name: str) -> CodeType | None:
    for code in _codes(module):
        if code.co_qualname == name:
            return code
    return None


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def _functions() -> list[FunctionType]:
    return [each for each in gc.get_objects() if isinstance(each, FunctionType)]


def _is_of(code: CodeType, other: CodeType) -> bool:
    return (code.co_filename, code.co_qualname, code.co_firstlineno) == (
        other.co_filename,
        other.co_qualname,
        other.co_firstlineno,
    )


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._mutant.module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(fullname, spec.origin, self._mutant)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname: str, path: str, mutant: Mutant) -> None:
        super().__init__(fullname, path)
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType:
        tree = ast.parse(Path(self.path).read_text(encoding="utf-8"))
        return compile(planted(self._mutant, tree), self.path, "exec")
