"""Tables of results as text: one number of decimals a column, numbers to the right."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MINUS = "\N{MINUS SIGN}"
_DIGITS, _WHOLE = 4, 10000
_NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?( !)?")
_HYPHEN = re.compile(r"(?<![\w.])-(?=\d)")
_MISSED = " !"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Parameters
    ----------
    text : str
        What is shown.
    style : str
        Classes: ``number`` stands to the right, ``failed`` misses a limit.
    """

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table as it is shown.

    Parameters
    ----------
    title, note : str
        Above it.
    header : list of Cell
        Names of the columns.
    rows : list of list of Cell
        Its rows.
    own : list of bool
        Which rows stand out.
    """

    title: str
    note: str
    header: list[Cell]
    rows: list[list[Cell]]
    own: list[bool]

    @classmethod
    def of(cls, table: Mapping[str, Any], own: str = "model") -> TextTable:
        """Put a table (``title``, ``note``, ``columns``, ``rows``) into text.

        Parameters
        ----------
        table : mapping
            As an evaluation has it.
        own : str
            First cell of the rows that stand out.
        """
        columns, rows = table["columns"], table["rows"]
        values = [
            [row[at] if at < len(row) else None for row in rows] for at in range(len(columns))
        ]
        places = [_decimals(column) for column in values]
        shown = [
            [_cell(column[index], place) for column, place in zip(values, places, strict=True)]
            for index in range(len(rows))
        ]
        styles = ["number" if _is_numbers(column) else "" for column in values]
        header = [Cell(str(name), style) for name, style in zip(columns, styles, strict=True)]
        return cls(
            str(table.get("title") or ""),
            str(table.get("note") or ""),
            header,
            shown,
            [bool(row) and row[0] == own for row in rows],
        )


def number(value: float | None, decimals: int | None = None) -> str:
    """A number as text, with a minus sign, never a negative zero; empty for None.

    Parameters
    ----------
    value : float or None
        What to show.
    decimals : int, optional
        Places; without them four significant digits.
    """
    if value is None:
        return ""
    if abs(value) >= _WHOLE:
        return f"{value:,.0f}".replace("-", MINUS)
    text = f"{value:.{_DIGITS}g}" if decimals is None else f"{value:.{decimals}f}"
    return (text.lstrip("-") if float(text) == 0 else text).replace("-", MINUS)


def _cell(value: object, decimals: int) -> Cell:
    if value is None:
        return Cell("", "number")
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if isinstance(value, int | float):
        return Cell(number(value, 0 if isinstance(value, int) else decimals), "number")
    text = str(value)
    styles = ["number"] if _NUMBER.fullmatch(text) else []
    styles += ["failed"] if text.endswith(_MISSED) else []
    return Cell(_HYPHEN.sub(MINUS, text), " ".join(styles))


def _decimals(column: Sequence[object]) -> int:
    """Places at which every number of a column has up to four significant digits."""
    texts = [f"{value:.{_DIGITS}g}" for value in column if isinstance(value, float)]
    return min(max((len(text.partition(".")[2]) for text in texts), default=0), _DIGITS)


def _is_numbers(column: Sequence[object]) -> bool:
    kinds = [_cell(value, 0).style for value in column if value is not None]
    return bool(kinds) and all("number" in kind for kind in kinds)
