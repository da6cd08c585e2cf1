"""Ed25519 keys (RFC 8032): a private file that signs, a public one that says whose signature it is.

A public key file is JSON and may be read, mailed and put into a trust folder::

    {"name": "Radiology, Example Hospital", "created": "2026-11-21", "key": "1f0e...",
     "algorithm": "Ed25519", "public": "<32 bytes in base64>"}

``key`` is the key's id: the first 16 hexadecimal digits of the SHA-256 of the 32 raw bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import stat
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import Field, ValidationError, model_validator

from model_store.errors import TrustError
from model_store.strict import Strict

ALGORITHM: Literal["Ed25519"] = "Ed25519"
PUBLIC_SUFFIX = ".pub"
PRIVATE_SUFFIX = ".key"
KeyId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Revocation(Strict):
    """Since when a key is no longer trusted, and why."""

    since: date
    reason: str


class PublicKey(Strict):
    """The public half of a key, as its file has it.

    Attributes
    ----------
    name : str
        Whose key it is, for people.
    created : date
        When it was made.
    key : str
        Its id, from the raw bytes.
    algorithm : {"Ed25519"}
        What it signs with.
    public : str
        The 32 raw bytes in base64.
    revoked : Revocation, optional
        That it is no longer trusted.
    """

    name: str = Field(min_length=1, max_length=200)
    created: date
    key: KeyId
    algorithm: Literal["Ed25519"] = ALGORITHM
    public: str
    revoked: Revocation | None = None

    @model_validator(mode="after")
    def _consistent(self) -> PublicKey:
        if key_id(self._raw()) != self.key:
            raise ValueError("key is not the id of public")
        Ed25519PublicKey.from_public_bytes(self._raw())
        return self

    def _raw(self) -> bytes:
        return base64.b64decode(self.public, validate=True)

    def signed(self, signature: bytes, data: bytes) -> bool:
        """Whether `signature` is this key's over `data`."""
        try:
            Ed25519PublicKey.from_public_bytes(self._raw()).verify(signature, data)
        except InvalidSignature:
            return False
        return True

    @classmethod
    def read(cls, path: Path) -> PublicKey:
        """Read a public key file.

        Raises
        ------
        TrustError
            If it cannot be read or is not a public key file.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise TrustError(f"{path}: {error.strerror or error}") from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the file"
            raise TrustError(f"{path} is not a public key file: {place}: {first['msg']}") from error

    def write(self, path: Path) -> None:
        """Write the public key file."""
        text = json.dumps(self.model_dump(mode="json", exclude_none=True), indent=2)
        path.write_text(text + "\n", encoding="utf-8")


def key_id(raw: bytes) -> str:
    """Id of the key with these raw public bytes: 16 hexadecimal digits of their SHA-256."""
    return hashlib.sha256(raw).hexdigest()[:16]


class PrivateKey:
    """The half that signs. Its bytes are never shown.

    Parameters
    ----------
    key : Ed25519PrivateKey
        As the cryptography package has it.
    """

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @property
    def id(self) -> str:
        """Id of the public half."""
        return key_id(self._key.public_key().public_bytes_raw())

    def sign(self, data: bytes) -> bytes:
        """Signature of `data`, 64 bytes."""
        return self._key.sign(data)

    @classmethod
    def read(cls, path: Path, passphrase: bytes | None = None) -> PrivateKey:
        """Read a private key file.

        Raises
        ------
        TrustError
            If it cannot be read, others may read it, it needs another passphrase, or it is not an
            Ed25519 key.
        """
        try:
            with path.open("rb") as stream:
                if os.fstat(stream.fileno()).st_mode & _OTHERS:
                    raise TrustError(
                        f"others may read the private key {path}: chmod 600, and see who could have"
                    )
                data = stream.read()
        except OSError as error:
            raise TrustError(f"{path}: {error.strerror or error}") from error
        try:
            key = serialization.load_pem_private_key(data, passphrase)
        except TypeError as error:
            need = (
                "has no passphrase"
                if passphrase
                else "needs its passphrase (--passphrase or --passphrase-file)"
            )
            raise TrustError(f"the private key {path} {need}") from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise TrustError(
                f"{path} is not a private key file, or the passphrase is wrong"
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise TrustError(f"{path} is a private key, but not of {ALGORITHM}")
        return cls(key)


def generate(
    name: str, folder: Path, owner: str, created: date, passphrase: bytes | None = None
) -> PublicKey:
    """Make a key: ``<name>.key`` (readable by its owner alone) and ``<name>.pub``.

    Parameters
    ----------
    name : str
        Of the two files, 1 to 63 of ``A-Z a-z 0-9 . _ -``.
    folder : Path
        Where they are written; made if it is absent.
    owner : str
        Whose key it is, for the public file.
    created : date
        Day for the public file.
    passphrase : bytes, optional
        Encrypts the private file.

    Raises
    ------
    TrustError
        If `name` is no file name, one of the files is there, or it cannot be written.
    """
    if not _FILE_NAME.fullmatch(name):
        raise TrustError(f"{name!r} cannot be the name of a key: 1 to 63 of A-Z a-z 0-9 . _ -")
    private, public = folder / f"{name}{PRIVATE_SUFFIX}", folder / f"{name}{PUBLIC_SUFFIX}"
    key = Ed25519PrivateKey.generate()
    raw = key.public_key().public_bytes_raw()
    cipher: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher)
    made = PublicKey(
        name=owner, created=created, key=key_id(raw), public=base64.b64encode(raw).decode()
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if public.exists():
            raise TrustError(f"{public} is there already; take another name")
        target = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(target, "wb") as stream:
            stream.write(pem)
        made.write(public)
    except FileExistsError as error:
        raise TrustError(f"{private} is there already; take another name") from error
    except OSError as error:
        raise TrustError(f"{folder}: {error.strerror or error}") from error
    return made
