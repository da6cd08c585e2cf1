import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from model_store.content import ContentStore
from model_store.errors import (
    ContentError,
    ManifestError,
    ModelIntegrityError,
    SignatureError,
    UnknownModelError,
    VersionTakenError,
)
from model_store.ref import ModelName
from model_store.store import ModelStore, ModelVersion, packaged_zoo
from model_store.trust.key import PrivateKey
from model_store.trust.signature import SIGNATURE, sign
from tests.support.factories.models import convolutions, model_version
from tests.support.factories.processes import until_killed

TOY = ModelName("toy-ct", "1.0.0")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return model_version(tmp_path / "source").folder


@pytest.fixture
def content(tmp_path: Path) -> ContentStore:
    return ContentStore(tmp_path / "models", tmp_path / "unused")


@pytest.fixture
def key() -> PrivateKey:
    return _key(bytes(32))


def _key(seed: bytes) -> PrivateKey:
    return PrivateKey(Ed25519PrivateKey.from_private_bytes(seed))


def _kept(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_an_added_version_is_the_one_that_was_given(content: ContentStore, source: Path) -> None:
    added = content.add(source)
    assert added.folder == content.folder / "toy-ct" / "1.0.0"
    assert _kept(added.folder) == _kept(source)
    assert content.holds(TOY)
    assert [version.ref for version in ModelStore(content.folder).versions()] == [added.ref]


def test_adding_it_again_changes_nothing(content: ContentStore, source: Path) -> None:
    first = content.add(source).onnx_path.stat()
    again = content.add(source).onnx_path.stat()
    assert (first.st_ino, first.st_mtime_ns) == (again.st_ino, again.st_mtime_ns)


def test_other_bytes_under_the_same_name_are_refused(
    content: ContentStore, source: Path, tmp_path: Path
) -> None:
    content.add(source)
    before = _kept(content.folder)
    for other in (
        model_version(tmp_path / "weights", network=convolutions(5)),
        model_version(tmp_path / "text", intended_use="other tests"),
    ):
        with pytest.raises(VersionTakenError, match="new number"):
            content.add(other.folder)
    assert _kept(content.folder) == before


def test_a_version_of_the_package_is_not_added_with_other_bytes(
    content: ContentStore, tmp_path: Path
) -> None:
    name, version = next(packaged_zoo().glob("*/*/manifest.json")).parts[-3:-1]
    with pytest.raises(VersionTakenError, match="package"):
        content.add(model_version(tmp_path, name, version).folder)
    assert not content.folder.exists()


def test_a_damaged_file_is_put_back(content: ContentStore, source: Path) -> None:
    added = content.add(source)
    added.onnx_path.write_bytes(b"rot")
    content.add(source).verify()
    added.onnx_path.unlink()
    content.add(source).verify()


def test_the_signature_travels_along(content: ContentStore, source: Path, key: PrivateKey) -> None:
    content.add(source)
    sign(ModelVersion.open(source), key)
    content.add(source)
    assert _kept(content.folder / "toy-ct" / "1.0.0") == _kept(source)


def test_a_signature_is_not_replaced(content: ContentStore, source: Path, key: PrivateKey) -> None:
    sign(ModelVersion.open(source), key)
    added = content.add(source)
    before = (added.folder / SIGNATURE).read_bytes()
    sign(ModelVersion.open(source), _key(bytes([1] * 32)))
    with pytest.raises(VersionTakenError, match=key.id):
        content.add(source)
    assert (added.folder / SIGNATURE).read_bytes() == before
    (added.folder / SIGNATURE).write_bytes(before[:-9])
    content.add(source)
    assert (added.folder / SIGNATURE).read_bytes() == (source / SIGNATURE).read_bytes()


def _extra(folder: Path) -> None:
    (folder / "notes.txt").write_text("?")


def _pickle(folder: Path) -> None:
    (folder / "weights.pkl").write_bytes(b"?")


def _nested(folder: Path) -> None:
    (folder / "more").mkdir()


def _link(folder: Path) -> None:
    shutil.move(folder / "model.onnx", folder.parent / "elsewhere")
    (folder / "model.onnx").symlink_to(folder.parent / "elsewhere")


def _linked_manifest(folder: Path) -> None:
    shutil.move(folder / "manifest.json", folder.parent / "elsewhere")
    (folder / "manifest.json").symlink_to(folder.parent / "elsewhere")


def _fifo(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    os.mkfifo(folder / "model.onnx")


def _missing(folder: Path) -> None:
    (folder / "model.onnx").unlink()


def _flipped(folder: Path) -> None:
    data = bytearray((folder / "model.onnx").read_bytes())
    data[40] ^= 1
    (folder / "model.onnx").write_bytes(data)


def _listed_pickle(folder: Path) -> None:
    _listed(folder, "weights.pt")


def _listed_outside(folder: Path) -> None:
    _listed(folder, "../weights.bin")


def _listed(folder: Path, name: str) -> None:
    text = (folder / "manifest.json").read_text()
    more = f'"files": {{\n "{name}": "{"0" * 64}",'
    (folder / "manifest.json").write_text(text.replace('"files": {', more))


def _no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def _cut_manifest(folder: Path) -> None:
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text[: len(text) // 2])


def _listed_itself(folder: Path) -> None:
    _listed(folder, "manifest.json")


def _damaged_signature(folder: Path) -> None:
    (folder / SIGNATURE).write_text("{}")


def _foreign_signature(folder: Path) -> None:
    other = model_version(folder.parent.parent / "other", "other")
    sign(other, _key(bytes(32)))
    shutil.copy(other.folder / SIGNATURE, folder)


@pytest.mark.parametrize(
    ("spoil", "error", "says"),
    [
        (_extra, ModelIntegrityError, r"does not name: 'notes\.txt'"),
        (_pickle, ModelIntegrityError, r"does not name: 'weights\.pkl'"),
        (_nested, ModelIntegrityError, "no plain file"),
        (_link, ModelIntegrityError, "no plain file"),
        (_linked_manifest, ModelIntegrityError, "no plain file"),
        (_fifo, ModelIntegrityError, "no plain file"),
        (_missing, ModelIntegrityError, r"lacks model\.onnx"),
        (_flipped, ModelIntegrityError, "sha256"),
        (_listed_pickle, ModelIntegrityError, "unpickling"),
        (_listed_outside, ModelIntegrityError, "plain file name"),
        (_listed_itself, ManifestError, "itself"),
        (_no_manifest, ManifestError, "holds no model version"),
        (_cut_manifest, ManifestError, r"manifest\.json"),
        (_damaged_signature, SignatureError, "damaged"),
        (_foreign_signature, SignatureError, "another manifest"),
    ],
)
def test_what_is_not_a_whole_version_is_refused(
    content: ContentStore, source: Path, spoil: Any, error: type[Exception], says: str
) -> None:
    spoil(source)
    with pytest.raises(error, match=says):
        content.add(source)
    assert not content.folder.exists()


def test_a_folder_that_is_not_there_is_said(content: ContentStore, tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="No such file"):
        content.add(tmp_path / "absent")


def test_what_is_in_the_way_is_named_and_left(content: ContentStore, source: Path) -> None:
    place = content.folder / "toy-ct" / "1.0.0"
    place.mkdir(parents=True)
    (place / "notes.txt").write_text("mine")
    with pytest.raises(ContentError, match=r"1\.0\.0 is in the way"):
        content.add(source)
    assert _kept(content.folder) == {"toy-ct/1.0.0/notes.txt": b"mine"}


def test_a_removed_version_stays_taken(content: ContentStore, source: Path, tmp_path: Path) -> None:
    content.add(source)
    content.remove("toy-ct", "1.0.0")
    assert not content.holds(TOY)
    assert ModelStore(content.folder).versions() == ()
    with pytest.raises(UnknownModelError):
        content.remove("toy-ct", "1.0.0")
    with pytest.raises(VersionTakenError, match="was removed"):
        content.add(model_version(tmp_path, network=convolutions(5)).folder)
    content.add(source).verify()


@pytest.mark.parametrize(
    ("name", "version"), [("..", "1.0.0"), ("toy-ct", ".."), ("toy-ct", "production"), ("", "")]
)
def test_only_versions_are_removed(
    content: ContentStore, source: Path, name: str, version: str
) -> None:
    content.add(source)
    before = _kept(content.folder.parent)
    with pytest.raises(UnknownModelError):
        content.remove(name, version)
    assert _kept(content.folder.parent) == before


def test_a_version_whose_manifest_rotted_is_removed_and_added_again(
    content: ContentStore, source: Path
) -> None:
    manifest = content.add(source).folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace("tests", "tezts"))
    with pytest.raises(VersionTakenError):
        content.add(source)
    manifest.write_text(manifest.read_text()[:-20])
    content.remove("toy-ct", "1.0.0")
    content.add(source).verify()


def test_the_history_is_kept_in_order(content: ContentStore) -> None:
    assert content.history() == []
    entries = [{"alias": "ct-default@production", "serial": number} for number in range(12)]
    for entry in entries:
        content.append_history(entry)
    assert content.history() == entries
    assert ModelStore(content.folder).versions() == ()


@pytest.mark.parametrize("text", ["[]", '{"a"', ""])
def test_a_damaged_entry_of_the_history_is_named(content: ContentStore, text: str) -> None:
    content.append_history({"serial": 1})
    (entry,) = (content.folder / ".history").iterdir()
    entry.write_text(text)
    with pytest.raises(ContentError, match=entry.name):
        content.history()


# --- killed, full, at once


def test_killed_at_any_moment_it_is_whole_or_not_there(tmp_path: Path, source: Path) -> None:
    outcomes = []
    for at in range(1, 200):
        content = ContentStore(tmp_path / str(at), tmp_path / "unused")
        killed = until_killed(at, partial(content.add, source))
        if not killed:
            break
        found = ModelStore(content.folder).versions() if content.folder.exists() else ()
        for version in found:
            version.verify()
        outcomes.append(len(found))
        content.add(source).verify()
        assert not list(content.folder.glob(".incoming-*"))
        assert set(_kept(content.folder)) == {f"toy-ct/1.0.0/{name}" for name in _kept(source)}
    assert sorted(outcomes) == outcomes
    assert set(outcomes) == {0, 1}


def test_killed_while_removing_it_is_whole_or_gone(tmp_path: Path, source: Path) -> None:
    outcomes = []
    for at in range(1, 200):
        content = ContentStore(tmp_path / str(at), tmp_path / "unused")
        content.add(source)
        killed = until_killed(at, partial(content.remove, "toy-ct", "1.0.0"))
        found = ModelStore(content.folder).versions()
        for version in found:
            version.verify()
        outcomes.append(len(found))
        content.add(source).verify()
        assert not list(content.folder.glob(".incoming-*"))
        if not killed:
            break
    assert sorted(outcomes, reverse=True) == outcomes
    assert set(outcomes) == {0, 1}


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file system of 64 KiB; where none may be mounted, one that says that it is full."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    real = shutil.which("mount") and subprocess.run(mount, capture_output=True, check=False)
    if real and real.returncode == 0:
        yield folder
        subprocess.run(["umount", str(folder)], check=True)
        return

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("model_store.version_files.os.fsync", full)
        yield folder


def test_a_full_disk_keeps_nothing_of_what_did_not_fit(
    small_disk: Path, source: Path, tmp_path: Path
) -> None:
    content = ContentStore(small_disk / "models", tmp_path / "unused")
    large = model_version(tmp_path / "large", "large", network=os.urandom(80_000))
    with pytest.raises(ContentError, match="no space is left"):
        content.add(large.folder)
    assert [path.name for path in content.folder.iterdir()] == [".lock"]


def test_a_folder_that_may_not_be_written_is_said(
    content: ContentStore, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ContentError, match="Read-only"):
        content.add(source)


def test_two_at_once_add_one(content: ContentStore, source: Path, tmp_path: Path) -> None:
    other = model_version(tmp_path / "other", network=convolutions(5)).folder
    children = []
    for number in range(6):
        child = os.fork()
        if child == 0:
            code = 2
            try:
                content.add(other if number % 2 else source)
                code = 0
            except VersionTakenError:
                code = 1
            finally:
                os._exit(code)
        children.append(child)
    codes = sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
    assert codes == [0, 0, 0, 1, 1, 1]
    (version,) = ModelStore(content.folder).versions()
    version.verify()
