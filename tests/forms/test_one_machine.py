"""One machine with systemd, as ``docs/how-to/run-on-one-machine.md`` and the unit have it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.forms import documents, study
from tests.forms.sandbox import Process, Sandbox
from tests.support.pacs import FakePacs
from tests.support.servers import free_port

PAGE = documents.page("how-to/run-on-one-machine.md")
CONFIG = "/etc/dicom-node/node.toml"

pytestmark = [pytest.mark.dcmtk, pytest.mark.timeout(900)]


def of_unit() -> Process:
    """What systemd would start, with what the unit takes away of the machine."""
    unit = documents.unit()
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["PrivateTmp"] == unit["NoNewPrivileges"] == ["true"]
    # What systemd makes for StateDirectory and CacheDirectory.
    folders = [f"/var/lib/{name}" for name in unit["StateDirectory"]]
    folders += [f"/var/cache/{name}" for name in unit["CacheDirectory"]]
    return Process(
        shlex.split(unit["ExecStart"][0]),
        {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
            "CACHE_DIRECTORY": folders[1],
            "STATE_DIRECTORY": folders[0],
            **dict(line.split("=", 1) for line in unit["Environment"]),
        },
        unit["User"][0], unit["Group"][0], unit["WorkingDirectory"][0],
        writable=folders, temporary=["/tmp"], umask=unit["UMask"][0],
        capabilities="-all,+net_bind_service",
    )  # fmt: skip


def make_folders_of_unit(sandbox: Sandbox) -> None:
    """What systemd does before it starts the unit."""
    unit = documents.unit()
    owner = f"-o {unit['User'][0]} -g {unit['Group'][0]}"
    for kind, parent in (("State", "/var/lib"), ("Cache", "/var/cache")):
        mode, name = unit[f"{kind}DirectoryMode"][0], unit[f"{kind}Directory"][0]
        sandbox.install(f"install -d -m {mode} {owner} {parent}/{name}")


def test_installed_as_the_page_says_it_does_a_study(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.install(documents.block(PAGE, "useradd"))
    assert "enable --now dicom-node" in sandbox.read("/run/systemctl")
    port = free_port()
    make_folders_of_unit(sandbox)
    process, log = of_unit(), tmp_path / "node.log"
    (looked,) = re.findall(r"^sudo -u dicom-node (.*check.*)$", PAGE, re.MULTILINE)

    with FakePacs() as pacs:
        text = documents.localise(sandbox.read(CONFIG), port, {"pacs": pacs.port})
        sandbox.write(CONFIG, text)
        node = sandbox.start(process, log)
        study.wait_for_port(port, [node], log)
        sandbox.install(f"sudo -u dicom-node {looked}")

        def command(arguments: Sequence[str]):
            return sandbox.also(process, [process.command[0], *arguments])

        sent = study.send_one(port, tmp_path)
        study.require_delivered(sent, pacs, command, log)
        study.stop([node], log)

    # Every file of the node's is closed to others.
    found = sandbox.also(process, ["find", "/var/lib/dicom-node", "-perm", "/007"])
    assert found.stdout == ""

    sandbox.install(documents.block(PAGE, "systemctl stop"))  # the upgrade
    assert sandbox.also(process, [process.command[0], "check", "--local"]).returncode == 0
