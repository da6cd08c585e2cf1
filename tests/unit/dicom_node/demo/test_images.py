"""Published images are taken out of their archives byte for byte, or a phantom stands in."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from dicom_node.demo import images
from dicom_node.demo.catalogue import Archive, archives
from dicom_node.demo.errors import ImagesUnavailable
from dicom_node.demo.images import cached, download, extract
from dicom_node.demo.index import Index, IndexConfig

DATA = b"DICM pixels"


def archive(whole: Path, member: str = "pack/one.dcm", data: bytes = DATA) -> Archive:
    return Archive(
        name="ct",
        project="thing",
        version="1",
        filename=whole.name,
        size=whole.stat().st_size,
        sha256=hashlib.sha256(whole.read_bytes()).hexdigest(),
        title="t",
        licence="l",
        credit="c",
        attribution="a",
        changes="n",
        rewrite_identity=False,
        files={member: hashlib.sha256(data).hexdigest()},
    )


@pytest.fixture(params=["thing.whl", "thing.tar.gz"])
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / str(request.param)
    if path.suffix == ".whl":
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("pack/one.dcm", DATA)
            packed.writestr("pack/setup.py", "raise SystemExit('must not run')")
        return path
    with tarfile.open(path, "w:gz") as packed_tar:
        for name in ("pack/one.dcm", "pack/setup.py"):
            member = tarfile.TarInfo(name)
            member.size = len(DATA)
            packed_tar.addfile(member, io.BytesIO(DATA))
        link = tarfile.TarInfo("pack/link.dcm")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        packed_tar.addfile(link)
    return path


def test_only_catalogued_members_are_taken(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    extract(archive(whole), whole, out)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == {"one.dcm": DATA}


@pytest.mark.parametrize("member", ["pack/two.dcm", "pack/link.dcm"])
def test_missing_members_and_links_are_refused(whole: Path, tmp_path: Path, member: str) -> None:
    with pytest.raises(ImagesUnavailable, match=r"no readable pack/"):
        extract(archive(whole, member), whole, tmp_path)


def test_a_changed_member_is_refused(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(ImagesUnavailable, match="not as catalogued"):
        extract(archive(whole, data=b"other"), whole, tmp_path)


def test_a_download_is_kept_and_a_damaged_cache_is_noticed(whole: Path, tmp_path: Path) -> None:
    entry, cache = archive(whole), tmp_path / "cache"
    assert cached(entry, cache) is None
    index = Index(IndexConfig((), (str(whole.parent),)))
    (file,) = download(entry, index, cache, lambda _: None)
    assert cached(entry, cache) == (file,)
    assert [p.name for p in cache.iterdir()] == [entry.sha256[:16]]
    file.write_bytes(b"damaged")
    assert cached(entry, cache) is None


def test_an_unwritable_cache_is_said(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    index = Index(IndexConfig((), (str(whole.parent),)))
    with pytest.raises(ImagesUnavailable, match="file"):
        download(archive(whole), index, tmp_path / "file" / "cache", lambda _: None)


def test_offline_without_a_cache_a_phantom_stands_in_and_says_so(tmp_path: Path) -> None:
    found = images.obtain(tmp_path / "work", offline=True, cache=tmp_path / "cache")
    assert [series.name for series in found.series] == ["ct", "dx"]
    assert all(series.source.synthetic for series in found.series)
    assert len(found.replaced) == 2
    assert "--offline" in found.replaced[0]


def test_the_catalogue_pins_every_byte_and_names_every_licence() -> None:
    ct, dx = archives()
    assert (len(ct.files), len(dx.files)) == (64, 1)
    for entry in (ct, dx):
        assert entry.licence
        assert entry.attribution
        for sha256 in (entry.sha256, *entry.files.values()):
            assert len(bytes.fromhex(sha256)) == 32


def test_the_cache_follows_the_xdg_rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert images.cache_folder() == tmp_path / "dicom-node" / "demo"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert images.cache_folder() == Path.home() / ".cache" / "dicom-node" / "demo"
