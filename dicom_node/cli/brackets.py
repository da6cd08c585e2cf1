"""Help that may speak of ``[models] path``."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from typer.core import TyperGroup


class Root(TyperGroup):
    """The root of all commands; brackets in their help are no markup."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        _keep_brackets(self)


def _keep_brackets(command: Any) -> None:
    for each in (command, *command.params):
        if getattr(each, "help", None):
            each.help = escape(each.help)
    for child in getattr(command, "commands", {}).values():
        _keep_brackets(child)
