from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from model_store.errors import (
    ManifestError,
    ModelIntegrityError,
    ModelStoreError,
    QuarantinedError,
    SignatureError,
    TrustError,
    UnsignedError,
)
from model_store.ref import ModelName
from model_store.store import ModelStore
from model_store.trust.quarantine import Quarantine
from model_store.trust.signature import sign
from model_store.trust.signed_only import SignedOnly, trust_store
from model_store.trust.store import TrustStore, packaged_keys
from tests.support.factories.models import model_version
from tests.unit.model_store.conftest import DAY, Signed

pytestmark = pytest.mark.holds(number=7)

NAME = ModelName("toy-ct", "1.0.0")


@pytest.fixture
def quarantine(tmp_path: Path) -> Quarantine:
    return Quarantine(tmp_path / "state" / "quarantine")


@pytest.fixture
def store(signed: Signed, quarantine: Quarantine) -> ModelStore:
    return ModelStore(signed.store, guard=SignedOnly(signed.trust, quarantine))


def test_a_signed_version_is_let_through(store: ModelStore, quarantine: Quarantine) -> None:
    assert str(store.resolve("toy-ct@1.0.0").ref) == "toy-ct@1.0.0"
    assert len(store.versions()) == 1
    assert not store.refused()
    assert not quarantine.notes()


def test_a_changed_byte_is_found_at_once_and_remembered(
    signed: Signed, store: ModelStore, quarantine: Quarantine
) -> None:
    path = signed.version.onnx_path
    before = path.read_bytes()
    path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    with pytest.raises(ModelIntegrityError, match=r"model\.onnx"):
        store.resolve("toy-ct@1.0.0")
    path.write_bytes(before)
    with pytest.raises(QuarantinedError, match=r"model\.onnx.*--release"):
        store.resolve("toy-ct@1.0.0")
    assert store.versions() == ()
    assert isinstance(store.refused()[NAME], QuarantinedError)
    (note,) = quarantine.notes()
    assert note.version == "toy-ct@1.0.0"
    quarantine.release(NAME)
    assert store.resolve("toy-ct@1.0.0").ref == signed.version.ref


@pytest.mark.parametrize("text", ["{", '{"name": 3}', ""])
def test_a_broken_manifest_is_put_away(
    signed: Signed, store: ModelStore, quarantine: Quarantine, text: str
) -> None:
    (signed.version.folder / "manifest.json").write_text(text)
    with pytest.raises(ManifestError):
        store.resolve("toy-ct@1.0.0")
    with pytest.raises(QuarantinedError):
        quarantine.check(NAME)


@pytest.mark.parametrize("name", ["../../other/model.onnx", "/etc/passwd", "w.pt", "a.pkl"])
def test_paths_and_pickles_are_put_away(
    signed: Signed, store: ModelStore, quarantine: Quarantine, name: str
) -> None:
    path = signed.version.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"][name] = "0" * 64
    path.write_text(json.dumps(manifest))
    with pytest.raises(ModelIntegrityError, match=r"plain file name|unpickling"):
        store.resolve("toy-ct@1.0.0")
    assert quarantine.notes()


def test_a_changed_manifest_or_signature_is_put_away(
    signed: Signed, store: ModelStore, quarantine: Quarantine
) -> None:
    path = signed.version.folder / "manifest.json"
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(SignatureError, match="the manifest changed"):
        store.resolve("toy-ct@1.0.0")
    assert "manifest changed" in quarantine.notes()[0].reason


def test_a_signed_version_in_the_place_of_another_is_refused(
    signed: Signed, store: ModelStore, quarantine: Quarantine
) -> None:
    shutil.copytree(signed.version.folder, signed.store / "toy-ct" / "2.0.0")
    with pytest.raises(ManifestError, match=r"holds toy-ct@1\.0\.0"):
        store.resolve("toy-ct@2.0.0")
    assert [str(version.ref) for version in store.versions()] == ["toy-ct@1.0.0"]


def test_a_matter_of_trust_is_refused_but_not_put_away(
    signed: Signed, store: ModelStore, quarantine: Quarantine
) -> None:
    signed.trust.revoke(signed.key.id, "lost", DAY)
    with pytest.raises(TrustError, match="revoked"):
        store.resolve("toy-ct@1.0.0")
    (signed.version.folder / "manifest.sig").unlink()
    with pytest.raises(UnsignedError):
        store.resolve("toy-ct@1.0.0")
    assert not quarantine.notes()


def test_an_unsigned_store_may_be_allowed_and_is_hashed(
    tmp_path: Path, signed: Signed, quarantine: Quarantine
) -> None:
    mine = tmp_path / "mine"
    version = model_version(mine, "plain", "1.0.0")
    guard = SignedOnly(signed.trust, quarantine, unsigned=(mine,))
    store = ModelStore(mine, [signed.store], guard)
    assert len(store.versions()) == 2
    sign(version, signed.key)
    assert len(store.versions()) == 2
    version.onnx_path.write_bytes(b"other")
    (version.folder / "manifest.sig").unlink()
    with pytest.raises(ModelIntegrityError):
        store.resolve("plain@1.0.0")
    assert list(store.refused()) == [ModelName("plain", "1.0.0")]


def test_the_packaged_zoo_needs_no_signature_by_default(quarantine: Quarantine) -> None:
    store = ModelStore(guard=SignedOnly(trust_store(), quarantine))
    assert store.versions()
    assert not store.refused()
    everything = SignedOnly(trust_store(), quarantine, unsigned=())
    unsigned = {
        version.ref.name
        for version in ModelStore().versions()
        if not (version.folder / "manifest.sig").exists()
    }
    assert {name.name for name in ModelStore(guard=everything).refused()} == unsigned


def test_what_cannot_be_remembered_is_still_refused(signed: Signed, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    guard = SignedOnly(signed.trust, Quarantine(tmp_path / "file" / "below"))
    signed.version.onnx_path.write_bytes(b"other")
    with pytest.raises(ModelStoreError):
        guard.admit(signed.version.folder)


def test_a_file_that_cannot_be_read_just_now_is_not_put_away(
    signed: Signed, store: ModelStore, quarantine: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path.open

    def fail(path: Path, mode: str = "r", **options: Any) -> Any:
        if path.name == "card.md":
            raise OSError(5, "Input/output error")
        return whole(path, mode, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", fail)
        with pytest.raises(ModelIntegrityError, match=r"card\.md cannot be read"):
            store.resolve("toy-ct@1.0.0")
    assert not quarantine.notes()
    assert store.resolve("toy-ct@1.0.0")
    signed.version.onnx_path.unlink()
    with pytest.raises(ModelIntegrityError):
        store.resolve("toy-ct@1.0.0")
    assert quarantine.notes()


def test_a_damaged_marker_keeps_its_version_out(
    tmp_path: Path, quarantine: Quarantine, store: ModelStore
) -> None:
    quarantine.put(NAME, "a reason")
    (marker,) = (tmp_path / "state" / "quarantine").iterdir()
    marker.write_text("{")
    with pytest.raises(TrustError, match="damaged"):
        store.resolve("toy-ct@1.0.0")
    assert store.versions() == ()


def test_no_private_key_comes_with_the_package() -> None:
    assert not [path for path in packaged_keys().iterdir() if b"PRIVATE" in path.read_bytes()]
    assert TrustStore(packaged_keys()).keys() is not None
