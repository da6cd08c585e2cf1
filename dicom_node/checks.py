"""Whether everything that the configuration names works, found out by trying it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from kombu.connection import Connection

from dicom_node.broker import broker_configuration
from dicom_node.db import revision
from dicom_node.db.engine import make_engine
from dicom_node.echo import echo
from dicom_node.errors import NodeError
from dicom_node.settings import Settings
from dicom_node.storage import Storage
from model_store.errors import ModelStoreError
from model_store.registry import ModelStore


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked."""

    what: str
    ok: bool
    message: str


def look(tree: Settings, *, destinations: bool = True) -> Iterator[Finding]:
    """Check one thing after the other."""
    yield Finding("configuration", True, _counts(tree))
    yield _try("spool", lambda: _spool(tree))
    yield _try("ledger", lambda: _ledger(tree))
    yield _try("broker", lambda: _broker(tree))
    more = () if tree.models.path is None else (tree.models.path,)
    models = ModelStore(more=more)
    for name in sorted({str(route.model) for route in tree.domain_routes()}):
        yield _try(f"model {name}", lambda name=name: _model(models, name))  # type: ignore[misc]
    for destination in tree.destinations if destinations else ():
        calling = destination.calling_ae_title or tree.node.ae_title
        outcome = echo(destination, calling)
        yield Finding(f"destination {destination.name}", outcome.ok, outcome.message)


def _try(what: str, probe: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, probe())
    except (NodeError, ModelStoreError) as error:
        return Finding(what, False, str(error))


def _counts(tree: Settings) -> str:
    words = f"{len(tree.peers)} peers, {len(tree.destinations)} destinations"
    text = f"{words}, {len(tree.routes)} routes"
    if not tree.routes:
        text += "; without routes every instance passes"
    if not tree.peers and tree.intake.unknown_peers == "reject":
        text += "; without peers every caller is rejected"
    return text


def _spool(tree: Settings) -> str:
    storage = Storage(tree.storage.path)
    path = storage.incoming()
    path.write(os.urandom(16))
    path.sync()
    path.discard()
    free = storage.free_bytes() // 2**20
    low = free < tree.storage.minimum_free_megabytes or (
        100 * storage.free_fraction() < tree.storage.minimum_free_percent
    )
    text = f"{tree.storage.path} is writable, {free} MB free"
    if low:
        raise NodeError(f"{text}: below the watermark, C-STORE would answer 0xA700")
    return text


def _ledger(tree: Settings) -> str:
    engine = make_engine(tree.database_url)
    found = revision.current(engine)
    where = engine.url.render_as_string(hide_password=True)
    if found is None:
        return f"{where} has no ledger yet; 'dicom-node up' or 'dicom-node db upgrade' makes it"
    if found != revision.REVISION:
        raise NodeError(
            f"{where} is at migration {found}, needs {revision.REVISION}: 'dicom-node db upgrade'"
        )
    return f"{where} is at migration {found}"


def _broker(tree: Settings) -> str:
    configuration = broker_configuration(tree)
    connection: Any = Connection(  # type: ignore[no-untyped-call]
        configuration["broker_url"],
        transport=configuration.get("broker_transport"),
        transport_options=configuration["broker_transport_options"],
        connect_timeout=5,
    )
    where = connection.as_uri()
    try:
        connection.ensure_connection(max_retries=1, timeout=5)
    except (OSError, *connection.recoverable_connection_errors) as error:
        raise NodeError(f"{where} cannot be reached: {type(error).__name__}") from error
    finally:
        connection.release()
    return "embedded" if tree.broker.url is None else f"{where} answers"


def _model(models: ModelStore, name: str) -> str:
    version = models.resolve(name)
    version.verify()
    return f"{version.ref}, sha256 {version.ref.sha256[:12]}..., all files as released"
