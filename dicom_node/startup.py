"""What has to be right before a node starts; each fault is one message with its key and remedy."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from importlib import import_module
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

from dicom_node.broker import broker_configuration
from dicom_node.errors import ConfigError, LedgerError, OtherMigration, RetryLater
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
_BROKER_SECONDS: Final = 5
_BROKERS: Final = (
    "use redis://HOST:PORT/0, or leave it out for the embedded broker, which needs no server"
)


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
            "ledger lacks: it was lost, or restored from an older backup, and aliases would stand "
            "for other versions than before; 'dicom-node model index' puts them back"
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
            raise PortTaken(
                f"[node] port {port} is in use on {host}: is a node running already? Stop what "
                "listens there, or choose another port"
            ) from error
        raise ConfigError(
            f"[node] host {host} cannot be listened on ({error.strerror}); use an address of "
            "this machine, or 0.0.0.0 for all of them"
        ) from error


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
    if tree.broker.url is None:
        broker_configuration(tree)
        return
    _connection(tree).release()


def require_broker(tree: Settings) -> str:
    """Connect to the broker; returns where it is, without its password.

    Raises
    ------
    ConfigError
        As `require_bell`.
    RetryLater
        It does not answer.
    """
    from kombu.exceptions import KombuError  # noqa: PLC0415

    connection = _connection(tree)
    where = str(connection.as_uri())
    try:
        connection.ensure_connection(max_retries=1, timeout=_BROKER_SECONDS)
    except (OSError, KombuError, *connection.recoverable_connection_errors) as error:
        url = str(broker_configuration(tree)["broker_url"])
        said = _without_password(str(error).partition("\n")[0], url) or type(error).__name__
        raise RetryLater(
            f"[broker] url: {where} cannot be reached: {said}; start it, or correct the address"
        ) from error
    finally:
        connection.release()
    return where


def _connection(tree: Settings) -> Any:
    """The broker's connection, with the transport that it needs; nothing is connected yet."""
    from kombu.connection import Connection  # noqa: PLC0415 -- keeps start-up light

    configuration = broker_configuration(tree)
    url = str(configuration["broker_url"])
    kind = url.partition("://")[0] if "://" in url else ""
    if not kind:
        raise ConfigError(f"[broker] url is not a URL; {_BROKERS}")
    try:
        if kind.startswith(("redis", "sentinel")):
            import_module("redis")  # kombu does without, until it stumbles over it
        connection = Connection(  # type: ignore[no-untyped-call]
            url,
            transport=configuration.get("broker_transport"),
            transport_options=configuration["broker_transport_options"],
            connect_timeout=_BROKER_SECONDS,
        )
        _ = connection.transport  # made when it is first asked for
    except ImportError as error:
        package = error.name or kind
        raise ConfigError(
            f"[broker] url: {kind}:// needs the Python package {package!r}, which is not installed "
            f"where the node is; a plain 'pip install' of the node brings what redis:// needs, and "
            f"'pip install {package}' this one; or {_BROKERS}"
        ) from error
    except (KeyError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"[broker] url: {kind}:// cannot be used ({type(error).__name__}); {_BROKERS}"
        ) from error
    return connection


def at_start(error: LedgerError) -> LedgerError:
    """Say of a ledger that cannot be used at start what to do."""
    if isinstance(error, OtherMigration):
        return error
    return LedgerError(
        f"{error}; start the database, or correct the address; without the key "
        "the ledger is SQLite in [storage] path"
    )


def _without_password(text: str, url: str) -> str:
    try:
        password = urlsplit(url).password
    except ValueError:
        return ""
    return text.replace(password, "***") if password else text
