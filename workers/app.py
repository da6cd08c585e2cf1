"""The Celery application: ``celery -A workers.app worker -Q infer`` (or ``deliver``).

It is configured from the ``node.toml`` that ``DICOM_NODE_CONFIG`` names, when a worker starts and
not on import.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NoReturn

import structlog
from celery import Celery
from celery.apps import worker as program
from celery.loaders.app import AppLoader
from celery.signals import (
    celeryd_init,
    setup_logging,
    worker_init,
    worker_shutdown,
    worker_shutting_down,
)

from dicom_node import log, signs
from dicom_node.bell.broker import broker_configuration
from dicom_node.errors import ConfigError, NodeError, OtherLedger
from dicom_node.heartbeat import Heartbeat, open_ledger
from dicom_node.ledger.bounds import WORK
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.processes import Role
from dicom_node.node import Node
from dicom_node.settings import Settings, load
from dicom_node.settings.source import require_source, source_of
from dicom_node.startup import require_bell
from dicom_node.upkeep.taking_back import take_back_gone
from workers.deliver import Courier
from workers.engines import Denoisers
from workers.pipeline import Pipeline
from workers.shadow import Shadows


class NodeLoader(AppLoader):  # type: ignore[misc]
    """Reads Celery's configuration from the node's settings."""

    def read_configuration(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Called by Celery when its configuration is first used."""
        try:
            settings = load(source_of())
            log.configure(settings.log)
            return broker_configuration(settings)
        except ConfigError as error:
            _refuse(error)


def _refuse(error: NodeError) -> NoReturn:
    """End the process; Celery would log a fault of a signal's handler and go on."""
    if log.is_json():
        structlog.get_logger("worker").critical("process.refused", error=str(error))
        raise SystemExit(1) from error
    raise SystemExit(f"error: {error}") from error


class NodeApp(Celery):  # type: ignore[misc]
    """A Celery application that owns the parts that its tasks use, made on first use."""

    @cached_property
    def settings(self) -> Settings:
        """The settings tree of this process."""
        return load(source_of())

    @cached_property
    def node(self) -> Node:
        """Ledger, spool and models of this process."""
        return Node.open(self.settings, bounds=WORK)

    @cached_property
    def pipeline(self) -> Pipeline:
        """What the ``infer`` task runs."""
        looked_at = Denoisers(self.node.models, self.settings.workers)
        return Pipeline(self.node, self.denoisers, Shadows(self.node, looked_at))

    @cached_property
    def denoisers(self) -> Denoisers:
        """Engines of this process."""
        return Denoisers(self.node.models, self.settings.workers)

    @cached_property
    def courier(self) -> Courier:
        """What the ``deliver`` task runs."""
        return Courier(self.node)

    heartbeat: Heartbeat | None = None
    """Of a worker, while it runs."""


app = NodeApp("workers", loader=NodeLoader, include=["workers.tasks"])


@setup_logging.connect(weak=False)  # type: ignore[untyped-decorator]
def _configure_logging(**_: Any) -> None:
    log.configure(app.settings.log)


@celeryd_init.connect(weak=False)  # type: ignore[untyped-decorator]
def _require(**_: Any) -> None:
    try:
        require_source()
        require_bell(app.settings)
        make_engine(app.settings.database_url).dispose()
    except ConfigError as error:
        _refuse(error)


@worker_init.connect(weak=False)  # type: ignore[untyped-decorator]
def _warm(sender: Any = None, **_: Any) -> None:
    log.configure(app.settings.log)
    if log.is_json() and sender is not None:
        sender.quiet = True
        program.safe_say = _leave_unsaid
    queues = sender.app.amqp.queues.consume_from if sender is not None else {}
    for role in (Role.INFER, Role.DELIVER):
        if role.value in queues:
            app.heartbeat = Heartbeat(open_ledger(app.settings), role, sender.hostname)
            app.heartbeat.begin()
            break
    _require_migration()
    if Role.INFER.value in queues:
        try:
            app.denoisers.warm({route.model for route in app.settings.domain_routes()})
        except NodeError as error:
            structlog.get_logger("engines").error(
                "engine.not_ready", error=str(error), next="it is built with the first batch"
            )


def _leave_unsaid(_message: str, _file: Any = None) -> None:
    """What Celery says beside the log, of a signal that it got."""


@worker_shutting_down.connect(weak=False)  # type: ignore[untyped-decorator]
def _end(**_: Any) -> None:
    signs.own().ending()


@worker_shutdown.connect(weak=False)  # type: ignore[untyped-decorator]
def _ended(**_: Any) -> None:
    structlog.get_logger("worker").info("worker.stopped")
    if app.heartbeat is not None:
        app.heartbeat.end()


def _require_migration() -> None:
    """Do not start on a ledger of another release; one that is away is waited for.

    What a predecessor held is due at once, and does not count against anybody's associations.
    """
    try:
        app.node.ledger.require_still()
        take_back_gone(app.node.ledger)
    except OtherLedger as error:
        _refuse(error)
    except NodeError as error:
        structlog.get_logger("worker").error("ledger.unreachable", error=str(error))
