"""``up``, ``intake`` and ``upkeep``: the processes of a node.

Each imports what only it needs when it starts: a process is up the sooner, the less it loads.
"""
# ruff: noqa: PLC0415

from __future__ import annotations

import socket
from typing import Final

import structlog

from dicom_node.bell.outbox import SilentBell
from dicom_node.cli.common import ConfigOption, plain_errors, runs, settings
from dicom_node.errors import LedgerError
from dicom_node.heartbeat import Heartbeat, open_ledger
from dicom_node.ledger import bounds, revision
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.processes import Role
from dicom_node.node import Node
from dicom_node.process_names import process_name
from dicom_node.settings.source import source_of

_LONGEST_LOOK: Final = 300.0
"""Seconds that planning may look at one instance before it counts as hung."""


@plain_errors
@runs
def up(config: ConfigOption = None) -> None:
    """Run the whole node on this machine; Ctrl-C or SIGTERM finishes what is in hand.

    With no [database] and [broker] URL nothing else is needed: the ledger is SQLite and the broker
    is embedded, both in the storage folder.
    """
    from dicom_node import startup, supervisor
    from dicom_node.intake.marker import require_unused

    tree = settings(config)
    stop = supervisor.stop_on_signals()
    engine = make_engine(tree.database_url, bounds.MIGRATION)
    try:
        found = revision.current(engine)
    except LedgerError as error:
        raise startup.at_start(error) from error
    if found is None:
        require_unused(tree.storage.path, engine)
    try:
        if found != revision.REVISION:
            from dicom_node.ledger import migrate

            migrate.upgrade(engine)
        if found is None:
            structlog.get_logger("node").warning(
                "ledger.made", where=engine.url.render_as_string(hide_password=True),
                meaning="a new, empty one; if there was one before, stop, mount its volume and "
                "start again",
            )  # fmt: skip
    except LedgerError as error:
        raise startup.at_start(error) from error
    engine.dispose()
    node = Node.open(tree, bounds=bounds.WORK)
    startup.require_startable(tree, node.models)
    structlog.get_logger("node").info(
        "node.starting", configuration=str(source_of(config) or "environment"),
        ae_title=tree.node.ae_title, port=tree.node.port, storage=str(tree.storage.path),
        routes=[route.name for route in tree.routes],
    )  # fmt: skip
    heartbeat = Heartbeat(open_ledger(tree), Role.UP, socket.gethostname())
    supervisor.Supervisor(tree, config, node.ledger, heartbeat).run(stop)


@plain_errors
@runs
def intake(config: ConfigOption = None) -> None:
    """Run only the intake: receives instances and records them."""
    from dicom_node import allocator, startup, supervisor
    from dicom_node.receiving import receive

    allocator.bound()
    tree = settings(config)
    startup.require_bell(tree)
    stop = supervisor.stop_on_signals()
    receive(Node.open(tree, SilentBell(), bounds=bounds.INTAKE), stop)


@plain_errors
@runs
def upkeep(config: ConfigOption = None) -> None:
    """Run only the upkeep: plans, rings for due work, takes back what died, forgets."""
    from dicom_node import startup, supervisor
    from dicom_node.routing.planning import Planner
    from dicom_node.upkeep.upkeep import Upkeep
    from dicom_node.watchdog import Watchdog

    tree = settings(config)
    startup.require_bell(tree)
    stop = supervisor.stop_on_signals()
    node = Node.open(tree, bounds=bounds.WORK)
    node.models.register(process_name())
    watch = Watchdog(_LONGEST_LOOK)
    planner = Planner(tree, node.ledger, node.spool, node.models, watch)
    with Heartbeat(open_ledger(tree), Role.UPKEEP, socket.gethostname()):
        Upkeep(tree, node.ledger, node.spool, planner).run(stop)
