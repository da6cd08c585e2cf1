"""Structured log lines on standard error, JSON or for a console; never patient data."""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path
from traceback import extract_tb
from types import TracebackType
from typing import Final

import structlog

from dicom_node.errors import NodeError
from dicom_node.settings import LogSettings
from model_store.errors import ModelStoreError

_SPOKEN = (NodeError, ModelStoreError)
"""Errors whose messages are our own, and name objects by UID only."""

_MOST_CAUSES = 8
_FORM: Final = {"json": False}


def configure(settings: LogSettings) -> None:
    """Configure structlog and the standard library's loggers once, at the start of a process.

    pynetdicom and pydicom may name attribute values in their messages, so none of theirs pass.
    Nor do the messages of exceptions that are not ours: a trace says where it was and what kind.
    """
    _FORM["json"] = settings.format == "json"
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
    ]
    last: structlog.typing.Processor
    shared.append(structlog.processors.ExceptionRenderer(_trace))
    if settings.format == "json":
        last = structlog.processors.JSONRenderer()
    else:
        last = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_logger_name,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    logging.captureWarnings(True)
    for name in ("pynetdicom", "pydicom", "py.warnings"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name in ("celery", "alembic", "amqp", "PIL"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("kombu").setLevel(logging.ERROR)
    logging.getLogger("celery.app.trace").addFilter(_plain_task)
    sys.excepthook = _process_crashed
    threading.excepthook = _thread_crashed


def is_json() -> bool:
    """Whether every line that this process says is to be one object."""
    return _FORM["json"]


def _trace(exc_info: structlog.typing.ExcInfo) -> str:
    """Where an exception came from: places and kinds, of foreign exceptions no message."""
    parts: list[str] = []
    error: BaseException | None = exc_info[1]
    while error is not None and len(parts) < _MOST_CAUSES:
        places = "".join(
            f"\n  {Path(frame.filename).name}:{frame.lineno} in {frame.name}"
            for frame in extract_tb(error.__traceback__)
        )
        message = f": {error}" if isinstance(error, _SPOKEN) else ""
        parts.append(f"{type(error).__name__}{message}{places}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\ncaused by ".join(parts)


def _plain_task(record: logging.LogRecord) -> bool:
    """Leave out what Celery puts into the line: the exception's message, the task's arguments."""
    if record.exc_info and isinstance(record.args, dict):
        record.msg = f"task {record.args.get('name')} raised unexpected"
        record.args = ()
        record.__dict__.pop("data", None)
    return True


def _process_crashed(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    structlog.get_logger("node").critical("process.crashed", exc_info=error)


def _thread_crashed(what: threading.ExceptHookArgs) -> None:
    structlog.get_logger("node").critical("thread.crashed", exc_info=what.exc_value)
