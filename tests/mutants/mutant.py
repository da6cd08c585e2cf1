"""Mutants of the modules of an area: all of them, a sample by a seed, and one planted."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutants.operators import Change, changes

_SEPARATOR: Final = " | "


@dataclass(frozen=True, order=True)
class Mutant:
    """One change to one module, named by what it is, so that edits elsewhere do not rename it.

    Attributes
    ----------
    module : str
        ``dicom_node.noise``.
    where : str
        Qualified name of the function or class; empty at the top of the module.
    kind, before, after : str
        What is changed into what.
    nth : int
        Which of several alike in the same function, from 0.
    line : int
        Where it stood when it was listed; no part of its name.
    """

    module: str
    where: str
    kind: str
    before: str
    after: str
    nth: int
    line: int = 0

    @property
    def key(self) -> str:
        """Names it in files."""
        parts = [self.module, self.where, self.kind, self.before, self.after]
        return _SEPARATOR.join(parts) + (f"{_SEPARATOR}{self.nth}" if self.nth else "")


def source_of(module: str) -> tuple[str, Path]:
    """Text and path of a module."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise LookupError(f"no module {module}")
    path = Path(spec.origin)
    return path.read_text(encoding="utf-8"), path


def mutants_of(module: str, only: Iterable[str] = ()) -> list[Mutant]:
    """Every mutant of a module, or of those functions and classes that are named."""
    text, _ = source_of(module)
    wanted = tuple(only)
    found = [mutant for mutant, _ in _named(module, ast.parse(text))]
    return [
        each
        for each in found
        if not wanted
        or any(each.where == name or each.where.startswith(name + ".") for name in wanted)
    ]


def planted(mutant: Mutant, tree: ast.Module) -> ast.Module:
    """Make the change.

    Raises
    ------
    LookupError
        If the module has no such place any more.
    """
    for each, change in _named(mutant.module, tree):
        if each.key == mutant.key:
            change.make()
            return ast.fix_missing_locations(tree)
    raise LookupError(f"no mutant {mutant.key}")


def sample(mutants: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """Take `count`, always the same: each has its place by a hash of the seed and its name.

    A mutant that comes or goes when code is edited changes no other's place.
    """
    return sorted(mutants, key=lambda each: _place(each, seed))[:count]


def _place(mutant: Mutant, seed: int) -> str:
    return hashlib.sha256(f"{seed} {mutant.key}".encode()).hexdigest()


def _named(module: str, tree: ast.Module) -> Iterator[tuple[Mutant, Change]]:
    seen: Counter[tuple[str, ...]] = Counter()
    for change in changes(tree):
        if change.before == change.after:
            continue
        alike = (change.where, change.kind, change.before, change.after)
        yield Mutant(module, *alike, seen[alike], change.line), change
        seen[alike] += 1
