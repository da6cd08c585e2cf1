"""Commands of other packages find their place, and those that have none are named."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest
import typer
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from dicom_node.cli import app
from dicom_node.cli.extensions import GROUP, add
from dicom_node.errors import ConfigError

paint = typer.Typer(help="Paints.", no_args_is_help=True)
NOTHING = 1


@paint.command()
def red() -> None:
    """Paint it red."""
    typer.echo("red")


@paint.command()
def blue() -> None:
    """Paint it blue."""


def colour(name: str) -> None:
    """Say a colour."""
    typer.echo(f"it is {name}")


@pytest.fixture
def root() -> TyperGroup:
    tree = typer.Typer()
    tree.add_typer(paint, name="paint")
    tree.command("colour")(colour)
    found = get_command(tree)
    assert isinstance(found, TyperGroup)
    return found


def entry(name: str, what: str) -> EntryPoint:
    return EntryPoint(name, f"{__name__}:{what}", GROUP)


def test_a_group_and_a_command_are_added_by_their_names(root: TyperGroup) -> None:
    add(root, entry("brush", "paint"))
    add(root, entry("paint.any", "colour"))
    assert root.commands["brush"].commands.keys() == {"red", "blue"}  # type: ignore[attr-defined]
    added = root.commands["paint"].commands["any"]  # type: ignore[attr-defined]
    assert added.help == "Say a colour."
    with pytest.raises(SystemExit) as ended:
        added.main(["green"], prog_name="any")
    assert ended.value.code == 0


@pytest.mark.parametrize(
    ("name", "what", "words"),
    [
        ("paint", "paint", "there already"),
        ("paint.red", "colour", "there already"),
        ("study.replay", "colour", "no group study"),
        ("colour.more", "colour", "no group colour"),
        ("nothing", "NOTHING", "is no command"),
    ],
)
def test_what_has_no_place_is_named(root: TyperGroup, name: str, what: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        add(root, entry(name, what))


def test_the_commands_of_the_workers_are_there() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert " model " in result.stdout


def test_help_keeps_its_brackets() -> None:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["up", "--help"])
    assert "With no [database] and [broker] URL" in result.stdout
