"""Questions that options answer, or a person at the terminal; nothing is guessed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import typer


@dataclass
class Questions:
    """Asks what no option answered, or collects what is missing.

    Parameters
    ----------
    ask : bool, optional
        Whether there is a person to ask; absent: whether the input is a terminal.
    """

    ask: bool | None = None
    missing: list[str] = field(default_factory=list)

    @property
    def interactive(self) -> bool:
        """Whether there is a person to ask."""
        return sys.stdin.isatty() if self.ask is None else self.ask

    def answer(
        self,
        given: Any,
        option: str,
        question: str,
        kind: Callable[[str], Any] = str,
        suggested: Any = None,
    ) -> Any:
        """What an option gave, or what the person says; None if there is neither, see `refuse`.

        Parameters
        ----------
        given : object or None
            What the option gave.
        option : str
            Its name, for the error.
        question : str
            In words.
        kind : callable
            What the answer is made by; `ValueError` asks again.
        suggested : object, optional
            What an empty answer stands for.
        """
        if given is not None:
            return given
        if not self.interactive:
            self.missing.append(option)
            return None
        while True:
            said = str(typer.prompt(question, default=suggested)).strip()
            try:
                if said:
                    return kind(said)
            except ValueError as error:
                typer.echo(f"  {error}")

    def refuse(self) -> None:
        """End the command if something was not answered, naming all of it.

        Raises
        ------
        typer.BadParameter
            If anything is missing.
        """
        if self.missing:
            raise typer.BadParameter(
                "nobody can be asked here, and this is not guessed: " + ", ".join(self.missing)
            )
