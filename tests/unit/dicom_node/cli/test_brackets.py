"""Help says what it means to say."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from dicom_node.cli import app


@pytest.mark.parametrize("group", ["", "study", "model"])
def test_every_command_is_there(group: str) -> None:
    expected = {"": "model", "study": "replay", "model": "promote"}
    result = CliRunner().invoke(app, [*group.split(), "--help"])
    assert result.exit_code == 0
    assert f" {expected[group]} " in result.stdout


def test_help_keeps_its_brackets() -> None:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["up", "--help"])
    assert "With no [database] and [broker] URL" in result.stdout
