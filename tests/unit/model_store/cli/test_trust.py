from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from model_store.cli.trust import add_trust
from model_store.ref import ModelName
from model_store.trust.quarantine import Quarantine
from tests.support.factories.models import convolutions, model_version


class Cli:
    """The commands over one store."""

    def __init__(self, zoo: Path) -> None:
        self._app = typer.Typer()
        add_trust(self._app, zoo)

    def run(self, *words: str | Path, code: int = 0) -> str:
        done = CliRunner().invoke(self._app, [str(word) for word in words])
        assert done.exit_code == code, done.output
        return done.output


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    model_version(tmp_path / "zoo")
    return tmp_path / "zoo"


@pytest.fixture
def cli(zoo: Path) -> Cli:
    return Cli(zoo)


@pytest.fixture
def trust(cli: Cli, tmp_path: Path) -> Path:
    cli.run("keygen", "site", "--owner", "Site", "--out", tmp_path / "keys")
    cli.run("sign", "toy-ct@1.0.0", "--key", tmp_path / "keys" / "site.key")
    cli.run("trust", "add", tmp_path / "keys" / "site.pub", "--trust", tmp_path / "trust")
    return tmp_path / "trust"


def test_from_a_key_to_a_verified_version(cli: Cli, trust: Path) -> None:
    assert "signed by Site" in cli.run("verify", "--trust", trust)
    assert "signed by Site" in cli.run("verify", "toy-ct@1.0.0", "--trust", trust)
    (row,) = json.loads(cli.run("verify", "--trust", trust, "--json"))["versions"]
    keys = json.loads(cli.run("trust", "list", "--trust", trust, "--json"))["keys"]
    assert row["key"] in {key["key"] for key in keys}


def test_no_output_shows_a_private_key(cli: Cli, tmp_path: Path) -> None:
    told = cli.run("keygen", "site", "--owner", "Site", "--out", tmp_path, "--json")
    secret = (tmp_path / "site.key").read_text().splitlines()[1]
    assert secret not in told
    assert "PRIVATE" not in told


def test_exit_codes(cli: Cli, zoo: Path, trust: Path, tmp_path: Path) -> None:
    cli.run("verify", "toy-ct@9.0.0", code=1)
    cli.run("verify", "../toy-ct@1.0.0", code=1)
    cli.run("verify", code=4)
    key = json.loads(cli.run("trust", "list", "--trust", trust, "--json"))["keys"][0]["key"]
    model = zoo / "toy-ct" / "1.0.0" / "model.onnx"
    before = model.read_bytes()
    model.write_bytes(b"other")
    cli.run("verify", "--trust", trust, code=5)
    cli.run("sign", "toy-ct@1.0.0", "--key", tmp_path / "keys" / "site.key", code=5)
    model.write_bytes(before)
    cli.run("trust", "revoke", key, "--reason", "lost", "--trust", trust)
    assert "lost" in cli.run("verify", "--trust", trust, code=4)
    (zoo / "toy-ct" / "1.0.0" / "manifest.sig").unlink()
    cli.run("verify", "--trust", trust, code=3)


def test_a_signed_file_that_is_no_graph_is_refused(
    cli: Cli, zoo: Path, trust: Path, tmp_path: Path
) -> None:
    model_version(zoo, "bad", network=b"not onnx")
    cli.run("sign", "bad@1.0.0", "--key", tmp_path / "keys" / "site.key")
    cli.run("verify", "--trust", trust, code=7)


def test_a_person_takes_a_version_out_of_quarantine(
    cli: Cli, zoo: Path, trust: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    options: list[str | Path] = ["--trust", trust, "--state", state]
    Quarantine(state).put(ModelName("toy-ct", "1.0.0"), "a byte changed")
    assert "a byte changed" in cli.run("verify", *options, code=6)
    model = zoo / "toy-ct" / "1.0.0" / "model.onnx"
    before = model.read_bytes()
    model.write_bytes(b"other")
    cli.run("verify", *options, "--release", code=5)
    model.write_bytes(before)
    cli.run("verify", *options, code=6)
    cli.run("verify", *options, "--release")
    cli.run("verify", *options)
    cli.run("verify", "--release", code=2)


def test_a_passphrase_comes_from_a_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "phrase").write_text("correct horse\n")
    phrase: list[str | Path] = ["--passphrase-file", tmp_path / "phrase"]
    cli.run("keygen", "site", "--owner", "Site", "--out", tmp_path, *phrase)
    cli.run("sign", "toy-ct@1.0.0", "--key", tmp_path / "site.key", code=1)
    cli.run("sign", "toy-ct@1.0.0", "--key", tmp_path / "site.key", *phrase)


def test_the_package_can_leave_quarantine_unsigned_and_other_stores_cannot(
    cli: Cli, zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarantine = Quarantine(tmp_path / "state")
    options: list[str | Path] = ["--state", tmp_path / "state"]
    quarantine.put(ModelName("toy-ct", "1.0.0"), "a byte changed")
    cli.run("verify", *options, "--release", code=3)
    assert quarantine.notes()
    monkeypatch.setattr("model_store.cli.trust.packaged_zoo", lambda: zoo)
    cli.run("verify", *options, "--release", code=3)
    assert not quarantine.notes()
    (zoo / "toy-ct" / "1.0.0" / "model.onnx").write_bytes(b"other")
    cli.run("verify", code=5)


def test_a_network_is_run_against_its_manifest(
    cli: Cli, zoo: Path, trust: Path, tmp_path: Path
) -> None:
    cli.run("verify", "--trust", trust)
    model_version(zoo, "liar", network=convolutions(amplitude=0.001), output="image")
    cli.run("sign", "liar@1.0.0", "--key", tmp_path / "keys" / "site.key")
    cli.run("verify", "liar@1.0.0", "--trust", trust)
    assert "output" in cli.run("verify", "liar@1.0.0", "--trust", trust, "--run", code=7)
