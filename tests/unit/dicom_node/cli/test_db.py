"""A ledger is made and brought up to date by a command."""

from __future__ import annotations

from pathlib import Path

from tests.unit.dicom_node.cli.shell import CONFIG, Shell


def test_a_new_database_is_made_by_upgrade(tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text(CONFIG.format(folder=tmp_path / "fresh"), encoding="utf-8")
    shell = Shell(config)
    assert shell.run("study", "list").exit_code == 1
    assert shell.run("db", "upgrade").exit_code == 0
    assert shell.run("db", "upgrade").exit_code == 0
    assert shell.run("study", "list").exit_code == 0
