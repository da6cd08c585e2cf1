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


def test_a_spool_that_was_in_use_is_given_no_empty_ledger_unasked(tmp_path: Path) -> None:
    """Its images would be nobody's, and nothing would say so."""
    folder = tmp_path / "node"
    config = tmp_path / "node.toml"
    config.write_text(CONFIG.format(folder=folder), encoding="utf-8")
    shell = Shell(config)
    shell.run("db", "upgrade")
    assert shell.run("study", "list").exit_code == 0
    for file in folder.glob("ledger.sqlite*"):
        file.unlink()
    for words in (("db", "upgrade"), ("up",), ("study", "list")):
        refused = shell.run(*words)
        assert refused.exit_code == 1, words
        assert "are in no ledger" in refused.stderr
        assert "start the database" not in refused.stderr
    assert not (folder / "ledger.sqlite").exists()
    anew = shell.run("db", "upgrade", "--begin-anew")
    assert anew.exit_code == 0
    assert "dicom-node study adopt" in anew.stdout
    assert "nothing is unknown" in shell.run("study", "adopt", "--dry-run").stdout
    assert "0 taken in" in shell.run("study", "adopt").stdout
    assert shell.run("study", "list").exit_code == 0
