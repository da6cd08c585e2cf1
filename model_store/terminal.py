"""Tables on a terminal."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.table import Table

_WIDEST: Final = 10_000


def show_whole(console: Console, table: Table) -> None:
    """Print a table in which no cell is cut: a narrow terminal wraps lines, never cells."""
    for column in table.columns:
        column.no_wrap = True
    widest = Console(width=_WIDEST).measure(table).maximum
    Console(file=console.file, width=max(console.width, widest)).print(table)
