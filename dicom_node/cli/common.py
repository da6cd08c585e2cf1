"""What all commands share: the configuration option, plain error messages, output."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import structlog
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dicom_node import log
from dicom_node.bell.outbox import SilentBell
from dicom_node.errors import NodeError
from dicom_node.node import Node
from dicom_node.settings import Settings, load
from dicom_node.settings.source import require_source
from model_store.terminal import show_whole

P = ParamSpec("P")
R = TypeVar("R")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", envvar="DICOM_NODE_CONFIG", help="node.toml", show_default=False
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document, for machines.")]


def plain_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Print an error of the node as one message and end with exit code 1."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except NodeError as error:
            if getattr(command, "runs", False) and log.is_json():
                structlog.get_logger("node").critical("process.refused", error=str(error))
                raise typer.Exit(1) from error
            console = Console(stderr=True, highlight=False)
            console.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
            raise typer.Exit(1) from error

    return wrapped


def runs(command: Callable[P, R]) -> Callable[P, R]:
    """Mark a command that runs a process of the node: whatever it says is a line of the log."""
    command.runs = True  # type: ignore[attr-defined]
    return command


def settings(config: Path | None) -> Settings:
    """Read the settings of the node that is meant, and configure logging.

    Raises
    ------
    ConfigError
        There are none, or they are wrong.
    """
    found = load(require_source(config))
    log.configure(found.log)
    return found


def reader(config: Path | None) -> Node:
    """The node, for commands that read or change the ledger and leave announcing to upkeep."""
    return Node.open(settings(config), SilentBell(), away=True)


def show(rows: list[dict[str, Any]], *, title: str, as_json: bool, empty: str) -> None:
    """Print rows as a table, or as JSON."""
    if as_json:
        sys.stdout.write(json.dumps(rows, default=str, indent=2) + "\n")
        return
    console = Console()
    if not rows:
        console.print(empty)
        return
    table = Table(title=title, title_justify="left")
    for name in rows[0]:
        table.add_column(name.replace("_", " "))
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    show_whole(console, table)  # UIDs stay whole, to be copied


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return "" if value is None else escape(str(value))
