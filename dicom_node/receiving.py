"""The intake process: listens, admits, and hands what arrives to the ledger's intake."""

from __future__ import annotations

import socket
import threading
from typing import Final

import structlog

from dicom_node import allocator, signs
from dicom_node.errors import LedgerError, OtherLedger
from dicom_node.heartbeat import Heartbeat, open_ledger
from dicom_node.intake.intake import LedgerIntake
from dicom_node.ledger.processes import Role
from dicom_node.ledger.transactions import LOOK_AGAIN_SECONDS
from dicom_node.network.accept.admission import Admission, Peer
from dicom_node.network.accept.server import Server
from dicom_node.node import Node
from dicom_node.settings import Settings

_ENDS: Final = "intake ends; it is started again by whoever supervises it"


def admission(tree: Settings) -> Admission:
    """Who may associate with the node."""
    return Admission(
        ae_titles=["*" if tree.node.any_called_ae_title else tree.node.ae_title],
        peers=[Peer(peer.ae_title, peer.host, frozenset(peer.may)) for peer in tree.peers],
        max_associations=tree.intake.max_associations,
        accept_any=tree.intake.unknown_peers == "accept",
    )


def receive(node: Node, stop: threading.Event) -> None:
    """Listen until `stop` is set.

    Raises
    ------
    OtherLedger
        Somebody has migrated or replaced the ledger meanwhile; what was sent since was answered
        0xA700.
    """
    tree = node.settings
    name = f"{socket.gethostname()}:{tree.node.port}"
    node.spool.sweep_incoming(older_than=24 * 3600)
    ledger_intake = LedgerIntake(
        node.ledger,
        node.spool,
        name=name,
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
        node.spool,
        reader=tree.intake.reader,
        max_pdu=tree.intake.max_pdu,
        max_object_bytes=tree.intake.max_object_megabytes * 2**20,
        idle_timeout=tree.intake.idle_seconds,
        after_burst=allocator.trim,
        on_round=signs.own().give,
    )
    server.start()
    with Heartbeat(open_ledger(tree), Role.INTAKE, name):
        try:
            while not stop.wait(LOOK_AGAIN_SECONDS):
                _look(node)
        finally:
            server.stop(grace_seconds=20)
            ledger_intake.stop()


def _look(node: Node) -> None:
    """Notice also while nothing arrives that this process is of another release."""
    try:
        node.ledger.require_still()
    except OtherLedger as error:
        structlog.get_logger("intake").critical(
            "ledger.other", error=str(error), next=_ENDS, answer="0xA700"
        )
        raise
    except LedgerError as error:
        structlog.get_logger("intake").error("ledger.unreachable", error=str(error))
