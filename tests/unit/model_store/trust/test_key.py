from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest

from model_store.errors import TrustError
from model_store.trust.key import PrivateKey, PublicKey, generate
from tests.support.factories.released import key_pair
from tests.unit.model_store.conftest import DAY


def test_only_its_owner_may_read_a_private_key(tmp_path: Path) -> None:
    generate("site", tmp_path / "new", "Site", DAY)
    assert stat.S_IMODE((tmp_path / "new" / "site.key").stat().st_mode) == 0o600


def test_a_signature_counts_for_its_key_and_data_alone(tmp_path: Path) -> None:
    key, other = key_pair(tmp_path, "one"), key_pair(tmp_path, "two")
    public = PublicKey.read(tmp_path / "one.pub")
    assert public.key == key.id
    assert public.signed(key.sign(b"data"), b"data")
    assert not public.signed(key.sign(b"data"), b"date")
    assert not public.signed(other.sign(b"data"), b"data")
    assert not public.signed(key.sign(b"data")[:-1], b"data")


def test_rfc_8032_vectors_hold() -> None:
    raw = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    signature = bytes.fromhex(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    key = PublicKey(
        name="RFC 8032, 7.1, test 1",
        created=DAY,
        key="21fe31dfa154a261",
        public=base64.b64encode(raw).decode(),
    )
    assert key.signed(signature, b"")
    assert not key.signed(signature, b"\0")


def test_a_passphrase_is_needed_and_checked(tmp_path: Path) -> None:
    generate("site", tmp_path, "Site", DAY, b"secret")
    assert b"ENCRYPTED" in (tmp_path / "site.key").read_bytes()
    PrivateKey.read(tmp_path / "site.key", b"secret")
    with pytest.raises(TrustError, match="needs its passphrase"):
        PrivateKey.read(tmp_path / "site.key")
    with pytest.raises(TrustError, match="passphrase is wrong"):
        PrivateKey.read(tmp_path / "site.key", b"wrong")
    key_pair(tmp_path, "open")
    with pytest.raises(TrustError, match="has no passphrase"):
        PrivateKey.read(tmp_path / "open.key", b"secret")


def test_a_private_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    key_pair(tmp_path, "site")
    (tmp_path / "site.key").chmod(0o640)
    with pytest.raises(TrustError, match="chmod 600"):
        PrivateKey.read(tmp_path / "site.key")


def test_no_key_is_overwritten(tmp_path: Path) -> None:
    before = key_pair(tmp_path, "site").id
    with pytest.raises(TrustError, match="there already"):
        generate("site", tmp_path, "Site", DAY)
    (tmp_path / "site.pub").unlink()
    with pytest.raises(TrustError, match="there already"):
        generate("site", tmp_path, "Site", DAY)
    assert PrivateKey.read(tmp_path / "site.key").id == before


@pytest.mark.parametrize("name", ["../site", "", "a/b", ".site"])
def test_a_name_must_be_a_file_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(TrustError):
        generate(name, tmp_path, "Site", DAY)


def test_other_private_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.key"
    path.write_bytes(b"hello")
    path.chmod(0o600)
    with pytest.raises(TrustError, match="not a private key"):
        PrivateKey.read(path)
    with pytest.raises(TrustError, match="No such file"):
        PrivateKey.read(tmp_path / "none.key")


@pytest.mark.parametrize(
    "change",
    [{"key": "0" * 16}, {"public": "AAAA"}, {"public": "?"}, {"algorithm": "RSA"}, {"more": 1}],
)
def test_malformed_public_files_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    key_pair(tmp_path, "site")
    path = tmp_path / "site.pub"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(TrustError, match="not a public key file"):
        PublicKey.read(path)
