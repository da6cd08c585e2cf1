"""The tasks: a ledger id in, nothing else; nothing out, the ledger knows."""

from __future__ import annotations

import structlog

from dicom_node.errors import NodeError
from dicom_node.outbox import Queue
from workers.app import app


@app.task(name=Queue.INFER.value)  # type: ignore[untyped-decorator]
def infer(batch_id: int) -> None:
    """Denoise a batch. A fault that reaches here leaves it to upkeep to give it out again."""
    try:
        app.pipeline.run(batch_id)
    except NodeError as error:
        structlog.get_logger("worker").error(
            "batch.interrupted", batch=batch_id, error=str(error), next="upkeep rings again"
        )


@app.task(name=Queue.DELIVER.value)  # type: ignore[untyped-decorator]
def deliver(parcel_id: int) -> None:
    """Deliver a parcel. A fault that reaches here leaves it to upkeep to give it out again."""
    try:
        app.courier.run(parcel_id)
    except NodeError as error:
        structlog.get_logger("delivery").error(
            "parcel.interrupted", parcel=parcel_id, error=str(error), next="upkeep rings again"
        )
