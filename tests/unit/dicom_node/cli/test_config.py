"""Configuration is shown without secrets and started with a commented file."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from dicom_node.cli import app
from tests.unit.dicom_node.cli.shell import Shell


def test_config_show_masks_secrets(tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text('[database]\nurl = "postgresql://u:hush@h/d"\n', encoding="utf-8")
    result = Shell(config).run("config", "show")
    assert "hush" not in result.stdout
    assert json.loads(result.stdout)["node"]["port"] == 11112


def test_config_init_does_not_replace_a_file(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    run = CliRunner().invoke
    assert run(app, ["config", "init", str(path)]).exit_code == 0
    written = path.read_text(encoding="utf-8")
    path.write_text("mine", encoding="utf-8")
    assert run(app, ["config", "init", str(path)]).exit_code == 1
    assert path.read_text(encoding="utf-8") == "mine"
    assert run(app, ["config", "init", str(path), "--force"]).exit_code == 0
    assert path.read_text(encoding="utf-8") == written
    assert run(app, ["config", "init", "/no/such/folder/node.toml"]).exit_code == 1
