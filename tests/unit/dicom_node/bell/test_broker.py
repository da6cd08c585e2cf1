"""What Celery is told of the broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicom_node.bell.broker import broker_configuration, embedded_broker_folder, rings_of
from dicom_node.bell.folder_broker import FolderRings
from dicom_node.errors import ConfigError
from dicom_node.settings import Settings


def settings(folder: Path, **sections: object) -> Settings:
    return Settings(storage={"path": folder}, **sections)  # type: ignore[arg-type]


def test_without_a_url_the_broker_is_a_folder_of_the_spool(tmp_path: Path) -> None:
    tree = settings(tmp_path)
    options = broker_configuration(tree)["broker_transport_options"]
    assert Path(options["folder"]).is_dir()
    assert embedded_broker_folder(tree).parent == tmp_path
    assert isinstance(rings_of(tree), FolderRings)


def test_with_one_it_is_that(tmp_path: Path) -> None:
    tree = settings(tmp_path, broker={"url": "redis://:hush@r:6379/0?password=hush"})
    found = broker_configuration(tree)
    assert "hush" not in str(found)
    assert rings_of(tree).where == "redis://r:6379/0"
    assert not (tmp_path / "broker").exists()


@pytest.mark.parametrize("url", ["carrot://:hush@r", "hush", "redis://:hush@r:port/0"])
def test_another_kind_of_broker_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="redis://HOST:PORT/0") as refused:
        rings_of(settings(tmp_path, broker={"url": url}))
    assert "hush" not in str(refused.value)


def test_a_worker_holds_no_more_rings_than_it_has_threads(tmp_path: Path) -> None:
    found = broker_configuration(settings(tmp_path))
    assert found["task_acks_late"]
    assert found["task_ignore_result"]
    assert found["accept_content"] == ["json"]
    assert found["worker_prefetch_multiplier"] == 1


def test_a_folder_that_cannot_be_made_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="storage"):
        broker_configuration(settings(Path("/proc/no/such/folder")))
