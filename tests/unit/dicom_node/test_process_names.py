"""A name tells a process from all others that ever had its number."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node import process_names
from dicom_node.process_names import Incarnation, process_name, runs_here

HERE = socket.gethostname()


@pytest.fixture
def another() -> Iterator[subprocess.Popen[str]]:
    """A process that runs, and prints its name."""
    say = "from dicom_node.process_names import process_name as n; print(n(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", say], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def as_named(**changed: str) -> str:
    """The name of this process, but for a part of its incarnation."""
    host, pid, said = process_name().split(":")
    other = Incarnation(*said.split("."))._replace(**changed)
    return ":".join([host, pid, ".".join(other)])


def test_a_name_is_host_number_and_incarnation_and_stays(another: subprocess.Popen[str]) -> None:
    assert process_name().startswith(f"{HERE}:{os.getpid()}:")
    assert process_name() == process_name()
    assert len(process_name()) <= 128, "the ledger's column"
    assert runs_here(process_name()) is True


def test_a_process_runs_until_it_ends_seen_by_its_parent_or_not(
    another: subprocess.Popen[str],
) -> None:
    assert another.stdout is not None
    name = another.stdout.readline().strip()
    assert runs_here(name) is True
    another.kill()
    os.waitid(os.P_PID, another.pid, os.WEXITED | os.WNOWAIT)
    assert runs_here(name) is False, "it is a zombie"
    another.wait()
    assert runs_here(name) is False


def test_another_life_under_the_same_number_is_over() -> None:
    assert runs_here(as_named(started="1")) is False
    assert runs_here(as_named(boot="00000000")) is False


def test_of_a_container_only_an_earlier_life_of_ones_own_is_known_to_be_over() -> None:
    assert runs_here(as_named(processes="1")) is None, "a sibling in the same network may live"
    assert runs_here(as_named(processes="1", network="1")) is False


@pytest.mark.parametrize(
    "name", ["", "no name", "elsewhere:1", "elsewhere:1:a.b.c.d", f"{HERE}:x", f"{HERE}:1:a.b",
             f"{HERE}:1:a.b.c.d.e"],
)  # fmt: skip
def test_of_what_is_no_name_of_this_machine_nothing_is_said(name: str) -> None:
    assert runs_here(name) is None


def test_names_of_an_earlier_release_go_by_the_number() -> None:
    assert runs_here(f"{HERE}:{os.getpid()}") is True
    assert runs_here(f"{HERE}:4194305") is False


def test_where_nothing_can_be_read_a_process_that_is_there_is_not_called_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """/proc may hide the processes of other users."""
    name = process_name()
    read = Path.read_text
    monkeypatch.setattr(process_names, "_exists", lambda pid: True)

    def hidden(path: Path, *args: str, **kwargs: str) -> str:
        if path.name == "stat" and path.parent.name == "1":
            raise FileNotFoundError(path)
        return read(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", hidden)
    assert runs_here(name.replace(f":{os.getpid()}:", ":1:")) is None
