"""Fixtures that all tests share: real servers, real data, and what to do where one is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node import RunningNode
from tests.servers import Orthanc, Postgres, Redis, Server, StoreScp, find_program

_PROGRAMS = {
    "dcmtk": ("storescu", "echoscu", "storescp"),
    "dicom3tools": ("dciodvfy",),
}
_SERVERS: dict[str, type[Server]] = {"orthanc": Orthanc, "redis": Redis, "postgresql": Postgres}


def _missing(marker: str) -> str | None:
    if marker in _SERVERS:
        return _SERVERS[marker].missing()
    absent = [name for name in _PROGRAMS.get(marker, ()) if find_program(name) is None]
    return f"{', '.join(absent)} not installed" if absent else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose program is missing, and fail it in CI."""
    for marker in (*_PROGRAMS, *_SERVERS):
        if item.get_closest_marker(marker) is None:
            continue
        why = _missing(marker)
        if why is None:
            continue
        if os.environ.get("CI"):
            pytest.fail(f"{why}; in CI every component must be there", pytrace=False)
        pytest.skip(why)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real images; not part of the repository."""
    named = os.environ.get("DICOM_NODE_SHARED")
    root = Path(named) if named else Path(__file__).resolve().parents[2] / "shared"
    if not (root / "data").is_dir():
        pytest.skip("real images are not here; name their folder in DICOM_NODE_SHARED")
    return root / "data"


@pytest.fixture
def orthanc() -> Iterator[Orthanc]:
    """An empty Orthanc on free ports."""
    with Orthanc() as server:
        yield server


@pytest.fixture
def storescp() -> Iterator[StoreScp]:
    """DCMTK's storescp on a free port."""
    with StoreScp() as server:
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


@pytest.fixture
def running_node(tmp_path: Path) -> Iterator[RunningNode]:
    """A node that a test configures and starts; stopped and checked at the end."""
    node = RunningNode(tmp_path / "node")
    yield node
    node.kill()
    if shutil.disk_usage(tmp_path).free < 2**30:
        shutil.rmtree(tmp_path / "node", ignore_errors=True)
