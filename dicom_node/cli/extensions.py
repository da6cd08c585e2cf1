"""Commands that installed packages add to ``dicom-node``.

A package names them as entry points of the group ``dicom_node.commands``::

    [project.entry-points."dicom_node.commands"]
    model = "dicom_node.cli.model.app:app"                 # a typer.Typer: the group "dicom-node model"
    "study.replay" = "dicom_node.cli.model.replay:replay"    # a function: "dicom-node study replay"

So the node can offer what is made of parts that it does not know itself.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import typer
from rich.markup import escape
from typer.core import TyperGroup
from typer.main import get_command, get_group

from dicom_node.errors import ConfigError

GROUP: Final = "dicom_node.commands"


class ExtensibleGroup(TyperGroup):
    """The root of the commands: its own, and those of `GROUP`."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
            add(self, entry)
        _keep_brackets(self)


def add(root: TyperGroup, entry: EntryPoint) -> None:
    """Put the command of one entry point where its name says.

    Raises
    ------
    ConfigError
        If it is no command, its group does not exist, or its name is taken.
    """
    *groups, name = entry.name.split(".")
    parent = root
    for group in groups:
        below = parent.commands.get(group)
        if not isinstance(below, TyperGroup):
            raise ConfigError(f"command {entry.name!r} ({entry.value}): there is no group {group}")
        parent = below
    if name in parent.commands:
        raise ConfigError(f"command {entry.name!r} ({entry.value}) is there already")
    found = entry.load()
    if isinstance(found, typer.Typer):
        made = get_group(found)
        made.name = name
        parent.add_command(made, name)
        return
    if not callable(found):
        raise ConfigError(f"command {entry.name!r} ({entry.value}) is no command")
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command(name)(found)
    parent.add_command(get_command(alone), name)


def _keep_brackets(command: Any) -> None:
    """Let help speak of ``[models] path``: brackets are markup to what prints it."""
    for each in (command, *command.params):
        if getattr(each, "help", None):
            each.help = escape(each.help)
    for child in getattr(command, "commands", {}).values():
        _keep_brackets(child)
