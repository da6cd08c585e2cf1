"""What has to be right before a node starts; each fault is one message with its key and remedy."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from typing import Final

import structlog

from dicom_node import full_disk
from dicom_node.bell.broker import broker_configuration, rings_of
from dicom_node.bell.outbox import Queue
from dicom_node.errors import BrokerAway, ConfigError, LedgerError, OtherLedger, RetryLater
from dicom_node.listeners import listener
from dicom_node.models import Models
from dicom_node.settings import Settings
from model_store.errors import (
    ModelAwayError,
    ModelIntegrityError,
    ModelStoreError,
    QuarantinedError,
    RetiredModelError,
    SignatureError,
    UnknownModelError,
)

PORT_SECONDS: Final = 5.0
"""How long a node that starts waits for its port."""

_PASSING: Final = (
    ModelAwayError, ModelIntegrityError, QuarantinedError, RetiredModelError, SignatureError,
)  # fmt: skip
"""What happens to a version that was usable; the node receives all the same."""

_LOOK_SECONDS: Final = 0.2


class PortTaken(ConfigError):
    """Something listens on the node's port already."""


def require_startable(tree: Settings, models: Models) -> None:
    """Refuse to start what could not work.

    A destination that is away is no reason: results wait for it. Nor is a model that worked before
    and was retired, changed, or is out of reach: what needs it waits or fails, the rest goes on.

    Raises
    ------
    ConfigError
        The port is taken, a route's model is unknown or of nobody trusted, the ledger lacks moves
        of aliases, or the bell cannot be made (`require_bell`).
    RetryLater
        The broker does not answer.
    """
    _wait_for_port(tree)
    require_moves(models)
    for route in tree.domain_routes():
        try:
            require_model(models, str(route.model), route.name)
        except ConfigError as error:
            if not isinstance(error.__cause__, _PASSING):
                raise
            structlog.get_logger("node").error("model.unusable", why=str(error))
    if tree.broker.url is not None:
        require_broker(tree)


def require_moves(models: Models) -> None:
    """Refuse a ledger that knows less of the aliases than the history beside the versions.

    It was lost, or restored from an older backup; aliases would stand for other versions than those
    that somebody promoted.

    Raises
    ------
    ConfigError
        That is so; the message says what to do.
    """
    try:
        entries = models.content.history()
    except ModelStoreError as error:
        structlog.get_logger("node").error("history.unreadable", why=str(error))
        return
    known = {str(alias): move.serial for alias, move in models.moves().items()}
    lacking = {
        str(entry["alias"])
        for entry in entries
        if "alias" in entry and entry.get("serial", 0) > known.get(str(entry["alias"]), 0)
    }
    if lacking:
        raise ConfigError(
            f"the history in {models.folder} has moves of {', '.join(sorted(lacking))} that the "
            "ledger lacks: the ledger was lost, or restored from an older backup, and aliases "
            "would stand for other versions than before; 'dicom-node model index' puts them back"
        )


def _wait_for_port(tree: Settings) -> None:
    """Give a node that was told to stop a moment to let its port go."""
    deadline = time.monotonic() + PORT_SECONDS
    while True:
        try:
            require_port(tree)
        except PortTaken:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_LOOK_SECONDS)
        else:
            return


def require_port(tree: Settings) -> None:
    """Refuse an address that cannot be listened on.

    Raises
    ------
    PortTaken
        Another process listens on it.
    ConfigError
        It is not this machine's, or not allowed.
    """
    host, port = tree.node.host, tree.node.port
    try:
        with closing(socket.create_server((host, port))):
            return
    except PermissionError as error:
        raise ConfigError(
            f"[node] port {port} needs more privileges than this process has; use one from 1024 "
            "up, such as 11112"
        ) from error
    except OSError as error:
        if error.errno is not None and "in use" in (error.strerror or ""):
            raise PortTaken(f"[node] port {port} is in use on {host}{_by_whom(port)}") from error
        raise ConfigError(
            f"[node] host {host} cannot be listened on ({error.strerror}); use an address of "
            "this machine, or 0.0.0.0 for all of them"
        ) from error


def _by_whom(port: int) -> str:
    holder = listener(port)
    if holder is None:
        return ": is a node running already? Stop what listens there, or choose another port"
    if holder.stopped:
        return f" by {holder}, which answers nobody: {holder.remedy}"
    return (
        f" by {holder}: is a node running already, or was one killed and this left of it? End it "
        f"with 'kill {holder.pid}', or choose another port"
    )


def require_model(models: Models, name: str, route: str | None = None) -> None:
    """Refuse a model that new work cannot be planned with.

    Raises
    ------
    ConfigError
        It is not in the store, or may not be used; the message says why and what to do.
    """
    try:
        models.resolve(name)
    except ModelStoreError as error:
        whose = "" if route is None else f"route {route!r}: "
        remedy = "; mend the route's model, or name the folder that has it in [models] path"
        unknown = isinstance(error, UnknownModelError)
        raise ConfigError(f"{whose}model {name}: {error}{remedy if unknown else ''}") from error


def require_bell(tree: Settings) -> None:
    """Refuse a bell that this process could not make, whether or not it will ring it itself.

    A node that receives while none of its processes can hear of work answers success to scanners
    and does nothing. A broker that is away is another matter: it comes back.

    Raises
    ------
    ConfigError
        [broker] url is not a URL of a kind of broker that is known, a Python package that it needs
        is not installed, or the embedded broker's folder cannot be made.
    """
    broker_configuration(tree)
    rings_of(tree)


def require_broker(tree: Settings) -> str:
    """Connect to the broker; returns where it is, without its password.

    Raises
    ------
    ConfigError
        As `require_bell`.
    RetryLater
        It does not answer.
    """
    broker_configuration(tree)
    rings = rings_of(tree)
    try:
        rings.waiting(Queue.INFER)
    except BrokerAway as error:
        raise RetryLater(
            f"[broker] url: {rings.where} cannot be reached: {error}; start it, or correct the "
            "address"
        ) from error
    return rings.where


def at_start(error: LedgerError) -> LedgerError:
    """Say of a ledger that cannot be used at start what to do."""
    if isinstance(error, OtherLedger) or full_disk.SAID in str(error):
        return error
    return LedgerError(
        f"{error}; start the database, or correct the address; without the key "
        "the ledger is SQLite in [storage] path"
    )
