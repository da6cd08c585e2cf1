"""Fixtures that all tests share: real servers, real data, and what to do where one is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings

from dicom_node import log
from tests import NO_PACKAGE
from tests.support.node import RunningNode
from tests.support.postgres import Postgres
from tests.support.servers import (
    Orthanc,
    Redis,
    Server,
    find_program,
    path_with_dcmtk_first,
)

_PROGRAMS = {
    "dcmtk": ("storescu", "echoscu", "storescp"),
    "dicom3tools": ("dciodvfy",),
    "systemd": ("systemd-analyze",),
}
collect_ignore = [] if os.environ.get("FORMS") else ["forms"]
"""What installs every documented form has a command of its own, ``make forms``; CI runs both."""

settings.register_profile("node", deadline=None)  # a slow machine is no falsifying example
settings.load_profile("node")

os.environ["PATH"] = path_with_dcmtk_first(os.environ["PATH"])

_SERVERS: dict[str, type[Server]] = {"orthanc": Orthanc, "redis": Redis, "postgresql": Postgres}
_Report = TypeVar("_Report", pytest.TestReport, pytest.CollectReport)


def _missing(marker: str) -> str | None:
    if marker in _SERVERS:
        return _SERVERS[marker].missing()
    absent = [name for name in _PROGRAMS.get(marker, ()) if find_program(name) is None]
    return f"{', '.join(absent)} not installed" if absent else None


@pytest.fixture(autouse=True)
def _no_form_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process configures its log once; commands of several tests run in one process."""
    monkeypatch.setitem(log._FORM, "json", False)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose program is missing."""
    for marker in (*_PROGRAMS, *_SERVERS):
        if item.get_closest_marker(marker) is None:
            continue
        why = _missing(marker)
        if why is not None:
            pytest.skip(why)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI nothing is skipped that a package could bring."""
    report = yield
    return _failed_in_ci(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself."""
    report = yield
    return _failed_in_ci(report)


def _failed_in_ci(report: _Report) -> _Report:
    if not (os.environ.get("CI") and report.skipped) or hasattr(report, "wasxfail"):
        return report
    why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if NO_PACKAGE not in why:
        report.outcome = "failed"
        report.longrepr = f"{why}; in CI whatever a package can bring must be there"
    return report


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real images; not part of the repository."""
    named = os.environ.get("DICOM_NODE_SHARED")
    root = Path(named) if named else Path(__file__).resolve().parents[2] / "shared"
    if not (root / "data").is_dir():
        pytest.skip(f"{NO_PACKAGE}: real images; name their folder in DICOM_NODE_SHARED")
    return root / "data"


@pytest.fixture
def orthanc() -> Iterator[Orthanc]:
    """An empty Orthanc on free ports."""
    with Orthanc() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """A Redis on a free port."""
    with Redis() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A PostgreSQL cluster on a free port."""
    with Postgres() as server:
        yield server


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
)
def either_database(request: pytest.FixtureRequest) -> str | None:
    """An empty PostgreSQL database for the tests of a module; None: each has its own SQLite."""
    if request.param == "sqlite":
        return None
    server: Postgres = request.getfixturevalue("postgres_server")
    return server.create_database(request.module.__name__.rpartition(".")[2])


@pytest.fixture
def running_node(tmp_path: Path) -> Iterator[RunningNode]:
    """A node that a test configures and starts; stopped and checked at the end."""
    node = RunningNode(tmp_path / "node")
    yield node
    node.kill()
    if shutil.disk_usage(tmp_path).free < 2**30:
        shutil.rmtree(tmp_path / "node", ignore_errors=True)
