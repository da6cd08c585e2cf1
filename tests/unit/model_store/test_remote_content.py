import shutil
import sys
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from model_store.content import ContentStore
from model_store.errors import (
    ContentError,
    ManifestError,
    ModelIntegrityError,
    UnknownModelError,
    VersionTakenError,
)
from model_store.ref import ModelName
from model_store.store import ModelStore, ModelVersion
from model_store.trust.key import PrivateKey
from model_store.trust.signature import SIGNATURE, sign
from tests.support.factories.models import convolutions, model_version
from tests.support.factories.processes import until_killed

TOY = ModelName("toy-ct", "1.0.0")


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}/models"
    return f"file://{tmp_path}/a [share]/models"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return model_version(tmp_path / "source").folder


@pytest.fixture
def office(url: str, tmp_path: Path) -> ContentStore:
    return ContentStore(url, tmp_path / "office")


@pytest.fixture
def node(url: str, tmp_path: Path) -> ContentStore:
    return ContentStore(url, tmp_path / "node")


def _there(url: str) -> dict[str, bytes]:
    files, root = fsspec.core.url_to_fs(url)
    return {path.removeprefix(root): files.cat_file(path) for path in files.find(root)}


def _put(url: str, path: str, data: bytes) -> None:
    files, root = fsspec.core.url_to_fs(url)
    files.pipe_file(f"{root}/{path}", data)


def _held(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _sign(folder: Path, seed: int = 0) -> None:
    key = PrivateKey(Ed25519PrivateKey.from_private_bytes(bytes([seed] * 32)))
    sign(ModelVersion.open(folder), key)


def test_a_version_that_was_added_at_one_place_comes_to_another(
    office: ContentStore, node: ContentStore, source: Path
) -> None:
    _sign(source)
    assert office.add(source).folder == office.folder / "toy-ct" / "1.0.0"
    assert not node.holds(TOY)
    (brought,) = node.refresh().new
    assert brought.folder == node.folder / "toy-ct" / "1.0.0"
    assert _held(brought.folder) == _held(source)
    assert node.refresh().new == ()
    assert node.refresh().refused == {}


def test_nothing_there_is_nothing_new(node: ContentStore) -> None:
    assert node.refresh().new == ()
    assert node.history() == []


def test_the_manifest_is_written_last(
    office: ContentStore, source: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, _ = fsspec.core.url_to_fs(url)
    written: list[str] = []
    rename = type(files).mv

    def noted(self: Any, old: str, new: str, **options: Any) -> None:
        written.append(new.rpartition("/")[2])
        rename(self, old, new, **options)

    monkeypatch.setattr(type(files), "mv", noted)
    _sign(source)
    office.add(source)
    assert sorted(written) == sorted(_held(source))
    assert written[-1] == "manifest.json"


def test_adding_it_again_writes_nothing(office: ContentStore, source: Path, url: str) -> None:
    office.add(source)
    before = _there(url)
    shutil.rmtree(office.folder)
    office.add(source)
    assert _there(url) == before
    assert office.holds(TOY)


def test_other_bytes_under_the_same_name_are_refused(
    office: ContentStore, source: Path, url: str, tmp_path: Path
) -> None:
    office.add(source)
    shutil.rmtree(office.folder)
    before = _there(url)
    with pytest.raises(VersionTakenError, match="new number"):
        office.add(model_version(tmp_path, network=convolutions(5)).folder)
    assert _there(url) == before
    assert not office.holds(TOY)


def test_a_version_that_was_changed_there_is_refused_here(
    office: ContentStore, node: ContentStore, source: Path, url: str, tmp_path: Path
) -> None:
    office.add(source)
    node.refresh()
    before = _held(node.folder / "toy-ct" / "1.0.0")
    other = model_version(tmp_path, network=convolutions(5)).folder
    for name, data in _held(other).items():
        _put(url, f"toy-ct/1.0.0/{name}", data)
    found = node.refresh()
    assert found.new == ()
    assert isinstance(found.refused[TOY], VersionTakenError)
    assert _held(node.folder / "toy-ct" / "1.0.0") == before


@pytest.mark.parametrize(
    ("spoiled", "error"),
    [
        ({"model.onnx": b"rot"}, ModelIntegrityError),
        ({"manifest.json": b'{"name": '}, ManifestError),
    ],
)
def test_a_bad_version_keeps_no_other_away(  # noqa: PLR0917
    office: ContentStore,
    node: ContentStore,
    source: Path,
    url: str,
    tmp_path: Path,
    spoiled: dict[str, bytes],
    error: type[Exception],
) -> None:
    office.add(source)
    office.add(model_version(tmp_path, "well", network=convolutions(5)).folder)
    for name, data in spoiled.items():
        _put(url, f"toy-ct/1.0.0/{name}", data)
    found = node.refresh()
    assert [str(version.ref) for version in found.new] == ["well@1.0.0"]
    assert list(found.refused) == [TOY]
    assert isinstance(found.refused[TOY], error)
    assert [str(version.ref) for version in ModelStore(node.folder).versions()] == ["well@1.0.0"]
    office.add(source)
    assert [version.ref.name for version in node.refresh().new] == ["toy-ct"]


def test_a_file_that_is_missing_there_is_said(
    office: ContentStore, node: ContentStore, source: Path, url: str
) -> None:
    office.add(source)
    files, root = fsspec.core.url_to_fs(url)
    files.rm_file(f"{root}/toy-ct/1.0.0/model.onnx")
    assert "lacks model.onnx" in str(node.refresh().refused[TOY])
    assert not node.holds(TOY)


def test_a_version_in_the_place_of_another_is_refused(
    node: ContentStore, source: Path, url: str
) -> None:
    files, root = fsspec.core.url_to_fs(url)
    files.makedirs(f"{root}/toy-ct/2.0.0", exist_ok=True)
    for name, data in _held(source).items():
        _put(url, f"toy-ct/2.0.0/{name}", data)
    (refused,) = node.refresh().refused.values()
    assert "toy-ct@1.0.0 in the place of toy-ct@2.0.0" in str(refused)


def test_a_version_that_is_too_large_is_not_fetched(
    office: ContentStore, node: ContentStore, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.add(source)
    monkeypatch.setattr("model_store.remote_content.LARGEST", 1500)
    assert "too many" in str(node.refresh().refused[TOY])


def test_a_signature_comes_after_its_version(
    office: ContentStore, node: ContentStore, source: Path, url: str
) -> None:
    office.add(source)
    node.refresh()
    _sign(source)
    office.add(source)
    assert node.refresh().new == ()
    assert _held(node.folder / "toy-ct" / "1.0.0") == _held(source)
    _sign(source, 1)
    with pytest.raises(VersionTakenError, match="signed by key"):
        office.add(source)
    assert SIGNATURE in "".join(_there(url))


def test_a_removed_version_stays_taken_and_stays_where_it_was_fetched(
    office: ContentStore, node: ContentStore, source: Path, url: str, tmp_path: Path
) -> None:
    office.add(source)
    node.refresh()
    office.remove("toy-ct", "1.0.0")
    assert set(_there(url)) == {"/toy-ct/1.0.0.removed"}
    assert not office.holds(TOY)
    assert node.refresh().refused == {}
    assert node.holds(TOY)
    shutil.rmtree(office.folder)
    with pytest.raises(VersionTakenError, match="removed"):
        office.add(model_version(tmp_path, network=convolutions(5)).folder)
    node.remove("toy-ct", "1.0.0")
    assert not node.holds(TOY)
    with pytest.raises(UnknownModelError):
        node.remove("toy-ct", "1.0.0")


def test_the_history_is_there_for_all(office: ContentStore, node: ContentStore) -> None:
    entries = [{"serial": number} for number in range(11)]
    for number, entry in enumerate(entries):
        (office if number % 2 else node).append_history(entry)
    assert office.history() == entries
    assert node.refresh().refused == {}


def test_killed_at_any_moment_a_version_comes_whole_or_not(tmp_path: Path, source: Path) -> None:
    outcomes = []
    for at in range(1, 400):
        url = f"file://{tmp_path}/{at}"
        office = ContentStore(url, tmp_path / f"office{at}")
        killed = until_killed(at, partial(office.add, source))
        fresh = ContentStore(url, tmp_path / f"fresh{at}")
        outcomes.append(len(fresh.refresh().new))
        office.add(source)
        assert set(_there(url)) == {f"/toy-ct/1.0.0/{name}" for name in _held(source)}
        assert len(ContentStore(url, tmp_path / f"after{at}").refresh().new) == 1
        if not killed:
            break
    assert sorted(outcomes) == outcomes
    assert set(outcomes) == {0, 1}


class _Unreachable(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """A driver whose errors are its own, and tell the URL that it was given."""

    protocol = "unreachable"

    class Failed(Exception):
        pass

    def find(self, path: str, *_: Any, **__: Any) -> Any:
        raise self.Failed(f"cannot reach unreachable://user:secret@host/models for {path}")

    info = cat_file = pipe_file = find


def test_a_store_that_cannot_be_reached_is_said_without_its_password(
    tmp_path: Path, source: Path
) -> None:
    fsspec.register_implementation("unreachable", _Unreachable, clobber=True)
    content = ContentStore("unreachable://user:secret@host/models", tmp_path / "cache")
    for work in (content.refresh, content.history, lambda: content.add(source)):
        with pytest.raises(ContentError, match="unreachable://host/models") as caught:
            work()
        assert "secret" not in str(caught.value)
    assert not content.holds(TOY)


def test_a_url_that_nothing_reads_is_said(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="Protocol not known"):
        ContentStore("nosuch://bucket/models", tmp_path).refresh()


def test_without_fsspec_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ContentError, match=r"dicom-node\[remote\]"):
        ContentStore("s3://bucket/models", tmp_path)
    assert not ContentStore(tmp_path / "models", tmp_path).holds(TOY)
