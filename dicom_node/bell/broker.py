"""The broker that a node is set to use, embedded or Redis, and what Celery is told of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import SecretStr

from dicom_node.bell.folder_broker import FolderRings
from dicom_node.bell.rings import Rings
from dicom_node.errors import ConfigError
from dicom_node.full_disk import reason_and_remedy
from dicom_node.settings import Settings

_POLLING_SECONDS = 0.05


def embedded_broker_folder(settings: Settings) -> Path:
    """Folder of the embedded broker's messages."""
    return settings.storage.path / "broker"


def rings_of(settings: Settings) -> Rings:
    """The rings of a node's broker; nothing is connected yet.

    Raises
    ------
    ConfigError
        [broker] url is not a URL of a kind of broker that is known.
    """
    return open_rings(settings.broker.url, str(embedded_broker_folder(settings) / "messages"))


def open_rings(url: SecretStr | None, folder: str) -> Rings:
    """The rings of the Redis at `url`, or those in `folder`.

    Raises
    ------
    ConfigError
        The URL is not one of a kind of broker that is known, or its client is not installed.
    """
    if url is None:
        return FolderRings(Path(folder))
    try:
        from dicom_node.bell.redis_broker import RedisRings  # noqa: PLC0415 -- one machine needs none
    except ImportError as error:
        raise ConfigError(
            f"[broker] url: needs the Python package {error.name!r}, which is not installed; "
            f"installing the node brings it, or: pip install {error.name}"
        ) from error
    return RedisRings(url.get_secret_value())


def broker_configuration(settings: Settings) -> dict[str, Any]:
    """What Celery is told in a worker.

    It listens through `dicom_node.bell.ring_transport`, whatever the broker. A message is
    acknowledged when its task has ended, so that a worker holds no more of them than it has
    threads; nothing is given back to the broker.

    Raises
    ------
    ConfigError
        The embedded broker's folder cannot be made.
    """
    if settings.broker.url is None:
        _make(embedded_broker_folder(settings) / "messages")
    return {
        "broker_url": "rings://",
        "broker_transport": "dicom_node.bell.ring_transport:Transport",
        "broker_transport_options": {
            "url": settings.broker.url,
            "folder": str(embedded_broker_folder(settings) / "messages"),
            "look_seconds": settings.upkeep.ring_again_seconds,
            "polling_interval": _POLLING_SECONDS,
        },
        "task_ignore_result": True,
        "task_acks_late": True,
        "task_reject_on_worker_lost": False,
        "worker_prefetch_multiplier": 1,
        "worker_enable_remote_control": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_send_task_events": False,
        "task_serializer": "json",
        "accept_content": ["json"],
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "task_default_queue": "infer",
        "task_create_missing_queues": True,
    }


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = reason_and_remedy(
            error, "correct [storage] path, or give this user the right to write there"
        )
        raise ConfigError(f"the embedded broker's folder {folder} cannot be made: {why}") from error
