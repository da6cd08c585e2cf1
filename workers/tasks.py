"""The tasks: a ledger id in, nothing else; nothing out, the ledger knows."""

from __future__ import annotations

from typing import Final

import structlog
from celery.worker import state

from dicom_node.errors import NodeError, OtherMigration
from dicom_node.outbox import Queue
from model_store.engines.base import DeviceLostError
from workers.app import app

_DEVICE_LOST: Final = 70
"""Exit status of a worker whose GPU is lost: EX_SOFTWARE."""

_OTHER_MIGRATION: Final = 75
"""Exit status of a worker of another release than the ledger: EX_TEMPFAIL."""


@app.task(name=Queue.INFER.value)  # type: ignore[untyped-decorator]
def infer(batch_id: int) -> None:
    """Denoise a batch. A fault that reaches here leaves it to upkeep to give it out again.

    After a lost device the worker ends: only a fresh process can use the GPU again.
    """
    try:
        app.pipeline.run(batch_id)
    except OtherMigration as error:
        _end("worker", error)
    except NodeError as error:
        structlog.get_logger("worker").error(
            "batch.interrupted", batch=batch_id, error=str(error), next="upkeep rings again"
        )
    except DeviceLostError as error:
        structlog.get_logger("worker").error(
            "device.lost", batch=batch_id, error=str(error), next="this worker ends"
        )
        state.should_stop = _DEVICE_LOST


@app.task(name=Queue.DELIVER.value)  # type: ignore[untyped-decorator]
def deliver(parcel_id: int) -> None:
    """Deliver a parcel. A fault that reaches here leaves it to upkeep to give it out again."""
    try:
        app.courier.run(parcel_id)
    except OtherMigration as error:
        _end("delivery", error)
    except NodeError as error:
        structlog.get_logger("delivery").error(
            "parcel.interrupted", parcel=parcel_id, error=str(error), next="upkeep rings again"
        )


def _end(name: str, error: OtherMigration) -> None:
    structlog.get_logger(name).critical(
        "ledger.migrated", error=str(error),
        next="this worker ends; it is started again by whoever supervises it",
    )  # fmt: skip
    state.should_stop = _OTHER_MIGRATION
