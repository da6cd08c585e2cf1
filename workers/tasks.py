"""The tasks: a ring in, nothing out. Whoever is woken works while anything is due."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from celery.worker import state

from dicom_node import signs
from dicom_node.bell.outbox import Queue
from dicom_node.errors import NodeError, OtherLedger
from model_store.engines.base import DeviceLostError
from workers.app import app

_DEVICE_LOST: Final = 70
"""Exit status of a worker whose GPU is lost: EX_SOFTWARE."""

_OTHER_MIGRATION: Final = 75
"""Exit status of a worker of another release than the ledger: EX_TEMPFAIL."""


@app.task(name=Queue.INFER.value)  # type: ignore[untyped-decorator]
def infer(_ledger_id: int) -> None:
    """Denoise due batches, the most urgent first. What is left by a fault is rung for again.

    After a lost device the worker ends: only a fresh process can use the GPU again.
    """
    try:
        _work(_infer_next)
    except OtherLedger as error:
        _end("worker", error)
    except NodeError as error:
        structlog.get_logger("worker").error(
            "batch.interrupted", error=str(error), next="upkeep rings again"
        )
    except DeviceLostError as error:
        structlog.get_logger("worker").error(
            "device.lost", error=str(error), next="this worker ends"
        )
        state.should_stop = _DEVICE_LOST


@app.task(name=Queue.DELIVER.value)  # type: ignore[untyped-decorator]
def deliver(_ledger_id: int) -> None:
    """Deliver due parcels, the most urgent first. What is left by a fault is rung for again."""
    try:
        _work(app.courier.run_next)
    except OtherLedger as error:
        _end("delivery", error)
    except NodeError as error:
        structlog.get_logger("delivery").error(
            "parcel.interrupted", error=str(error), next="upkeep rings again"
        )


def _infer_next() -> bool:
    signs.own().give(signs.PIECE)  # what listens for rings waits for it
    return app.pipeline.run_next()


def _end(name: str, error: OtherLedger) -> None:
    structlog.get_logger(name).critical(
        "ledger.other", error=str(error),
        next="this worker ends; it is started again by whoever supervises it",
    )  # fmt: skip
    state.should_stop = _OTHER_MIGRATION


def _work(step: Callable[[], bool]) -> None:
    """Go on until nothing is due, or the worker is told to stop."""
    while not _stops() and step():
        pass


def _stops() -> bool:
    # Celery keeps an exit status there, and 0 is one.
    flags = (state.should_stop, state.should_terminate)
    return any(flag is not None and flag is not False for flag in flags)
