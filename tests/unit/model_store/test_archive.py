import io
import os
import stat
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_store.archive import pack, unpack
from model_store.errors import (
    ContentError,
    ManifestError,
    ModelIntegrityError,
    ModelStoreError,
    SignatureError,
)
from model_store.store import ModelVersion
from model_store.trust.key import PrivateKey
from model_store.trust.signature import sign
from tests.support.factories.models import convolutions, model_version

Entry = tuple[str, bytes]
_ONNX = convolutions().SerializeToString()


@pytest.fixture
def version(tmp_path: Path) -> ModelVersion:
    return model_version(tmp_path / "source")


def _held(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _archive(path: Path, entries: list[Entry | tuple[zipfile.ZipInfo, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w") as zipped:
        for name, data in entries:
            zipped.writestr(name, data)
    return path


def test_an_archive_unpacks_to_the_same_files(version: ModelVersion, tmp_path: Path) -> None:
    sign(version, PrivateKey(Ed25519PrivateKey.from_private_bytes(bytes(32))))
    archive = pack(version, tmp_path)
    assert archive == tmp_path / "toy-ct-1.0.0.zip"
    unpacked = unpack(archive, tmp_path / "there" / "new")
    assert unpacked.ref == version.ref
    assert _held(unpacked.folder) == _held(version.folder)
    assert not list(tmp_path.glob(".*"))


def test_an_archive_has_the_same_bytes_wherever_it_is_made(
    version: ModelVersion, tmp_path: Path
) -> None:
    first = pack(version, tmp_path / "first.zip")
    second = pack(unpack(first, tmp_path / "copy"), tmp_path / "second.zip")
    assert first.read_bytes() == second.read_bytes()
    assert zipfile.ZipFile(first).namelist() == ["manifest.json", "model.onnx"]


@settings(max_examples=25)
@given(
    network=st.binary(max_size=300),
    text=st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=40),
    minor=st.integers(0, 999),
)
def test_any_version_goes_there_and_back(network: bytes, text: str, minor: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        made = model_version(root, "any", f"1.{minor}.0", network=network, intended_use=text)
        back = unpack(pack(made, root / "a.zip"), root / "back")
        assert _held(back.folder) == _held(made.folder)
        assert back.manifest == made.manifest


def test_a_file_that_is_there_is_not_overwritten(version: ModelVersion, tmp_path: Path) -> None:
    archive = pack(version, tmp_path / "a.zip")
    assert pack(version, archive) == archive
    archive.write_bytes(b"mine")
    with pytest.raises(ContentError, match="other bytes"):
        pack(version, archive)
    assert archive.read_bytes() == b"mine"


def test_a_version_with_more_than_its_manifest_is_not_packed(
    version: ModelVersion, tmp_path: Path
) -> None:
    (version.folder / "notes.txt").write_text("?")
    with pytest.raises(ModelIntegrityError, match="notes"):
        pack(version, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_a_folder_with_something_in_it_is_left_alone(version: ModelVersion, tmp_path: Path) -> None:
    archive = pack(version, tmp_path)
    target = tmp_path / "target"
    target.mkdir()
    (target / "notes.txt").write_text("mine")
    with pytest.raises(ContentError, match="not empty"):
        unpack(archive, target)
    assert _held(target) == {"notes.txt": b"mine"}


def _manifest(version: ModelVersion) -> Entry:
    return "manifest.json", (version.folder / "manifest.json").read_bytes()


def _named(name: str) -> Callable[[ModelVersion, Path], Path]:
    return lambda version, path: _archive(
        path, [_manifest(version), ("model.onnx", _ONNX), (name, b"x")]
    )


def _twice(version: ModelVersion, path: Path) -> Path:
    with pytest.warns(UserWarning, match="Duplicate"):
        return _archive(path, [_manifest(version), ("model.onnx", b"x"), ("model.onnx", _ONNX)])


def _link(version: ModelVersion, path: Path) -> Path:
    entry = zipfile.ZipInfo("model.onnx")
    entry.create_system = 3
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return _archive(path, [_manifest(version), (entry, b"/etc/passwd")])


def _compressed(version: ModelVersion, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr(*_manifest(version))
        zipped.writestr("model.onnx", bytes(50_000_000))
    assert path.stat().st_size < 100_000
    return path


def _overlapping(version: ModelVersion, path: Path) -> Path:
    """Entries of a directory that all have the bytes of one; none is compressed."""
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr(*_manifest(version))
        zipped.writestr("model.onnx", bytes(100_000))
        first = zipped.getinfo("model.onnx")
        for number in range(40):
            more = zipfile.ZipInfo(f"{number}.bin")
            more.header_offset, more.CRC = first.header_offset, first.CRC
            more.file_size = more.compress_size = first.file_size
            zipped.filelist.append(more)
        zipped.NameToInfo = {entry.filename: entry for entry in zipped.filelist}
    return path


def _many(version: ModelVersion, path: Path) -> Path:
    more = [(f"{number}.bin", b"") for number in range(100)]
    return _archive(path, [_manifest(version), ("model.onnx", _ONNX), *more])


def _changed(version: ModelVersion, path: Path) -> Path:
    return _archive(path, [_manifest(version), ("model.onnx", _ONNX[:-1] + b"?")])


def _encrypted(version: ModelVersion, path: Path) -> Path:
    data = bytearray(pack(version, path).read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    path.write_bytes(data)
    return path


def _nameless(version: ModelVersion, path: Path) -> Path:
    """The name of an entry of the directory becomes its comment."""
    data = bytearray(pack(version, path).read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 28], data[entry + 32] = 0, data[entry + 28]
    path.write_bytes(data)
    return path


def _cut(version: ModelVersion, path: Path) -> Path:
    path.write_bytes(pack(version, path).read_bytes()[:-30])
    return path


def _empty(_version: ModelVersion, path: Path) -> Path:
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (_named("../outside"), "does not name"),
        (_named("/tmp/outside"), "does not name"),
        (_named("..\\outside"), "does not name"),
        (_named("C:outside"), "does not name"),
        (_named("more/"), "no plain file"),
        (_named("model.onnx/x"), "does not name"),
        (_named("payload.pkl"), "does not name"),
        (_twice, "twice"),
        (_link, "no plain file"),
        (_compressed, "compressed"),
        (_overlapping, "more bytes than it has|Overlapped"),
        (_many, "at most"),
        (_changed, "sha256"),
        (_encrypted, "encrypted"),
        (_nameless, "differ"),
        (_cut, "damaged"),
        (_empty, "damaged"),
    ],
)
def test_an_archive_that_is_none_of_ours_writes_nothing(
    version: ModelVersion,
    tmp_path: Path,
    made: Callable[[ModelVersion, Path], Path],
    says: str,
) -> None:
    archive = made(version, tmp_path / "evil.zip")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ModelIntegrityError, match=says):
        unpack(archive, tmp_path / "target")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_manifest_that_names_a_file_outside_is_refused(
    version: ModelVersion, tmp_path: Path
) -> None:
    name, data = _manifest(version)
    text = data.decode().replace('"files": {', f'"files": {{"../outside": "{"0" * 64}",')
    archive = _archive(
        tmp_path / "a.zip", [(name, text.encode()), ("model.onnx", _ONNX), ("../outside", b"x")]
    )
    with pytest.raises(ModelIntegrityError, match="plain file name"):
        unpack(archive, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_an_archive_without_manifest_is_refused(tmp_path: Path) -> None:
    archive = _archive(tmp_path / "a.zip", [("model.onnx", _ONNX)])
    with pytest.raises(ManifestError, match="no model version"):
        unpack(archive, tmp_path / "target")


def test_a_signature_of_something_else_is_refused(version: ModelVersion, tmp_path: Path) -> None:
    entries: list[Any] = [_manifest(version), ("model.onnx", _ONNX), ("manifest.sig", b"{}")]
    with pytest.raises(SignatureError, match="damaged"):
        unpack(_archive(tmp_path / "a.zip", entries), tmp_path / "target")


def test_an_archive_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="No such file"):
        unpack(tmp_path / "absent.zip", tmp_path / "target")


def test_a_full_disk_leaves_nothing(
    version: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pack(version, tmp_path / "a.zip")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("model_store.version_files.os.fsync", full)
    with pytest.raises(ContentError, match="No space"):
        unpack(archive, tmp_path / "target")
    with pytest.raises(ContentError, match="No space"):
        pack(version, tmp_path / "b.zip")
    assert {path.name for path in tmp_path.iterdir()} == {"a.zip", "source"}


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_spoiled_archive_is_refused_or_the_same(
    version: ModelVersion, tmp_path: Path, data: st.DataObject
) -> None:
    whole = io.BytesIO(pack(version, tmp_path / "whole.zip").read_bytes()).getvalue()
    spoiled = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(spoiled) - 1))
        spoiled[at] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(spoiled))))
    archive = tmp_path / "spoiled.zip"
    archive.write_bytes(spoiled[:cut])
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "target"
        try:
            back = unpack(archive, target)
        except ModelStoreError:
            assert not target.exists()
        else:
            assert _held(back.folder) == _held(version.folder)


def test_a_pipe_is_no_archive_and_nobody_waits_for_it(tmp_path: Path) -> None:
    pipe = tmp_path / "version.zip"
    os.mkfifo(pipe)
    with pytest.raises(ContentError, match="is no plain file"):
        unpack(pipe, tmp_path / "out")
