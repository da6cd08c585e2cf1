"""Whether everything that the configuration names works, found out by trying it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

from dicom_node import full_disk, running
from dicom_node.bell.broker import rings_of
from dicom_node.errors import BrokerAway, LedgerError, NodeError, RetryLater, StorageError
from dicom_node.finding import Finding
from dicom_node.full_disk import reason_and_remedy
from dicom_node.heartbeat import open_ledger
from dicom_node.intake.marker import open_spool, require_unused
from dicom_node.ledger import holders, processes, revision
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.models import Models
from dicom_node.network.request.echo import echo
from dicom_node.network.request.scu import Trouble
from dicom_node.settings import DestinationSettings, Settings
from dicom_node.spool.disk import disk_errors
from dicom_node.spool.room import Room, Watermark
from dicom_node.spool.spool import Spool, found_marker
from dicom_node.startup import (
    PortTaken,
    at_start,
    require_broker,
    require_model,
    require_moves,
    require_port,
)
from model_store.errors import ModelStoreError

_OWN_SECONDS: Final = 3.0
_SAME: Final = "the disk is full, as said of the {}"
_PROBE_BYTES: Final = 65_536
_UNTIL_THEN: Final = "until then C-STORE is answered 0xA700, and nothing is denoised"
_PROBE: Final = "dicom-node-check"
"""A queue that nobody listens to."""

_Opened = Callable[[], Ledger]
"""The ledger on the one connection of a check, from the first who asks for it until the end."""


def look(
    tree: Settings, source: Path | None = None, *, destinations: bool = True
) -> Iterator[Finding]:
    """Check one thing after the other.

    Parameters
    ----------
    tree : Settings
    source : Path, optional
        The file that they were read from, to be named.
    destinations : bool
        Whether to ask these, too.
    """
    where = "environment" if source is None else source
    yield Finding("configuration", True, f"{where}: {_counts(tree)}")
    with ExitStack() as closing:

        @cache
        def opened() -> Ledger:
            ledger = open_ledger(tree)
            closing.callback(ledger.engine.dispose)
            return ledger

        full = _FullDisk(tree, opened)
        yield full.told(_try("spool", lambda: _spool(tree, opened)))
        ledger = full.told(_try("ledger", lambda: _ledger(tree, opened)))
        yield ledger
        yield full.told(_try("broker", lambda: _broker(tree)))
        yield from _processes(ledger, opened)
        models = Models.at_hand(tree, opened)
        yield _try("models", lambda: _models(models))
        for name in sorted({str(route.model) for route in tree.domain_routes()}):
            yield _try(f"model {name}", lambda name=name: _model(models, name))  # type: ignore[misc]
    yield _try("address", lambda: _address(tree))
    for destination in tree.destinations if destinations else ():
        calling = destination.calling_ae_title or tree.node.ae_title
        outcome = echo(destination, calling)
        yield Finding(f"destination {destination.name}", outcome.ok, outcome.message)


def _try(what: str, probe: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, probe())
    except (NodeError, ModelStoreError) as error:
        return Finding(what, False, str(error))


class _FullDisk:
    """Lets a full disk be named once; of what else lies on it, only that it is the same one."""

    def __init__(self, tree: Settings, opened: _Opened) -> None:
        self._tree = tree
        self._opened = opened
        self._first: dict[int, str] = {}

    def told(self, finding: Finding) -> Finding:
        if finding.ok or full_disk.SAID not in finding.message:
            return finding
        folder = self._folder(finding.what)
        try:
            device = None if folder is None else folder.stat().st_dev
        except OSError:
            return finding
        first = finding.what if device is None else self._first.setdefault(device, finding.what)
        if first == finding.what:
            return finding
        return replace(finding, message=f"cannot be written: {_SAME.format(first)}")

    def _folder(self, what: str) -> Path | None:
        """Where it lies; None for what is on another machine."""
        if what == "ledger":
            file = holders.file_of(self._opened().engine)
            return None if file is None else file.parent
        return self._tree.storage.path


def _counts(tree: Settings) -> str:
    words = f"{len(tree.peers)} peers, {len(tree.destinations)} destinations"
    text = f"{words}, {len(tree.routes)} routes"
    if not tree.routes:
        text += "; without routes every instance passes"
    if not tree.peers and tree.intake.unknown_peers == "reject":
        text += "; without peers every caller is rejected"
    return text


def _address(tree: Settings) -> str:
    where = f"{tree.node.host}:{tree.node.port}"
    try:
        require_port(tree)
    except PortTaken:
        # A node that runs is no fault; whether it would take this caller is its own affair.
        local = "127.0.0.1" if tree.node.host in ("0.0.0.0", "::") else tree.node.host  # noqa: S104
        here = DestinationSettings(
            name="self", ae_title=tree.node.ae_title, host=local, port=tree.node.port,
            timeout_seconds=_OWN_SECONDS,
        )  # fmt: skip
        outcome = echo(here, tree.node.ae_title)
        if outcome.trouble in (None, Trouble.REJECTED):
            return f"a node listens at {where}"
        raise
    return f"{where} is free"


def _spool(tree: Settings, opened: _Opened) -> str:
    root = tree.storage.path
    if _is_first_start(root, opened):
        return _place_for_spool(root)
    if full_disk.is_full(root):
        raise NodeError(f"{root} cannot be written: {full_disk.SAID}; {_UNTIL_THEN}")
    storage = _storage(root, opened)
    path = storage.incoming()
    written = os.urandom(_PROBE_BYTES)
    try:
        path.write(written)
        path.sync()
        with disk_errors("a file of the spool cannot be read"):
            same = path.path.read_bytes() == written
    finally:
        path.discard()
    if not same:
        raise StorageError(f"{tree.storage.path} does not hold what was written a moment ago")
    lacking = Room(storage, Watermark.of(tree.storage)).lacking()
    if lacking:
        raise NodeError(f"{root}: {lacking}; {_UNTIL_THEN}")
    return f"{root} is writable, {storage.free_bytes() // 2**20} MB free"


def _is_first_start(root: Path, opened: _Opened) -> bool:
    """Neither a ledger nor a spool: whoever only looks makes none, a volume may be away."""
    if found_marker(root) is not None:
        return False
    try:
        return revision.current(opened().engine) is None
    except LedgerError as error:
        raise NodeError(
            f"whether a spool is to be in {root} is not known: the ledger says it"
        ) from error


def _place_for_spool(root: Path) -> str:
    """Whether its folder could be made, found out by making the first of those that lack."""
    whole = root.absolute()
    if whole.exists() and not (whole.is_dir() and os.access(whole, os.W_OK | os.X_OK)):
        raise NodeError(f"[storage] path: {root} is no folder that can be written")
    lacking = [each for each in (whole, *whole.parents) if not each.exists()]
    try:
        for first in lacking[-1:]:
            first.mkdir()
            first.rmdir()
    except OSError as error:
        why = reason_and_remedy(error, "correct it, or give this user the right to write there")
        raise NodeError(f"[storage] path: {root} cannot be made: {why}") from error
    return (
        f"{root} holds no spool yet; 'dicom-node up' makes it; if it held one before, mount its "
        "volume first"
    )


def _storage(root: Path, opened: _Opened) -> Spool:
    """The spool of the ledger, if there is a ledger yet."""
    ledger = opened()
    try:
        if revision.current(ledger.engine) != revision.REVISION:
            return Spool(root)
        return open_spool(root, ledger)
    except LedgerError:  # which has a finding of its own
        return Spool(root)


def _ledger(tree: Settings, opened: _Opened) -> str:
    engine = opened().engine
    try:
        found = revision.current(engine)
    except LedgerError as error:
        raise at_start(error) from error
    where = engine.url.render_as_string(hide_password=True)
    if found is None:
        require_unused(tree.storage.path, engine)
        return f"{where} has no ledger yet; {revision.HOW_TO_MAKE_ONE}"
    revision.require(found)
    _write_and_read(opened())
    return f"{where} is at migration {found}, and takes what is written"


def _write_and_read(ledger: Ledger) -> None:
    """As reception does, and no longer: what only answers may be locked, full or read-only."""
    if not processes.can_be_written(ledger):
        raise LedgerError("[database] url: the ledger does not hold what was written a moment ago")


def _processes(ledger: Finding, opened: _Opened) -> Iterator[Finding]:
    if not ledger.ok:
        same = ledger.message.removeprefix("cannot be written: ")
        why = same if full_disk.SAID.partition(";")[0] in same else "the ledger says it"
        yield Finding("processes", False, f"whether they run is not known: {why}")
        return
    try:
        if revision.current(opened().engine) is None:
            found = [running.NOTHING]
        else:
            found = list(running.roles(opened()))
    except NodeError as error:
        found = [Finding("processes", False, str(error))]
    yield from found


def _broker(tree: Settings) -> str:
    if tree.broker.url is None and found_marker(tree.storage.path) is None:
        return "embedded, in the spool"
    where = require_broker(tree)
    rings = rings_of(tree)
    try:
        rings.put(_PROBE, 0)
        rings.take(_PROBE)
    except BrokerAway as error:
        raise RetryLater(f"[broker] url: {where} answers, but takes no ring: {error}") from error
    return "embedded" if tree.broker.url is None else f"{where} answers"


def _models(models: Models) -> str:
    models.content.refresh()
    require_moves(models)
    keys = [key for key in models.trust.keys().values() if not key.revoked]
    found = [models.origin(version) for version in models.versions()]
    refused = [f"{name}: {why}" for name, why in models.refused().items()]
    text = f"{found.count('package')} of the package, {found.count('store')} in {models.folder}"
    text += f", {len(keys)} trusted keys"
    return "; not used: ".join([text, *refused])


def _model(models: Models, name: str) -> str:
    require_model(models, name)
    version = models.resolve(name)
    key = models.signer(version)
    signed = "not signed" if key is None else f"signed by {key.name} ({key.key})"
    return f"{version.ref}, sha256 {version.ref.sha256[:12]}..., all files as released, {signed}"
