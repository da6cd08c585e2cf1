"""The audit trail is exported whole and in order."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from dicom_node.cli import audit
from tests.support.ledgers import Life
from tests.unit.dicom_node.cli.shell import MARKERS, Shell


def test_an_export_has_every_event_in_order(shell: Shell, busy: Life, tmp_path: Path) -> None:
    lines = shell.run("audit", "export").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["id"] for event in events] == sorted(event["id"] for event in events)
    assert len(events) == len(busy.rows(text("SELECT id FROM audit")))
    delivered = next(e for e in events if e["event"] == "delivery:destination:answered")
    assert delivered["model_name"] == "toy"
    assert delivered["sop_instance_uid"].startswith("1.2.4.")
    path = tmp_path / "audit.csv"
    shell.run("audit", "export", str(path), "--form", "csv")
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    assert len(rows) == len(events)
    assert rows[0]["event"] == events[0]["event"]
    assert not any(marker in path.read_text(encoding="utf-8") for marker in MARKERS)


def test_an_export_holds_no_transaction_while_it_writes(
    shell: Shell, busy: Life, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """However long it takes: SQLite's log could not be emptied meanwhile."""
    monkeypatch.setattr(audit, "_AT_ONCE", 3)
    kept: list[int] = []

    def dumps(row: Any, **how: Any) -> str:
        with closing(sqlite3.connect(busy.ledger.engine.url.database or "")) as connection:
            kept.append(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
        return json.dumps(row, **how)

    monkeypatch.setattr(audit, "json", SimpleNamespace(dumps=dumps))
    path = tmp_path / "audit.jsonl"
    shell.run("audit", "export", str(path))
    events = path.read_text(encoding="utf-8").splitlines()
    assert len(events) == len(busy.rows(text("SELECT id FROM audit"))) == len(kept)
    assert set(kept) == {0}


def test_an_export_can_be_narrowed_by_time(shell: Shell, busy: Life) -> None:
    everything = shell.run("audit", "export").stdout.splitlines()
    early = shell.run("audit", "export", "--until", "2026-01-01T00:00:05").stdout.splitlines()
    late = shell.run("audit", "export", "--since", "2026-01-01T00:00:05").stdout.splitlines()
    assert early
    assert late
    assert len(early) + len(late) == len(everything)


def test_an_export_to_nowhere_is_an_error_in_words(shell: Shell, life: Life) -> None:
    result = shell.run("audit", "export", "/no/such/folder/x.jsonl")
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr
