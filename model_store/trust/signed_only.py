"""What a store lets through: versions that are signed, whole, and not in quarantine."""

from __future__ import annotations

from pathlib import Path

from model_store.errors import ManifestError, ModelIntegrityError, SignatureError, UnsignedError
from model_store.ref import ModelName
from model_store.store import ModelVersion, packaged_zoo
from model_store.trust.quarantine import Quarantine
from model_store.trust.store import TrustStore, packaged_keys, verify


class SignedOnly:
    """Admits a version if a trusted key signed it; give it to `ModelStore` as its guard.

    Every file is hashed each time a version is resolved. A version whose bytes are not the signed
    ones goes into quarantine; one that is merely not signed, or by a key that is not trusted, is
    refused and may be used once that has changed, and so is one that cannot be read just now.

    Parameters
    ----------
    trust : TrustStore
        Whose signatures count.
    quarantine : Quarantine
        Where findings are kept.
    unsigned : tuple of Path
        Stores whose versions need no signature; if they have one it counts. By default the zoo that
        comes with the package, which whoever installed the package trusts as much as its code.
    """

    def __init__(
        self, trust: TrustStore, quarantine: Quarantine, unsigned: tuple[Path, ...] | None = None
    ) -> None:
        self._trust = trust
        self._quarantine = quarantine
        stores = unsigned if unsigned is not None else (packaged_zoo(),)
        self._unsigned = frozenset(folder.resolve() for folder in stores)

    def admit(self, folder: Path) -> ModelVersion:
        """Open the version in ``<store>/<name>/<version>`` if it may be used.

        Raises
        ------
        QuarantinedError
            If it was found changed before.
        UnsignedError, UnknownKeyError, RevokedKeyError
            If no trusted key vouches for it.
        SignatureError, ModelIntegrityError, ManifestError
            If it is not what was signed; it is in quarantine from now on.
        TrustError
            If trust store or quarantine cannot be read or written.
        """
        name = ModelName(folder.parent.name, folder.name)
        self._quarantine.check(name)
        try:
            return self._checked(folder)
        except (SignatureError, ModelIntegrityError, ManifestError) as error:
            if not unreadable(error):
                self._quarantine.put(name, f"{type(error).__name__}: {error}")
            raise

    def _checked(self, folder: Path) -> ModelVersion:
        version = ModelVersion.open(folder)
        if (version.ref.name, version.ref.version) != (folder.parent.name, folder.name):
            raise ManifestError(f"{folder} holds {version.ref}")
        try:
            verify(version, self._trust)
        except UnsignedError:
            if folder.parent.parent.resolve() not in self._unsigned:
                raise
            version.verify()
        return version


def unreadable(error: Exception) -> bool:
    """Whether a version could merely not be read just now: its disk is at fault, not its bytes."""
    cause = error.__cause__
    return isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError)


def trust_store(*folders: Path) -> TrustStore:
    """A site's trust folders, and after them the keys that come with the package."""
    return TrustStore(*folders, packaged_keys())
