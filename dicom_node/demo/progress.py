"""What is seen while the demonstration runs: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

from dicom_node.demo.catalogue import Archive

_LINE_EVERY_S = 10.0


class Downloads:
    """Bars for downloads.

    Parameters
    ----------
    console : rich.console.Console
        Where to draw.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("  {task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=console,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def begin(self, archive: Archive) -> Callable[[int], None]:
        """Begin one download; the returned function takes the bytes of each piece."""
        if not self._console.is_terminal:
            self._console.print(f"  downloading {archive.package}, {archive.size / 1e6:.0f} MB")
        task = self._progress.add_task(archive.package, total=archive.size)

        def advance(count: int) -> None:
            self._progress.advance(task, count)

        return advance


class Board:
    """One line a series: received, denoised, delivered.

    Parameters
    ----------
    console : rich.console.Console
        Where to draw.
    totals : dict of str to int
        Label of each series, and its instances.
    """

    def __init__(self, console: Console, totals: dict[str, int]) -> None:
        self._console = console
        self._totals = totals
        self._progress = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=32),
            TextColumn("{task.fields[counts]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._last_line = 0.0
        self._last_text = ""

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            # Three steps an instance, so that the bar moves from the first one received.
            self._tasks = {
                label: self._progress.add_task(label, total=3 * total, counts="")
                for label, total in self._totals.items()
            }
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, counts: dict[str, tuple[int, int, int]], *, last: bool = False) -> None:
        """Show received, denoised and delivered of each series.

        Parameters
        ----------
        counts : dict of str to tuple of int
            By the labels of `totals`.
        last : bool
            Whether this is the end, which is always shown.
        """
        texts = {
            label: f"received {received}  denoised {denoised}  delivered {delivered}"
            f" of {self._totals[label]}"
            for label, (received, denoised, delivered) in counts.items()
        }
        if self._tasks:
            for label, task in self._tasks.items():
                self._progress.update(task, completed=sum(counts[label]), counts=texts[label])
            return
        text = "  " + "; ".join(f"{label}: {line}" for label, line in texts.items())
        due = last or time.monotonic() - self._last_line >= _LINE_EVERY_S
        if due and text != self._last_text:
            self._console.print(text, highlight=False, soft_wrap=True)
            self._last_line, self._last_text = time.monotonic(), text
