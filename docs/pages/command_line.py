"""The page of every command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typer.main import get_command

from dicom_node import cli as node
from docs.pages.note import NOTE
from model_store import cli as store


def command_line() -> str:
    """Reference page of every command, as its own help has it."""
    lines = [NOTE, "", "# Command line", "", "Every command explains itself with `--help`.", ""]

    def describe(command: Any, words: tuple[str, ...]) -> None:
        title = " ".join(words)
        children = getattr(command, "commands", {})
        if not children:
            lines.extend([f"## {title}", "", _paragraphs(command.help), ""])
            rows = [
                f"| `{names}` | {text} |"
                for names, text in filter(None, (_parameter(p) for p in command.params))
            ]
            if rows:
                lines.extend(["| option | meaning |", "|---|---|", *rows, ""])
        for name, child in children.items():
            if not child.hidden:
                describe(child, (*words, name))

    describe(get_command(node.app), ("dicom-node",))
    describe(get_command(store.app), ("model-store",))
    return "\n".join(lines).rstrip() + "\n"


def _paragraphs(text: str | None) -> str:
    plain = (text or "").replace("\b", "").replace("\\[", "[")
    return "\n".join(line.strip() for line in plain.splitlines()).strip()


def _parameter(parameter: Any) -> tuple[str, str] | None:
    text = getattr(parameter, "help", None)
    if parameter.name == "help" or getattr(parameter, "hidden", False):
        return None
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    if parameter.param_type_name == "argument":
        names = parameter.name.upper()
    default = parameter.default
    named = default not in (None, False, ()) and not callable(default)
    installed = isinstance(default, Path) and default.is_absolute()
    known = "what comes with the package" if installed else f"`{default}`"
    shown = f" Default: {known}." if named else ""
    return names, f"{text or ''}{shown}".replace("\\[", "[").replace("|", "\\|").replace("\n", " ")
