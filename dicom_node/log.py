"""Structured log lines on standard error, JSON or for a console; never patient data."""

from __future__ import annotations

import logging
import sys

import structlog

from dicom_node.settings import LogSettings


def configure(settings: LogSettings) -> None:
    """Configure structlog and the standard library's loggers once, at the start of a process.

    pynetdicom and pydicom may name attribute values in their messages, so of theirs only errors
    pass, and those without arguments that hold values.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
    ]
    last: structlog.typing.Processor
    if settings.format == "json":
        shared.append(structlog.processors.format_exc_info)
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
