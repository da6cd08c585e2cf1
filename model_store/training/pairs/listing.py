"""Pairs as they are found: which files, of whom, and what has no partner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from model_store.errors import DataError

Side = Literal["training", "validation", "test"]
SIDES: tuple[Side, ...] = ("training", "validation", "test")

Told = Callable[[str, int, int], None]
"""Is told what is being done, how much of it is done, and of how much."""

SHOWN = 5
"""Names that a message shows; the rest is counted."""


def nobody(_what: str, _done: int, _all: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two files, or one slice of each.

    Parameters
    ----------
    noisy, partner : Path
        The files.
    patient : str
        A hash of who is in them; no identifier.
    name : str
        For messages and records: paths below the folder of the data.
    slice : int, optional
        In both files, counted from 0; all slices without it.
    side : {"training", "validation", "test"}, optional
        Where a table puts the pair.
    """

    noisy: Path
    partner: Path
    patient: str
    name: str
    slice: int | None = None
    side: Side | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """What was found.

    Parameters
    ----------
    pairs : tuple of Pair
        In the order of their names.
    alone : tuple of str
        Paths of files that have no partner.
    """

    pairs: tuple[Pair, ...]
    alone: tuple[str, ...] = field(default=())


def pair_name(folder: Path, noisy: Path, partner: Path, index: int | None = None) -> str:
    """Name of a pair for people: both paths, relative to the folder of the data."""
    paths = " and ".join(str(below(path, folder)) for path in (noisy, partner))
    return paths if index is None else f"{paths}, slice {index}"


def below(path: Path, folder: Path) -> Path:
    """`path` relative to `folder` where it is below it."""
    return path.relative_to(folder) if path.is_relative_to(folder) else path


def some(names: Sequence[str]) -> str:
    """The first few of some names, and how many more there are."""
    more = len(names) - SHOWN
    return "; ".join(names[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths are one file."""
    try:
        return one.samefile(other)
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error
