"""How a command shows how far it is, and what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from model_store.errors import ModelStoreError


@contextmanager
def progress_bar(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar; gives what is to be told what is being done, how much of it, and of how much."""
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


def failed(console: Console, error: ModelStoreError) -> typer.Exit:
    """Say in one line what went wrong; gives what ends the command."""
    said = f"[red]{type(error).__name__}[/red]: {escape(str(error))}"
    console.print(said, highlight=False, soft_wrap=True)
    return typer.Exit(1)
