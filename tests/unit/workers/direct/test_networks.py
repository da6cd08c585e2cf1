"""Models are there for whoever has configured nothing; what is configured and not there is said."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import structlog

from dicom_node.errors import ConfigError
from dicom_node.settings import Settings, load
from model_store.ref import ModelName
from tests.support.direct import settings
from workers.direct.networks import Networks

PACKAGED = ModelName("drunet-ct", "production")


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default storage folder is a service's, which others may not look into."""
    default = Settings().storage.path
    for name in ("exists", "is_dir", "stat"):
        real = getattr(Path, name)

        def refused(path: Path, real: Any = real, **options: Any) -> Any:
            if path.is_relative_to(default):
                raise PermissionError(13, "Permission denied", str(path))
            return real(path, **options)

        monkeypatch.setattr(Path, name, refused)


def test_who_may_not_look_into_the_service_s_folder_has_what_comes_with_the_package(
    closed: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    networks = Networks(load())
    assert networks.resolve(PACKAGED).ref.name == "drunet-ct"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_named_and_may_not_be_looked_into_is_an_error(
    closed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DICOM_NODE_STORAGE__PATH", str(Settings().storage.path))
    with pytest.raises(ConfigError, match="may not be looked into"):
        Networks(load())


def test_a_ledger_that_does_not_answer_is_said_and_alias_files_count(tmp_path: Path) -> None:
    site = settings(tmp_path)
    site.storage.path.mkdir()
    sqlite3.connect(site.storage.path / "ledger.sqlite").close()
    with structlog.testing.capture_logs() as said:
        networks = Networks(site)
    assert [each["event"] for each in said] == ["models.without_ledger"]
    assert networks.resolve(PACKAGED).ref.name == "drunet-ct"


def test_a_site_without_a_ledger_is_no_fault(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as said:
        Networks(settings(tmp_path))
    assert said == []
