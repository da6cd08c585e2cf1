"""``up``, ``intake`` and ``upkeep``: the processes of a node."""

from __future__ import annotations

import socket
import threading

import structlog

from dicom_node import supervisor
from dicom_node.cli.common import ConfigOption, plain_errors, settings
from dicom_node.db import migrate
from dicom_node.db.engine import make_engine
from dicom_node.intake import LedgerIntake
from dicom_node.node import Node
from dicom_node.outbox import SilentBell
from dicom_node.planning import Planner
from dicom_node.scp.admission import Admission, Peer
from dicom_node.scp.server import Server
from dicom_node.settings import Settings
from dicom_node.upkeep import Upkeep


@plain_errors
def up(config: ConfigOption = None) -> None:
    """Run the whole node on this machine; Ctrl-C or SIGTERM finishes what is in hand.

    With no [database] and [broker] URL nothing else is needed: the ledger is SQLite and the broker
    is embedded, both in the storage folder.
    """
    tree = settings(config)
    stop = supervisor.stop_on_signals()
    migrate.upgrade(make_engine(tree.database_url))
    node = Node.open(tree)
    structlog.get_logger("node").info(
        "node.starting", ae_title=tree.node.ae_title, port=tree.node.port,
        storage=str(tree.storage.path), routes=[route.name for route in tree.routes],
    )  # fmt: skip
    supervisor.Supervisor(tree, config, node.ledger).run(stop)


@plain_errors
def intake(config: ConfigOption = None) -> None:
    """Run only the intake: receives instances and records them."""
    tree = settings(config)
    stop = supervisor.stop_on_signals()
    receive(Node.open(tree, SilentBell()), stop)


@plain_errors
def upkeep(config: ConfigOption = None) -> None:
    """Run only the upkeep: plans, rings for due work, takes back what died, forgets."""
    tree = settings(config)
    stop = supervisor.stop_on_signals()
    node = Node.open(tree)
    planner = Planner(tree, node.ledger, node.storage, node.models)
    Upkeep(tree, node.ledger, node.storage, planner).run(stop)


def admission(tree: Settings) -> Admission:
    """Who may associate with the node."""
    return Admission(
        ae_titles=["*" if tree.node.any_called_ae_title else tree.node.ae_title],
        peers=[Peer(peer.ae_title, peer.host, frozenset(peer.may)) for peer in tree.peers],
        max_associations=tree.intake.max_associations,
        accept_any=tree.intake.unknown_peers == "accept",
    )


def receive(node: Node, stop: threading.Event) -> None:
    """Listen until `stop` is set."""
    tree = node.settings
    node.storage.sweep_incoming(older_than=24 * 3600)
    ledger_intake = LedgerIntake(
        node.ledger,
        node.storage,
        name=f"{socket.gethostname()}:{tree.node.port}",
        refuse_conflicts=tree.intake.on_conflict == "refuse",
        minimum_free_fraction=tree.storage.minimum_free_percent / 100,
        minimum_free_bytes=tree.storage.minimum_free_megabytes * 2**20,
    )
    server = Server(
        tree.node.ae_title,
        tree.node.host,
        tree.node.port,
        admission(tree),
        ledger_intake,
        node.storage,
        reader=tree.intake.reader,
        max_pdu=tree.intake.max_pdu,
        max_object_bytes=tree.intake.max_object_megabytes * 2**20,
        idle_timeout=tree.intake.idle_seconds,
    )
    server.start()
    try:
        stop.wait()
    finally:
        server.stop(grace_seconds=20)
        ledger_intake.stop()
