"""Which model version a route's name stands for now, and whether it may be used.

What an alias stands for is in the ledger, and for an alias that was never moved there in the
``aliases.toml`` of the package or of the node's own store. Who asks for a version is given it only
if its bytes are those that were released and, outside the package, a trusted key signed them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import structlog

from dicom_node.bell.outbox import SilentBell
from dicom_node.errors import NodeError, VersionTaken
from dicom_node.known_models import KnownModels
from dicom_node.ledger import alias_moves, model_versions, revision
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.own_models import OwnModels
from dicom_node.settings import Settings
from model_store.content import ContentStore
from model_store.errors import (
    ManifestError,
    ModelAwayError,
    ModelIntegrityError,
    ModelStoreError,
    RetiredModelError,
    SignatureError,
    UnknownKeyError,
    UnknownModelError,
    UnsignedError,
)
from model_store.ref import ModelName
from model_store.registry.records import Move, RegisteredVersion
from model_store.store import ModelStore, ModelVersion, packaged_zoo
from model_store.trust.key import PublicKey
from model_store.trust.quarantine import Quarantine
from model_store.trust.signed_only import SignedOnly, trust_store, unreadable
from model_store.trust.store import verify

ALIAS_SECONDS: Final = 1.0
"""A moved alias is seen after at most this long."""

CHECK_SECONDS: Final = 30.0
"""For new work a version is looked at again after this long; workers look each time."""


class Models:
    """The model versions that a node may use; made by `open`.

    Parameters
    ----------
    settings : Settings
    ledger : Ledger or None
        Where aliases and retired versions are; None: only the alias files count.
    clock : callable
        Seconds, for how long something was remembered.

    Raises
    ------
    ConfigError
        ``[models] path`` is a URL of a kind that cannot be read here.
    """

    def __init__(
        self, settings: Settings, ledger: Ledger | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings.models
        self._ledger = ledger
        self._clock = clock
        self._own = OwnModels(settings, clock)
        self._quarantine = Quarantine(
            settings.storage.path / "quarantine", "dicom-node model verify"
        )
        folders = () if settings.models.trust is None else (settings.models.trust,)
        self.trust: Final = trust_store(*folders)
        accepted = (self.folder,) if settings.models.accepts_unsigned else ()
        self._guard = SignedOnly(self.trust, self._quarantine, (packaged_zoo(), *accepted))
        self._files: Mapping[ModelName, ModelName] | None = None
        self._known: tuple[float, KnownModels] | None = None
        self._admitted: dict[ModelName, tuple[float, ModelVersion]] = {}
        self._log = structlog.get_logger("models")

    @classmethod
    def open(cls, settings: Settings, ledger: Ledger) -> Models:
        """The models of a node that has a ledger."""
        return cls(settings, ledger)

    @classmethod
    def without_ledger(cls, settings: Settings) -> Models:
        """The models as alias files and folders have them."""
        return cls(settings, None)

    @classmethod
    def at_hand(cls, settings: Settings, opened: Callable[[], Ledger] | None = None) -> Models:
        """The models of a node that may not have run yet, or whose database is away.

        `opened` gives the ledger to ask; absent, it is opened here.
        """
        if settings.database.url is None and not (settings.storage.path / "ledger.sqlite").exists():
            return cls.without_ledger(settings)
        try:
            if opened is None:
                ledger = Ledger(make_engine(settings.database_url), SilentBell())
            else:
                ledger = opened()
            if revision.current(ledger.engine) == revision.REVISION:
                return cls.open(settings, ledger)
        except NodeError:
            return cls.without_ledger(settings)
        return cls.without_ledger(settings)

    @property
    def folder(self) -> Path:
        """Where this machine has the node's own versions; made when the first is added."""
        return self._own.content.folder

    @property
    def has_ledger(self) -> bool:
        """Whether a ledger is asked what aliases stand for."""
        return self._ledger is not None

    @property
    def content(self) -> ContentStore:
        """The node's own versions, to add to."""
        return self._own.content

    @property
    def quarantine(self) -> Quarantine:
        """The versions that were found changed."""
        return self._quarantine

    # --- one version -----------------------------------------------------------------------------

    def resolve(self, name: ModelName | str) -> ModelVersion:
        """The version that new work is planned with.

        Asked for each instance, so what was found is remembered for `CHECK_SECONDS`, and what
        aliases stand for for `ALIAS_SECONDS`.

        Parameters
        ----------
        name : ModelName or str
            ``label@alias`` or ``name@version``.

        Raises
        ------
        UnknownModelError
            There is none, or `name` is malformed; the message lists what there is.
        RetiredModelError
            It takes no new work.
        ModelAwayError
            It is registered, or may be in a remote store, and cannot be reached at the moment.
        TrustError
            It is not signed by whom it should be, or is in quarantine.
        ManifestError, ModelIntegrityError
            It is not what was released; it is in quarantine from now on.
        LedgerError
            The ledger does not answer.
        """
        wanted = _parse(name)
        known = self._look()
        target = known.required(wanted)
        row = known.indexed.get(target)
        if row is not None and row.retired_at is not None:
            raise RetiredModelError(
                f"{target} was retired on {row.retired_at:%Y-%m-%d} by {row.retired_by} "
                f"({row.retired_why}) and takes no new work; name another version in the route, or "
                "promote one"
            )
        found = self._admitted.get(target)
        if found is None or found[0] <= self._clock():
            self._admitted.pop(target, None)
            found = (self._clock() + CHECK_SECONDS, self._admit(target, known))
            self._admitted[target] = found
        return found[1]

    def look_again(self) -> None:
        """Ask the ledger anew what aliases stand for when the next version is resolved."""
        self._known = None

    def version(self, name: ModelName | str) -> ModelVersion:
        """Exactly this version, retired or not, with every byte checked now.

        Parameters
        ----------
        name : ModelName or str
            ``name@version``.

        Raises
        ------
        UnknownModelError, ModelAwayError, TrustError, ManifestError, ModelIntegrityError, \
LedgerError
            As `resolve` does.
        """
        wanted = _parse(name)
        if not wanted.is_version:
            raise UnknownModelError(f"{wanted} is an alias; name a version, NAME@MAJOR.MINOR.PATCH")
        return self._admit(wanted, self._read())

    def origin(self, version: ModelVersion) -> model_versions.Origin:
        """Whether a version came with the package, or is in the node's own store."""
        inside = version.folder.resolve().is_relative_to(packaged_zoo().resolve())
        return "package" if inside else "store"

    def signer(self, version: ModelVersion) -> PublicKey | None:
        """The trusted key that signed a version, None if nobody did; all its bytes are checked.

        Raises
        ------
        TrustError, ModelIntegrityError
            The signature that it has does not count, or is not of these bytes.
        """
        try:
            return verify(version, self.trust)
        except UnsignedError:
            return None

    def found(self, version: ModelVersion) -> model_versions.VersionOnDisk:
        """A version with all that the ledger keeps of it; all its bytes are checked.

        Raises
        ------
        TrustError, ModelIntegrityError
            The signature that it has does not count, or is not of these bytes.
        """
        key = self.signer(version)
        signed_by = None if key is None else key.key
        return model_versions.VersionOnDisk.read(version, self.origin(version), signed_by)

    # --- what there is ---------------------------------------------------------------------------

    def versions(self) -> tuple[ModelVersion, ...]:
        """Every version that may be used, retired ones too, by name, then version."""
        self._own.refresh()
        return self._store().versions()

    def refused(self) -> dict[ModelName, ModelStoreError]:
        """The versions that may not be used, and why not."""
        self._own.refresh()
        return self._store().refused()

    def aliases(self) -> dict[ModelName, ModelName]:
        """What every alias stands for now.

        Raises
        ------
        LedgerError
            The ledger does not answer.
        ManifestError
            An ``aliases.toml`` is malformed.
        """
        known = self._read()
        names = {*known.files, *known.moves}
        found = {name: known.target(name) for name in sorted(names, key=str)}
        return {name: target for name, target in found.items() if target is not None}

    def moves(self) -> Mapping[ModelName, Move]:
        """The last move of every alias that was ever moved, as of at most `ALIAS_SECONDS` ago."""
        return self._look().moves

    def indexed(self) -> Mapping[ModelName, RegisteredVersion]:
        """Every version that was ever registered, as of at most `ALIAS_SECONDS` ago."""
        return self._look().indexed

    @staticmethod
    def label_of(name: ModelName) -> str:
        """The label of what a route names: ``ct-default`` of ``ct-default@production``."""
        return name.name

    def register(self, who: str) -> tuple[RegisteredVersion, ...]:
        """Register the versions that may be used and the ledger does not know; returns those.

        Raises
        ------
        LedgerError
            The ledger does not answer.
        """
        if self._ledger is None:
            return ()
        try:
            known = self._read().indexed
            found = [self.found(version) for version in self.versions()]
        except (ModelStoreError, OSError) as error:
            self._log.error("models.not_registered", why=str(error))
            return ()
        added = []
        refused: dict[str, str] = {}
        with self._ledger.write() as unit:
            for each in found:
                try:
                    row = model_versions.index(unit, each, who)
                except VersionTaken as error:
                    refused[str(each.version.ref)] = str(error)
                    continue
                if row.target not in known:
                    added.append(row)
        for version, why in refused.items():
            self._log.error("model.not_registered", version=version, why=why)
        return tuple(added)

    # --- inside ----------------------------------------------------------------------------------

    def _look(self) -> KnownModels:
        if self._known is None or self._known[0] <= self._clock():
            self._known = (self._clock() + ALIAS_SECONDS, self._read())
        return self._known[1]

    def _read(self) -> KnownModels:
        files = self._read_files()
        if self._ledger is None:
            return KnownModels(files, {}, {})
        with self._ledger.read() as session:
            return KnownModels(files, alias_moves.current(session), model_versions.indexed(session))

    def _read_files(self) -> Mapping[ModelName, ModelName]:
        """The alias files; while they cannot be read, what they said before."""
        try:
            self._files = self._store().aliases()
        except (ManifestError, OSError) as error:
            if self._files is None and isinstance(error, OSError):
                where = self._settings.path or self.folder
                raise ModelAwayError(f"the store {where} cannot be read: {error}") from error
            if self._files is None:
                raise
            self._log.warning("aliases.unreadable", why=str(error))
        return self._files

    def _store(self) -> ModelStore:
        """The store as its folders are now: the node's own may be made, or come back, any time."""
        own = (self.folder,) if self.folder.is_dir() else ()
        return ModelStore(more=own, guard=self._guard)

    def _find(self, target: ModelName) -> ModelVersion:
        try:
            return self._store().resolve(target)
        except UnknownModelError:
            if not self._own.refresh():
                raise
        return self._store().resolve(target)

    def _admit(self, target: ModelName, known: KnownModels) -> ModelVersion:
        row = known.indexed.get(target)
        try:
            found = self._find(target)
        except UnknownModelError as error:
            if row is None and self._own.unreachable is None:
                raise
            raise self._away(target, self._own.unreachable or "its files are not there") from error
        except OSError as error:
            raise self._away(target, error.strerror or str(error)) from error
        except UnsignedError as error:
            raise UnsignedError(
                f"{error}; a store whose every writer you trust may be used without signatures: "
                '[models] unsigned = "accept"'
            ) from error
        except UnknownKeyError as error:
            hint = "" if self._settings.trust else "; name your folder of keys in [models] trust"
            raise UnknownKeyError(f"{error}{hint}") from error
        except (SignatureError, ModelIntegrityError, ManifestError) as error:
            if unreadable(error):
                raise self._away(target, str(error)) from error
            self._log.error("model.quarantined", version=str(target), why=str(error))
            raise
        if row is not None and row.onnx_sha256 != found.ref.sha256:
            raise ModelIntegrityError(
                f"{target} has sha256 {found.ref.sha256[:12]}..., not {row.onnx_sha256[:12]}... as "
                f"registered on {row.added_at:%Y-%m-%d}; a version never changes: "
                "install the registered one again, release the other under a new version"
            )
        return found

    def _away(self, target: ModelName, why: str) -> ModelAwayError:
        return ModelAwayError(
            f"{target} cannot be read now: {why}; mount or restore the store "
            f"{self._settings.path or self.folder} ([models] path)"
        )


def _parse(name: ModelName | str) -> ModelName:
    if isinstance(name, ModelName):
        return name
    try:
        return ModelName.parse(name)
    except ValueError as error:
        raise UnknownModelError(str(error)) from error
