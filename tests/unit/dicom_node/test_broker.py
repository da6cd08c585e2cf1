"""What Celery is told of the broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicom_node.broker import broker_configuration, embedded_broker_folder
from dicom_node.errors import ConfigError
from dicom_node.settings import Settings


def settings(folder: Path, **sections: object) -> Settings:
    return Settings(storage={"path": folder}, **sections)  # type: ignore[arg-type]


def test_without_a_url_the_broker_is_a_folder_of_the_spool(tmp_path: Path) -> None:
    tree = settings(tmp_path)
    options = broker_configuration(tree)["broker_transport_options"]
    assert Path(options["data_folder_in"]).is_dir()
    assert embedded_broker_folder(tree).parent == tmp_path


def test_with_one_it_is_that(tmp_path: Path) -> None:
    found = broker_configuration(settings(tmp_path, broker={"url": "redis://:hush@r:6379/0"}))
    assert found["broker_url"] == "redis://:hush@r:6379/0"
    assert not (tmp_path / "broker").exists()


def test_tasks_may_run_twice_but_keep_nothing_in_the_broker(tmp_path: Path) -> None:
    found = broker_configuration(settings(tmp_path))
    assert found["task_acks_late"]
    assert found["task_ignore_result"]
    assert found["accept_content"] == ["json"]
    assert found["worker_prefetch_multiplier"] == 1


def test_a_folder_that_cannot_be_made_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="storage"):
        broker_configuration(settings(Path("/proc/no/such/folder")))
