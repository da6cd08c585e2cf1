"""Completion: names of versions and aliases, and silence where there is nothing to read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dicom_node.cli.model import names
from dicom_node.ledger import alias_moves
from model_store.ref import ModelName
from tests.support.factories.models import model_version
from tests.unit.dicom_node.cli.model.shell import Shell


def context(config: Path | None) -> Any:
    return SimpleNamespace(params={"config": config})


def test_versions_of_package_and_store_are_completed(shell: Shell) -> None:
    model_version(shell.store)
    found = names.versions(context(shell.config), "")
    assert {"toy-ct@1.0.0", "drunet-ct@1.0.0"} <= set(found)
    assert names.versions(context(shell.config), "toy") == ["toy-ct@1.0.0"]


def test_aliases_of_package_and_ledger_are_completed(shell: Shell) -> None:
    with shell.ledger.write() as unit:
        alias_moves.move(
            unit, ModelName("toy-ct", "candidate"), ModelName("toy-ct", "1.0.0"), expected=None,
            action="set", who="me@here", why="tested",
        )  # fmt: skip
    assert names.aliases(context(shell.config), "toy") == ["toy-ct@candidate"]
    assert "ct-default@production" in names.aliases(context(shell.config), "ct-")
    model_version(shell.store)
    assert names.both(context(shell.config), "toy") == ["toy-ct@1.0.0", "toy-ct@candidate"]


@pytest.mark.parametrize("text", [None, "nonsense", '[storage]\npath = "/no/such/folder"\n'])
def test_completion_never_fails_nor_speaks(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str | None
) -> None:
    config = tmp_path / "node.toml"
    if text is not None:
        config.write_text(text, encoding="utf-8")
    names.both(context(config), "")
    assert capfd.readouterr() == ("", "")


def test_a_ledger_of_another_release_is_no_error(shell: Shell) -> None:
    with shell.ledger.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    assert "ct-default@production" in names.aliases(context(shell.config), "")


def test_help_and_completion_load_no_engine() -> None:
    code = (
        "import sys; from typer.main import get_command; from dicom_node.cli import app;"
        "get_command(app);"
        "print(*({'numpy', 'openvino', 'torch', 'alembic', 'pydicom', 'fsspec'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.split() == []
