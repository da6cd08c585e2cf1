"""A package that is not installed is said at the start of every role, which then does not run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import free_port

CELERY = ("-m", "celery", "-A", "workers.app", "--quiet", "worker")
ROLES = {
    "up": ("-m", "dicom_node", "up"),
    "intake": ("-m", "dicom_node", "intake"),
    "upkeep": ("-m", "dicom_node", "upkeep"),
    "check": ("-m", "dicom_node", "check", "--local"),
    "infer": (*CELERY, "-Q", "infer", "-P", "solo"),
    "deliver": (*CELERY, "-Q", "deliver", "-P", "threads", "-c", "2"),
}
DATABASE = '[database]\nurl = "postgresql://node@127.0.0.1:9/node"\n'
BROKER = '[broker]\nurl = "redis://127.0.0.1:9/0"\n'


def start(role: str, folder: Path, *, without: str, extra: str) -> subprocess.CompletedProcess[str]:
    """Run a role that cannot import `without`, as if it were not installed."""
    config = folder / "node.toml"
    config.write_text(
        f'[node]\nport = {free_port()}\n[storage]\npath = "{folder / "spool"}"\n{extra}',
        encoding="utf-8",
    )
    absent = folder / "absent"
    absent.mkdir(exist_ok=True)
    (absent / f"{without}.py").write_text(
        f'raise ModuleNotFoundError("No module named {without!r}", name="{without}")\n',
        encoding="utf-8",
    )
    path = os.pathsep.join([str(absent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "DICOM_NODE_CONFIG": str(config), "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, *ROLES[role]], env=environment, cwd=folder,
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


def migrate(folder: Path) -> None:
    """Make the ledger, so that nothing but the package is missing."""
    config = folder / "node.toml"
    config.write_text(f'[storage]\npath = "{folder / "spool"}"\n', encoding="utf-8")
    subprocess.run(
        [sys.executable, "-m", "dicom_node", "db", "upgrade", "--config", str(config)],
        check=True, capture_output=True, timeout=200,
    )  # fmt: skip


@pytest.mark.parametrize("role", ROLES)
def test_no_role_starts_without_what_the_bell_needs(role: str, tmp_path: Path) -> None:
    migrate(tmp_path)
    done = start(role, tmp_path, without="redis", extra=BROKER)
    said = done.stdout + done.stderr
    assert done.returncode not in (0, None)
    assert "[broker] url" in said
    assert "'redis'" in said
    assert "pip install" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("role", ["intake", "deliver"])
def test_no_role_starts_without_the_driver_of_its_database(role: str, tmp_path: Path) -> None:
    done = start(role, tmp_path, without="psycopg", extra=DATABASE)
    said = done.stdout + done.stderr
    assert done.returncode not in (0, None)
    assert "'psycopg'" in said
    assert "dicom-node[postgresql]" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("role", ["infer", "deliver"])
def test_a_worker_says_what_is_wrong_with_the_configuration(role: str, tmp_path: Path) -> None:
    done = start(role, tmp_path, without="nothing", extra="[nodes]\nport = 1\n")
    said = done.stdout + done.stderr
    assert done.returncode not in (0, None)
    assert "nodes: unknown key" in said
    assert "Traceback" not in said
