"""The signature beside a manifest, ``manifest.sig``: who says that these are the released bytes.

It is over the bytes of ``manifest.json`` exactly as they are on disk; the manifest in turn has the
SHA-256 of every other file, so one signature holds all of them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from model_store.errors import SignatureError, TrustError, UnsignedError
from model_store.file_names import MANIFEST
from model_store.store import ModelVersion
from model_store.strict import Strict
from model_store.trust.key import ALGORITHM, KeyId, PrivateKey

SIGNATURE = "manifest.sig"

_LARGEST = 4096  # bytes; a signature has about 300
_SIGNATURE_BYTES = 64


class Signature(Strict):
    """One signature, as its file has it.

    Attributes
    ----------
    key : str
        Id of the key that made it.
    algorithm : {"Ed25519"}
        How.
    manifest : str
        SHA-256 of the manifest that was signed: tells a changed manifest from a wrong signature. It
        proves nothing by itself.
    signature : str
        The 64 bytes in base64.
    """

    key: KeyId
    algorithm: Literal["Ed25519"] = ALGORITHM
    manifest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    signature: str

    @property
    def raw(self) -> bytes:
        """The 64 bytes."""
        return base64.b64decode(self.signature, validate=True)

    def encode(self) -> bytes:
        """The one form that its file may have."""
        return (json.dumps(self.model_dump(), indent=2) + "\n").encode()

    @classmethod
    def read(cls, folder: Path) -> Signature:
        """Read the signature of the version in `folder`.

        Raises
        ------
        UnsignedError
            If there is none.
        SignatureError
            If it is cut off, or not exactly what signing writes.
        """
        path = folder / SIGNATURE
        try:
            with path.open("rb") as stream:
                data = stream.read(_LARGEST + 1)
        except FileNotFoundError as error:
            raise UnsignedError(
                f"{folder} is not signed: sign it with `model-store sign`, or ask its releaser"
            ) from error
        except OSError as error:
            raise SignatureError(f"{path}: {error.strerror or error}") from error
        return cls.decode(data, str(path))

    @classmethod
    def decode(cls, data: bytes, place: str) -> Signature:
        """Read a signature from the bytes of its file, which came from `place`.

        Raises
        ------
        SignatureError
            If it is cut off, or not exactly what signing writes.
        """
        try:
            found = cls.model_validate_json(data)
            whole = len(found.raw) == _SIGNATURE_BYTES and found.encode() == data
        except (ValidationError, binascii.Error):
            whole = False
        if not whole:
            raise SignatureError(f"{place} is damaged: get the version again from its releaser")
        return found


def sign(version: ModelVersion, key: PrivateKey) -> Signature:
    """Sign a version, after its files were found to be those of its manifest.

    Raises
    ------
    ModelIntegrityError
        If a file differs from the manifest.
    TrustError
        If the manifest is not the one that `version` was opened with, or the signature cannot be
        written.
    """
    version.verify()
    manifest = manifest_bytes(version)
    made = Signature(
        key=key.id,
        manifest=hashlib.sha256(manifest).hexdigest(),
        signature=base64.b64encode(key.sign(manifest)).decode(),
    )
    try:
        with tempfile.NamedTemporaryFile(dir=version.folder, prefix=".", delete=False) as stream:
            stream.write(made.encode())
        Path(stream.name).chmod(0o644)
        Path(stream.name).replace(version.folder / SIGNATURE)
    except OSError as error:
        raise TrustError(f"{version.folder}: {error.strerror or error}") from error
    return made


def manifest_sha256(version: ModelVersion) -> str:
    """Hexadecimal SHA-256 of the manifest on disk.

    Raises
    ------
    SignatureError
        As of `manifest_bytes`.
    """
    return hashlib.sha256(manifest_bytes(version)).hexdigest()


def manifest_bytes(version: ModelVersion) -> bytes:
    """The manifest's bytes on disk, after they were found to say what `version` says.

    Raises
    ------
    SignatureError
        If the manifest is gone, cannot be read, or says something else by now.
    """
    path = version.folder / MANIFEST
    try:
        data = path.read_bytes()
        same = type(version.manifest).model_validate_json(data) == version.manifest
    except FileNotFoundError as error:
        raise SignatureError(
            f"{version.ref}: {path} is gone; was the version deleted meanwhile?"
        ) from error
    except OSError as error:
        raise SignatureError(
            f"{version.ref}: {path} cannot be read: {error.strerror or error}"
        ) from error
    except ValidationError as error:
        raise SignatureError(f"{version.ref}: {path} changed since it was read") from error
    if not same:
        raise SignatureError(f"{version.ref}: {path} changed since it was read")
    return data
