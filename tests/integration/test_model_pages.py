"""What the pages on model versions say can be typed on a fresh node, in the order of the page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dicom_node.cli import app

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
PAGES = ("manage-model-versions.md", "shadow-and-replay.md")
NOTHING_MEASURED = {1, 3}
"""Exit codes of ``compare`` on a node that has seen no image: nothing ran, or too little."""

CONFIG = """
[storage]
path = "{0}/spool"
[[destinations]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
[[routes]]
name = "ct"
when = {{ Modality = "CT" }}
model = "ct-default@production"
destinations = ["pacs"]
"""


def commands(page: str) -> list[list[str]]:
    """Those on versions of the package; others name what only their owner has."""
    text = (HOW_TO / page).read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ")
    lines = [shlex.split(line, comments=True) for line in blocks.splitlines()]
    ours = [words for words in lines if words[:2] == ["dicom-node", "model"]]
    return [words[1:] for words in ours if "vendor-ct" not in " ".join(words)]


@pytest.mark.parametrize("page", [*PAGES, "trust-models.md"])
def test_a_page_names_versions_that_are_there_or_clearly_somebody_elses(page: str) -> None:
    text = (HOW_TO / page).read_text(encoding="utf-8")
    zoo = Path(__file__).parents[2] / "model_store" / "zoo"
    for name, version in re.findall(r"\b([a-z0-9-]+)[@-](\d+\.\d+\.\d+)\b", text):
        known = (zoo / name / version).is_dir()
        assert known or name in {"vendor-ct", "own-ct"}, f"{name}@{version}"


def test_every_command_of_the_pages_works_on_a_fresh_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "node.toml"
    config.write_text(CONFIG.format(tmp_path), encoding="utf-8")
    monkeypatch.setenv("DICOM_NODE_CONFIG", str(config))
    (tmp_path / "usb").mkdir()
    typed = [["db", "upgrade"], *(words for page in PAGES for words in commands(page))]
    moved = []
    for words in typed:
        given = [each.replace("/media/usb", str(tmp_path / "usb")) for each in words]
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, given)
        expected = NOTHING_MEASURED if "compare" in words else {0}
        said = result.stdout + result.stderr
        assert result.exit_code in expected, f"{shlex.join(words)}: {said}"
        moved += re.findall(r"ct-default@production stands for (\S+), before (\S+)", said)
    old, new = "drunet-ct@1.2.0", "drunet-ct@1.3.0"
    assert moved == [(old, new), (new, old), (old, new)], "put back, promoted, rolled back"
    assert (tmp_path / "usb" / "drunet-ct-1.3.0.zip").exists()
