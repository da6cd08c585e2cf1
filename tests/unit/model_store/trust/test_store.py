from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_store.errors import (
    ModelIntegrityError,
    ModelStoreError,
    RevokedKeyError,
    SignatureError,
    TrustError,
    UnknownKeyError,
    UnsignedError,
)
from model_store.store import ModelVersion
from model_store.trust.key import PublicKey
from model_store.trust.signature import Signature, sign
from model_store.trust.store import TrustStore, packaged_keys, verify
from tests.support.factories.models import model_version
from tests.support.factories.released import key_pair
from tests.unit.model_store.conftest import DAY, Signed


def test_the_signer_is_named(signed: Signed) -> None:
    assert verify(signed.version, signed.trust).name == "Site, tests"


def test_unsigned(signed: Signed) -> None:
    (signed.version.folder / "manifest.sig").unlink()
    with pytest.raises(UnsignedError, match="not signed"):
        verify(signed.version, signed.trust)


def test_an_unknown_key_is_named_and_how_to_trust_it(signed: Signed, tmp_path: Path) -> None:
    sign(signed.version, key_pair(tmp_path / "others", "other"))
    with pytest.raises(UnknownKeyError, match=r"[0-9a-f]{16}.*trust add") as caught:
        verify(signed.version, signed.trust)
    assert PublicKey.read(tmp_path / "others" / "other.pub").key in str(caught.value)


def test_keys_of_ones_own_are_not_put_beside_those_of_the_package(signed: Signed) -> None:
    """What lies in the installed package is gone with the next update."""
    with pytest.raises(UnknownKeyError, match=r"\[models\] trust") as caught:
        verify(signed.version, TrustStore(packaged_keys()))
    assert str(packaged_keys()) not in str(caught.value)


def test_a_removed_key_is_unknown_and_a_revoked_one_says_why(signed: Signed) -> None:
    signed.trust.revoke(signed.key.id, "laptop lost", DAY)
    with pytest.raises(RevokedKeyError, match="2026-01-02: laptop lost"):
        verify(signed.version, signed.trust)
    with pytest.raises(TrustError, match="revoked already"):
        signed.trust.revoke(signed.key.id, "again", DAY)
    (signed.keys / "site.pub").unlink()
    with pytest.raises(UnknownKeyError):
        verify(signed.version, signed.trust)


def test_a_key_of_another_folder_is_revoked_by_a_copy_in_the_first(
    signed: Signed, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    both = TrustStore(tmp_path / "mine", signed.keys)
    verify(signed.version, both)
    both.revoke(signed.key.id, "lost", DAY)
    with pytest.raises(RevokedKeyError):
        verify(signed.version, both)
    with pytest.raises(RevokedKeyError):
        verify(signed.version, TrustStore(signed.keys, tmp_path / "mine"))
    verify(signed.version, signed.trust)


def test_keys_are_added_once(signed: Signed, tmp_path: Path) -> None:
    mine = TrustStore(tmp_path / "mine")
    key = PublicKey.read(signed.keys / "site.pub")
    assert mine.add(key).name == f"{key.key}.pub"
    verify(signed.version, mine)
    with pytest.raises(TrustError, match="trusted already"):
        mine.add(key)
    with pytest.raises(UnknownKeyError):
        mine.revoke("0" * 16, "none", DAY)


def test_a_trust_store_that_cannot_be_read_trusts_nobody(signed: Signed, tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="not a folder"):
        verify(signed.version, TrustStore(tmp_path / "absent"))
    (signed.keys / "broken.pub").write_text("{")
    with pytest.raises(TrustError, match=r"broken\.pub"):
        verify(signed.version, signed.trust)


@pytest.mark.parametrize("name", ["model.onnx", "card.md", "weights.safetensors"])
def test_a_changed_file_is_named(signed: Signed, name: str) -> None:
    path = signed.version.folder / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ModelIntegrityError, match=name):
        verify(signed.version, signed.trust)


def test_a_manifest_that_is_gone_is_not_called_changed(signed: Signed) -> None:
    (signed.version.folder / "manifest.json").unlink()
    with pytest.raises(SignatureError, match=r"manifest\.json is gone"):
        verify(signed.version, signed.trust)


def test_a_changed_manifest_is_told_from_a_wrong_signature(signed: Signed) -> None:
    folder = signed.version.folder
    path = folder / "manifest.json"
    before = path.read_bytes()
    path.write_bytes(before.replace(b'"tests"', b'"wrong"'))
    with pytest.raises(SignatureError, match="the manifest changed"):
        verify(ModelVersion.open(folder), signed.trust)
    with pytest.raises(SignatureError, match="changed since it was read"):
        verify(signed.version, signed.trust)
    path.write_bytes(before)
    _resign(folder, signature=base64.b64encode(bytes(64)).decode())
    with pytest.raises(SignatureError, match="the signature is wrong"):
        verify(signed.version, signed.trust)


def test_a_signature_of_another_version_is_refused(signed: Signed, tmp_path: Path) -> None:
    other = model_version(tmp_path / "store", version="2.0.0")
    sign(other, signed.key)
    data = (other.folder / "manifest.sig").read_bytes()
    (signed.version.folder / "manifest.sig").write_bytes(data)
    with pytest.raises(SignatureError):
        verify(signed.version, signed.trust)


def test_a_foreign_key_under_a_trusted_id_is_refused(signed: Signed, tmp_path: Path) -> None:
    sign(signed.version, key_pair(tmp_path / "others", "other"))
    _resign(signed.version.folder, key=signed.key.id)
    with pytest.raises(SignatureError, match="the signature is wrong"):
        verify(signed.version, signed.trust)


def test_a_cut_or_larger_signature_is_refused(signed: Signed) -> None:
    path = signed.version.folder / "manifest.sig"
    data = path.read_bytes()
    for damaged in (b"", data[:-1], data[:40], data + b" ", data * 100, b"\x80\x04pickle"):
        path.write_bytes(damaged)
        with pytest.raises(SignatureError, match="damaged"):
            verify(signed.version, signed.trust)


def test_a_version_whose_files_differ_is_not_signed(signed: Signed) -> None:
    (signed.version.folder / "card.md").write_bytes(b"other")
    with pytest.raises(ModelIntegrityError, match=r"card\.md"):
        sign(signed.version, signed.key)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choice=st.data())
def test_any_changed_byte_of_any_file_is_found(signed: Signed, choice: st.DataObject) -> None:
    path = choice.draw(st.sampled_from(sorted(signed.version.folder.iterdir())))
    before = path.read_bytes()
    data = bytearray(before)
    data[choice.draw(st.integers(0, len(data) - 1))] ^= choice.draw(st.integers(1, 255))
    path.write_bytes(bytes(data))
    try:
        with pytest.raises(ModelStoreError):
            verify(ModelVersion.open(signed.version.folder), signed.trust)
    finally:
        path.write_bytes(before)
    verify(signed.version, signed.trust)


def _resign(folder: Path, **changes: str) -> None:
    path = folder / "manifest.sig"
    path.write_bytes(Signature(**{**json.loads(path.read_bytes()), **changes}).encode())
