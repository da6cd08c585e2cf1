"""What the documents and deployment files say, read out of them and nowhere repeated."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def page(name: str) -> str:
    """Text of a page below ``docs``."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def block(text: str, containing: str, language: str = "sh") -> str:
    """The one block, of shell commands unless said otherwise, that has these words."""
    blocks = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    found = [each for each in blocks if containing in each]
    assert len(found) == 1, f"{len(found)} blocks with {containing!r}"
    return found[0]


def toml_block(text: str, containing: str) -> str:
    """The first block of settings that has these words."""
    found = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    return next(each for each in found if containing in each)


def roles(text: str) -> dict[str, list[str]]:
    """Role to command, from the table of processes."""
    table = text[text.index("| role | command |") :].split("\n\n", 1)[0]
    rows = re.findall(r"^\| (\w+) \| `([^`]+)` \|", table, re.MULTILINE)
    return {role: shlex.split(command) for role, command in rows}


def localise(text: str, port: int, destinations: Mapping[str, int]) -> str:
    """A ``node.toml`` with this machine's addresses and free ports in place of its own."""
    tables = re.split(r"(?m)^(?=\[)", text)
    for number, table in enumerate(tables):
        if table.startswith("[node]"):
            tables[number] = re.sub(r"(?m)^port = \d+", f"port = {port}", table)
        elif table.startswith("[[destinations]]"):
            name = tomllib.loads(table)["destinations"][0]["name"]
            tables[number] = re.sub(r"(?m)^port = \d+", f"port = {destinations[name]}", table)
    return re.sub(r'host = "10\.[\d./]+"', 'host = "127.0.0.1"', "".join(tables))


@dataclass(frozen=True)
class Image:
    """What ``deploy/Dockerfile`` makes.

    Attributes
    ----------
    copied : list of str
        From the context into the folder where it is installed.
    build, run : list of str
        Commands of the first and the last stage.
    environment : mapping
    user, group, folder : str
    entrypoint, command : list of str
    """

    copied: Sequence[str]
    build: Sequence[str]
    run: Sequence[str]
    environment: Mapping[str, str]
    user: str
    group: str
    folder: str
    entrypoint: Sequence[str]
    command: Sequence[str]


def image() -> Image:
    """Read the Dockerfile."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^#.*\n", "", text).replace("\\\n", " ")
    stages: list[dict[str, list[str]]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stages.append(defaultdict(list))
        stages[-1][word].append(rest)
    first, last = stages
    pairs = [pair for line in last["ENV"] for pair in shlex.split(line)]
    user, _, group = last["USER"][-1].partition(":")
    return Image(
        [word for line in first["COPY"] for word in line.split()[:-1]],
        first["RUN"], last["RUN"],
        dict(pair.split("=", 1) for pair in pairs),
        user, group, last["WORKDIR"][-1],
        json.loads(last["ENTRYPOINT"][-1]), json.loads(last["CMD"][-1]),
    )  # fmt: skip


def unit() -> dict[str, list[str]]:
    """The systemd unit: key to its values."""
    found: dict[str, list[str]] = defaultdict(list)
    text = (DEPLOY / "systemd" / "dicom-node.service").read_text(encoding="utf-8")
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found[key].append(value)
    return found


def compose() -> dict[str, Any]:
    """``compose.yaml`` with its variables' defaults."""
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def compose_environment() -> dict[str, str]:
    """``compose.env.example``."""
    lines = (DEPLOY / "compose.env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def manifests() -> list[dict[str, Any]]:
    """Every document of ``deploy/kubernetes``."""
    return [
        document
        for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]
