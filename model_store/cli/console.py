"""How a command shows how far it is, and what went wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from model_store.errors import ModelStoreError

_SAID_EVERY: Final = 60.0


@contextmanager
def progress_bar(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar; gives what is to be told what is being done, how much of it, and of how much.

    What is no terminal, as a file, gets a line when something else begins, and one a minute.
    """
    if not console.is_terminal:
        yield _Lines(console).tell
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=1) as bar:
        task = bar.add_task("preparing", total=None)

        def told(what: str, done: int, every: int) -> None:
            bar.update(task, completed=done, total=every, description=what)

        yield told


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = 0, 0
        self._next = 0.0

    def tell(self, what: str, done: int, every: int) -> None:
        last, self._last = self._last, (done, every)
        if last[0] <= done and last[1] == every and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _SAID_EVERY
        self._console.print(f"{what} {done}/{every}", markup=False, highlight=False, soft_wrap=True)


def failed(console: Console, error: ModelStoreError) -> typer.Exit:
    """Say in one line what went wrong; gives what ends the command."""
    said = f"[red]{type(error).__name__}[/red]: {escape(str(error))}"
    console.print(said, highlight=False, soft_wrap=True)
    return typer.Exit(1)
