"""Several processes bring one empty database to this release's migration at the same moment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_node.ledger import revision
from dicom_node.ledger.engine import make_engine
from tests.support.postgres import Postgres

AT_ONCE = 3
ROUNDS = 3

# Everything that takes time is done before the start, so that all begin together.
UPGRADE = """
import sys
from dicom_node.ledger import migrate, revision
from dicom_node.cli import app
print("ready", flush=True)
sys.stdin.readline()
app(["db", "upgrade"])
"""


def upgrade_together(folder: Path, url: str) -> list[tuple[int, str]]:
    """Exit status and output of each ``dicom-node db upgrade``."""
    config = folder / "node.toml"
    config.write_text(f'[storage]\npath = "{folder}"\n[database]\nurl = "{url}"\n')
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", UPGRADE], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "DICOM_NODE_CONFIG": str(config)},
        )
        for _ in range(AT_ONCE)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[0] for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]


def all_succeed(folder: Path, new_url: Callable[[int], str]) -> None:
    for number in range(ROUNDS):
        url = new_url(number)
        ended = upgrade_together(folder, url)
        assert [code for code, _ in ended] == [0] * AT_ONCE, ended
        engine = make_engine(url)
        assert revision.current(engine) == revision.REVISION
        engine.dispose()


def test_in_sqlite(tmp_path: Path) -> None:
    all_succeed(tmp_path, lambda number: f"sqlite:///{tmp_path / f'{number}.sqlite'}")


@pytest.mark.postgresql
def test_in_postgresql(tmp_path: Path, postgres_server: Postgres) -> None:
    all_succeed(tmp_path, lambda number: postgres_server.create_database(f"at_once_{number}"))
