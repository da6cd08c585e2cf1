"""One machine with systemd, as ``docs/how-to/run-on-one-machine.md`` and the unit have it."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.forms import documents, study
from tests.forms.sandbox import Process, Sandbox
from tests.support.pacs import FakePacs
from tests.support.servers import free_port

PAGE = documents.page("how-to/run-on-one-machine.md")
CONFIG = "/etc/dicom-node/node.toml"
PATHS = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"}

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
            **PATHS,
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


@pytest.fixture(scope="module")
def installed(sandbox: Sandbox) -> Sandbox:
    """After the page's commands, and with the folders that systemd makes for the unit."""
    sandbox.install(documents.block(PAGE, "useradd"))
    assert "enable --now dicom-node" in sandbox.read("/run/systemctl")
    make_folders_of_unit(sandbox)
    return sandbox


@pytest.mark.systemd
@pytest.mark.parametrize("elsewhere", [False, True])
def test_systemd_takes_the_unit_where_the_page_puts_it(installed: Sandbox, elsewhere: bool) -> None:
    unit = "/etc/systemd/system/dicom-node.service"
    if elsewhere:  # spool and ledger in other folders
        installed.install(f"mkdir -p {unit}.d")
        installed.write(f"{unit}.d/override.conf", documents.block(PAGE, "[Unit]", "ini"))
    process = Process(
        ["systemd-analyze", "verify", unit], PATHS, "0", "0", temporary=["/tmp", "/run"]
    )
    done = installed.run(process)
    complaints = [line for line in done.stderr.splitlines() if "dicom-node" in line]
    assert (done.returncode, complaints) == (0, []), done.stderr


def test_spool_and_ledger_are_mounted_before_the_node_starts(installed: Sandbox) -> None:
    configured = tomllib.loads(installed.read(CONFIG))
    assert "database" not in configured, "the ledger lies beside the spool"
    assert documents.unit()["RequiresMountsFor"] == [configured["storage"]["path"]]


def test_installed_as_the_page_says_it_does_a_study(installed: Sandbox, tmp_path: Path) -> None:
    sandbox, port = installed, free_port()
    process, log = of_unit(), tmp_path / "node.log"
    (looked,) = re.findall(r"^sudo -u dicom-node (.*check.*)$", PAGE, re.MULTILINE)

    with FakePacs() as pacs:
        text = documents.localise(sandbox.read(CONFIG), port, {"pacs": pacs.port})
        sandbox.write(CONFIG, text)
        node = sandbox.start(process, log)
        study.wait_for_port(port, [node], log)
        sandbox.install(f"sudo -u dicom-node {looked}")

        def command(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
            return sandbox.also(process, [process.command[0], *arguments])

        sent = study.send_one(port, tmp_path)
        study.require_delivered(sent, pacs, command, log)
        study.stop([node], log)

    # Every file of the node's is closed to others.
    found = sandbox.also(process, ["find", "/var/lib/dicom-node", "-perm", "/007"])
    assert found.stdout == ""

    sandbox.install(documents.block(PAGE, "systemctl stop"))  # the upgrade
    assert sandbox.also(process, [process.command[0], "check", "--local"]).returncode == 0
