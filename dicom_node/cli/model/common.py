"""What the commands on model versions share: exit codes, who acts and why, names, verdicts."""

from __future__ import annotations

import getpass
import inspect
import json
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dicom_node.errors import AliasMoved, NodeError, VersionRefused, VersionTaken, WrongUse
from model_store.errors import (
    BehaviourError,
    GraphError,
    ManifestError,
    ModelIntegrityError,
    ModelStoreError,
    TrustError,
    VersionTakenError,
)
from model_store.ref import ModelName

if TYPE_CHECKING:
    from model_store.registry.gates import Verdict

_LONGEST_WHO = 128
_LONGEST_WHY = 1000

P = ParamSpec("P")
R = TypeVar("R")


class Code(IntEnum):
    """Exit codes of the commands on model versions."""

    OK = 0
    ERROR = 1
    USAGE = 2
    REFUSED = 3
    MOVED = 4


class Refused(NodeError):
    """A gate said no, or a verdict is negative; nothing was changed."""


_REFUSALS = (
    Refused, VersionRefused, VersionTaken, VersionTakenError, TrustError, GraphError,
    BehaviourError, ModelIntegrityError, ManifestError,
)  # fmt: skip

WhyOption = Annotated[
    str, typer.Option("--why", help="Reason, for the history.", show_default=False)
]
ByOption = Annotated[
    str | None,
    typer.Option("--by", help="Who decided; absent: the user at this host.", show_default=False),
]


def plain(command: Callable[P, R]) -> Callable[P, R]:
    """Print an error as one message and end with its exit code; see `Code`."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (NodeError, ModelStoreError) as error:
            code = code_of(error)
            word = "refused" if code is Code.REFUSED else "error"
            console = Console(stderr=True, highlight=False)
            said = escape(printable(str(error)))
            console.print(f"[bold red]{word}:[/] {said}", soft_wrap=True)
            raise typer.Exit(code) from error

    return wrapped


def code_of(error: NodeError | ModelStoreError) -> Code:
    """Exit code that an error ends a command with."""
    if isinstance(error, AliasMoved):
        return Code.MOVED
    if isinstance(error, WrongUse):
        return Code.USAGE
    return Code.REFUSED if isinstance(error, _REFUSALS) else Code.ERROR


def who(by: str | None) -> str:
    """Who acts: as given, else ``user@host``."""
    if by is None:
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container's user may have no name
            user = f"uid{os.getuid()}"
        by = f"{user}@{socket.gethostname()}"
    stated = by.strip()
    if not 0 < len(stated) <= _LONGEST_WHO or not stated.isprintable():
        raise typer.BadParameter(
            f"give 1 to {_LONGEST_WHO} characters that can be printed", param_hint="--by"
        )
    return stated


def reason(why: str) -> str:
    """A reason in one line, which may not be empty: it is kept for good, and printed in tables."""
    stated = " ".join(why.split())
    if not stated:
        raise typer.BadParameter(
            "give a reason: in a year it is all that is left", param_hint="--why"
        )
    if len(stated) > _LONGEST_WHY or not stated.isprintable():
        raise typer.BadParameter(
            f"give at most {_LONGEST_WHY} characters that can be printed; this has {len(stated)}",
            param_hint="--why",
        )
    return stated


def printable(text: str) -> str:
    """A text that others wrote, for a terminal: a question mark for what would command it."""
    return "".join(each if each.isprintable() or each == "\n" else "?" for each in text)


def version_name(text: str) -> ModelName:
    """``NAME@MAJOR.MINOR.PATCH`` as it was typed."""
    found = model_name(text)
    if not found.is_version:
        raise typer.BadParameter(f"{text!r} is an alias; name a version, NAME@MAJOR.MINOR.PATCH")
    return found


def alias_name(text: str) -> ModelName:
    """``LABEL@TAG`` as it was typed."""
    found = model_name(text)
    if found.is_version:
        raise typer.BadParameter(
            f"{text!r} is a version; name an alias such as ct-default@production"
        )
    return found


def new_alias_name(text: str) -> ModelName:
    """``LABEL@TAG`` of an alias that is to be made: no tag that is a version mistyped."""
    found = alias_name(text)
    if found.tag[0].isdigit():
        raise typer.BadParameter(
            f"{text!r} looks like a version; a version is NAME@MAJOR.MINOR.PATCH, and an alias "
            "does not start with a digit, such as ct-default@production"
        )
    return found


def model_name(text: str) -> ModelName:
    """``NAME@TAG`` as it was typed: a version or an alias."""
    try:
        return ModelName.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def print_json(document: Any) -> None:
    """Print one JSON document for machines."""
    sys.stdout.write(json.dumps(document, default=_plain, indent=2, ensure_ascii=False) + "\n")


def _plain(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


class Bar:
    """How much of some work is done; call it with what comes next.

    Parameters
    ----------
    shown : Progress
    total : int
        How many things there are.
    """

    def __init__(self, shown: Progress, total: int) -> None:
        self._shown = shown
        self._task = shown.add_task("", total=total)
        self._done = -1
        self._what = ""

    def __call__(self, what: str) -> None:
        """Begin with `what`; whatever was in hand is done."""
        self._done += 1
        self._what = what
        self._shown.update(self._task, completed=self._done, description=what)

    def part(self, done: int, of: int) -> None:
        """Show how far the thing in hand is, if it has more than one part."""
        if of > 1:
            said = f"{self._what}, tile {done} of {of}"
            self._shown.update(self._task, completed=self._done + done / of, description=said)


@contextmanager
def progress(total: int) -> Iterator[Bar]:
    """A bar on standard error for work that takes seconds."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn())  # fmt: skip
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        yield Bar(bar, total)


def print_verdicts(said: Sequence[Verdict]) -> None:
    """Print what every gate said."""
    console = Console(highlight=False, soft_wrap=True)
    for each in said:
        mark = "[green]passed [/]" if each.passed else "[bold red]refused[/]"
        console.print(f"{mark} {each.gate + ':':13}{escape(each.said)}")


def listed(names: Sequence[object]) -> str:
    """Names in a row, "none" without any."""
    return ", ".join(map(str, names)) or "none"


def flowing(text: str | None) -> str:
    """Help text whose lines are as long as the terminal is wide; lines of exit codes stay."""
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    return "\n\n".join(re.sub(r"\n(?!\d )", " ", each) for each in paragraphs)
