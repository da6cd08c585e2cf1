"""``model-store pack``: a vendor without a node makes the zip file that a node imports."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from model_store.archive import unpack
from model_store.cli import app
from model_store.trust.signature import sign
from tests.support.factories.models import model_version
from tests.support.factories.released import key_pair


def _pack(zoo: Path, out: Path, version: str = "toy-ct@1.0.0") -> Result:
    return CliRunner().invoke(app, ["pack", version, "--zoo", str(zoo), "--out", str(out)])


@pytest.mark.parametrize("signed", [True, False])
def test_a_version_is_packed_with_its_signature(tmp_path: Path, signed: bool) -> None:
    version = model_version(tmp_path / "zoo")
    if signed:
        sign(version, key_pair(tmp_path / "keys"))
    done = _pack(tmp_path / "zoo", tmp_path / "toy.zip")
    assert done.exit_code == 0, done.output
    assert ("not signed" in done.output) is not signed
    unpacked = unpack(tmp_path / "toy.zip", tmp_path / "out")
    assert unpacked.ref == version.ref
    assert (unpacked.folder / "manifest.sig").is_file() is signed


def test_what_is_not_there_or_changed_is_not_packed(tmp_path: Path) -> None:
    version = model_version(tmp_path / "zoo")
    done = _pack(tmp_path / "zoo", tmp_path / "toy.zip", "toy-ct@9.9.9")
    assert done.exit_code == 1
    assert "no model toy-ct@9.9.9" in " ".join(done.output.split())
    version.onnx_path.write_bytes(b"changed")
    assert _pack(tmp_path / "zoo", tmp_path / "toy.zip").exit_code == 1
    assert not (tmp_path / "toy.zip").exists()
