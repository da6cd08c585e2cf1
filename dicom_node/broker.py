"""Celery's configuration: an embedded broker in the spool, or Redis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dicom_node.errors import ConfigError
from dicom_node.settings import Settings

_POLLING_SECONDS = 0.05


def embedded_broker_folder(settings: Settings) -> Path:
    """Folder of the embedded broker's messages."""
    return settings.storage.path / "broker"


def broker_configuration(settings: Settings) -> dict[str, Any]:
    """Celery settings shared by who rings and who works.

    The embedded broker is a folder (`dicom_node.folder_broker`) polled every 50 ms. Its messages,
    like those of Redis, may be lost: the ledger knows what is due and upkeep rings again.

    Raises
    ------
    ConfigError
        The folder cannot be made.
    """
    common: dict[str, Any] = {
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
        "task_default_queue": "infer",
        "task_create_missing_queues": True,
    }
    if settings.broker.url is not None:
        url = settings.broker.url.get_secret_value()
        options: dict[str, Any] = {}
        if url.startswith("redis"):
            options = {
                "visibility_timeout": 4 * 3600,
                "socket_connect_timeout": 5,
                "socket_timeout": 30,
                "socket_keepalive": True,
            }
        return common | {"broker_url": url, "broker_transport_options": options}
    folder = embedded_broker_folder(settings)
    messages = folder / "messages"
    try:
        messages.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the embedded broker's folder {messages} cannot be made: {error.strerror}; correct "
            "[storage] path, or give this user the right to write there"
        ) from error
    return common | {
        "broker_url": "filesystem://",
        "broker_transport": "dicom_node.folder_broker:Transport",
        "broker_transport_options": {
            "data_folder_in": str(messages),
            "data_folder_out": str(messages),
            "polling_interval": _POLLING_SECONDS,
        },
    }
