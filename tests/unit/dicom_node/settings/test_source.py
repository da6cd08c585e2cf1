"""Which configuration a command works on: the one that is meant, and never none by mistake."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dicom_node.errors import ConfigError
from dicom_node.settings import load
from dicom_node.settings.source import named_source, require_source, source_of


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DICOM_NODE_")]:
        monkeypatch.delenv(name)


def test_what_is_named_comes_first_and_then_the_usual_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = tmp_path / "node.toml"
    assert source_of(None, usual) is None
    usual.touch()
    assert source_of(None, usual) == usual
    assert named_source() is None, "who needs no node, as denoise, takes only what is named"
    monkeypatch.setenv("DICOM_NODE_CONFIG", "/elsewhere/node.toml")
    assert source_of(None, usual) == Path("/elsewhere/node.toml")
    assert source_of(Path("given.toml"), usual) == Path("given.toml")


def test_nobody_works_on_defaults_by_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = tmp_path / "node.toml"
    with pytest.raises(ConfigError, match="there is no configuration") as caught:
        require_source(None, usual)
    assert f"config init {usual}" in str(caught.value)
    monkeypatch.setenv("DICOM_NODE_LOG_LEVEL", "x")  # no key: it has no section
    with pytest.raises(ConfigError):
        require_source(None, usual)
    monkeypatch.setenv("DICOM_NODE_NODE__PORT", "11113")
    assert require_source(None, usual) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_a_file_that_may_not_be_read_is_not_told_to_be_written_anew(tmp_path: Path) -> None:

    path = tmp_path / "node.toml"
    path.write_text("")
    path.chmod(0o600)
    os.seteuid(65534)
    try:
        with pytest.raises(ConfigError, match="run the command as the node's user") as caught:
            load(path)
    finally:
        os.seteuid(0)
    assert "config init" not in str(caught.value)
