"""The trust store: folders of public key files, and the check of a version against them."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.resources import files as package_files
from pathlib import Path

from model_store.errors import (
    RevokedKeyError,
    SignatureError,
    TrustError,
    UnknownKeyError,
)
from model_store.store import ModelVersion
from model_store.trust.key import PUBLIC_SUFFIX, PublicKey, Revocation
from model_store.trust.signature import Signature, manifest_bytes


class TrustStore:
    """Public keys whose signatures count here.

    The files are read anew for every question, so a key that is added, taken out or revoked counts
    from then on. A file that cannot be read makes every question fail: a revocation might be in it.

    Parameters
    ----------
    *folders : Path
        Folders of ``*.pub`` files. If two have the same key and one says that it is revoked, it is.
    """

    def __init__(self, *folders: Path) -> None:
        self._folders = folders

    @property
    def folders(self) -> Sequence[Path]:
        """Where the keys are."""
        return self._folders

    def keys(self) -> Mapping[str, PublicKey]:
        """Every key by its id, revoked ones too.

        Raises
        ------
        TrustError
            If a folder is missing or a key file is malformed.
        """
        found: dict[str, PublicKey] = {}
        for folder in self._folders:
            if not folder.is_dir():
                raise TrustError(f"the trust store {folder} is not a folder")
            for path in sorted(folder.glob(f"*{PUBLIC_SUFFIX}")):
                key = PublicKey.read(path)
                if key.key not in found or key.revoked:
                    found[key.key] = key
        return found

    def add(self, key: PublicKey) -> Path:
        """Trust a key: write it into the first folder.

        Raises
        ------
        TrustError
            If the key is there already, revoked, or cannot be written.
        """
        folder = self._folders[0]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrustError(f"{folder}: {error.strerror or error}") from error
        known = self.keys().get(key.key)
        if known is not None:
            state = "revoked" if known.revoked else "trusted"
            raise TrustError(f"key {key.key} ({known.name}) is {state} already")
        path = folder / f"{key.key}{PUBLIC_SUFFIX}"
        _write(key, path)
        return path

    def revoke(self, key: str, reason: str, since: date) -> PublicKey:
        """Withdraw the trust in a key, for versions that it signed before too.

        The first folder gets a copy of the key that says so, whatever folder it came from.

        Raises
        ------
        UnknownKeyError
            If no key has this id.
        TrustError
            If it is revoked already, or the folder cannot be written.
        """
        known = self.keys().get(key)
        if known is None:
            raise UnknownKeyError(f"no key {key} is in {_names(self._folders)}")
        if known.revoked:
            raise TrustError(f"key {key} ({known.name}) is revoked already")
        revoked = known.model_copy(update={"revoked": Revocation(since=since, reason=reason)})
        folder = self._folders[0]
        places = sorted(folder.glob(f"*{PUBLIC_SUFFIX}"))
        for path in places:
            if PublicKey.read(path).key == key:
                _write(revoked, path)
                return revoked
        _write(revoked, folder / f"{key}{PUBLIC_SUFFIX}")
        return revoked


def packaged_keys() -> Path:
    """Folder of the public keys of those who release the versions that come with the package."""
    return Path(str(package_files("model_store") / "trust" / "keys"))


def _how_to_add(trust: TrustStore) -> str:
    """Name the command; keys of one's own do not belong beside those of the package."""
    own = [folder for folder in trust.folders if folder != packaged_keys()]
    if own:
        return f"'model-store trust add FILE --trust {own[0]}'"
    return (
        "name a folder for such keys in [models] trust, such as /etc/dicom-node/trust, and "
        "'model-store trust add FILE --trust FOLDER'"
    )


def verify(version: ModelVersion, trust: TrustStore) -> PublicKey:
    """Who signed a version, after all its bytes were found to be what they signed.

    Parameters
    ----------
    version : ModelVersion
        As it was opened; its manifest and files are read again.
    trust : TrustStore
        Whose signatures count.

    Returns
    -------
    PublicKey
        The signer's.

    Raises
    ------
    UnsignedError
        If there is no signature.
    UnknownKeyError
        If its key is not in the trust store.
    RevokedKeyError
        If its key is revoked.
    SignatureError
        If the signature is damaged, or the manifest is not the one that was signed.
    ModelIntegrityError
        If a file is not the one that was signed; the message names it.
    TrustError
        If the trust store cannot be read.
    """
    signature = Signature.read(version.folder)
    key = trust.keys().get(signature.key)
    if key is None:
        raise UnknownKeyError(
            f"{version.ref} is signed by key {signature.key}, which is not trusted here: get the "
            f"public key file from whoever you expect to have signed it, compare the id, then "
            f"{_how_to_add(trust)}"
        )
    manifest = manifest_bytes(version)
    digest = hashlib.sha256(manifest).hexdigest()
    if not key.signed(signature.raw, manifest):
        what = "the signature is wrong" if digest == signature.manifest else "the manifest changed"
        raise SignatureError(
            f"{version.ref}: {what} (key {key.key}, {key.name}); "
            "get the version again from its releaser"
        )
    if digest != signature.manifest:
        raise SignatureError(f"{version.ref}: the signature file was changed")
    if key.revoked:
        raise RevokedKeyError(
            f"{version.ref} is signed by key {key.key} ({key.name}), which was revoked on "
            f"{key.revoked.since}: {key.revoked.reason}"
        )
    version.verify()
    return key


def _names(folders: Sequence[Path]) -> str:
    return ", ".join(str(folder) for folder in folders) or "no folder"


def _write(key: PublicKey, path: Path) -> None:
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
            whole = Path(folder) / "key"
            key.write(whole)
            whole.replace(path)
    except OSError as error:
        raise TrustError(f"{path}: {error.strerror or error}") from error
