"""What every command keeps to: plain words, valid JSON, exit codes, no patient data."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from tests.support.ledgers import Life
from tests.unit.dicom_node.cli.shell import CONFIG, Shell


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("study", "list"), "no studies yet"),
        (("audit", "list"), None),
        (("destination", "list"), "pacs"),
        (("destination", "failed"), "no dead letters"),
        (("study", "retry", "--all-failed"), "nothing to retry"),
        (("study", "conflicts"), "no conflicts"),
    ],
)
def test_an_empty_ledger_is_no_error(shell: Shell, arguments: tuple[str, ...], words: str) -> None:
    result = shell.run(*arguments)
    assert result.exit_code == 0
    if words is not None:
        assert words in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("study", "list"),
        ("study", "list", "--state", "failed"),
        ("study", "show", "1.2.3"),
        ("study", "show", "1.2.3", "--items"),
        ("study", "show", "(unreadable)"),
        ("destination", "list"),
        ("destination", "failed"),
        ("destination", "failed", "archive"),
        ("audit", "list"),
        ("audit", "list", "--study", "1.2.3"),
        ("route", "list"),
        ("study", "conflicts"),
    ],
)
def test_json_is_one_document_on_standard_output(
    shell: Shell, busy: Life, arguments: tuple[str, ...]
) -> None:
    assert shell.json(*arguments)
    assert shell.run(*arguments).exit_code == 0


def test_a_ledger_of_another_release_is_named(shell: Shell, life: Life) -> None:
    with life.ledger.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0003'"))
    result = shell.run("study", "list")
    assert result.exit_code == 1
    assert "db upgrade" in result.stderr


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://node:hush@127.0.0.1:1/node", "ledger"),
        ("postgresql://node:hush@no-such-host.invalid/node", "ledger"),
        ("postgresql://node:hush@h:port/node", "[database] url"),
        ("nonsense", "[database] url"),
        ("mysql://node:hush@h/node", "[database] url"),
        ("sqlite:////proc/no/such/ledger.sqlite", "ledger"),
    ],
)
@pytest.mark.parametrize("command", [("study", "list"), ("db", "upgrade"), ("audit", "export")])
def test_a_database_that_cannot_be_used_is_said_in_words(
    tmp_path: Path, url: str, words: str, command: tuple[str, ...]
) -> None:
    config = tmp_path / "node.toml"
    base = CONFIG.format(folder=tmp_path / "spool")
    config.write_text(base + f'[database]\nurl = "{url}"\n', encoding="utf-8")
    result = Shell(config).run(*command)
    assert result.exit_code == 1
    assert words in result.stderr
    assert "hush" not in result.stderr
    assert "Traceback" not in result.stderr
