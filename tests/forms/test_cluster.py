"""Separate processes on PostgreSQL and Redis, as ``docs/how-to/run-as-a-cluster.md`` has them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.forms import documents, study
from tests.forms.sandbox import Process, Sandbox
from tests.support.pacs import FakePacs
from tests.support.postgres import Postgres
from tests.support.servers import Redis, free_port

PAGE = documents.page("how-to/run-as-a-cluster.md")
NODE = "/opt/dicom-node"

pytestmark = [
    pytest.mark.dcmtk, pytest.mark.redis, pytest.mark.postgresql, pytest.mark.timeout(900),
]  # fmt: skip


def test_installed_as_the_page_says_it_does_a_study(
    sandbox: Sandbox, redis_server: Redis, postgres_server: Postgres, tmp_path: Path
) -> None:
    sandbox.install(documents.block(PAGE, "python3 -m venv"))
    (config,) = re.findall(r"`DICOM_NODE_CONFIG=(\S+)`", PAGE)
    port, log = free_port(), tmp_path / "node.log"
    database = postgres_server.create_database("form").replace("postgresql+psycopg", "postgresql")
    variables = ("DICOM_NODE_DATABASE__URL", "DICOM_NODE_BROKER__URL")
    assert all(f"`{name}`" in PAGE for name in variables)
    environment = {
        "PATH": f"{NODE}/bin:/usr/bin:/bin",
        "DICOM_NODE_CONFIG": config,
        **dict(zip(variables, (database, redis_server.url), strict=True)),
    }
    sandbox.install("useradd --system dicom-node; install -d -o dicom-node /var/lib/dicom-node")
    process = Process(
        [], environment, "dicom-node", "dicom-node", "/tmp",
        writable=["/var/lib/dicom-node"], temporary=["/tmp"],
    )  # fmt: skip

    def command(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return sandbox.also(process, ["dicom-node", *arguments])

    with FakePacs() as pacs, FakePacs() as research:
        example = (documents.DEPLOY / "examples" / "cluster.toml").read_text(encoding="utf-8")
        ports = {"pacs": pacs.port, "research": research.port}
        sandbox.install("mkdir /etc/dicom-node")
        sandbox.write(config, documents.localise(example, port, ports))
        before = command(["db", "upgrade"])
        assert before.returncode == 0, before.stderr
        # `--config node.toml` of the table is the file that the variable names.
        roles = {
            role: [config if word == "node.toml" else word for word in words]
            for role, words in documents.roles(PAGE).items()
        }
        assert set(roles) == {"intake", "infer", "deliver", "upkeep"}
        nodes = [sandbox.start(replace(process, command=each), log) for each in roles.values()]
        study.wait_for_port(port, nodes, log)
        sent = study.send_one(port, tmp_path)
        study.require_delivered(sent, pacs, command, log)
        research.wait_for(study.SLICES)
        checked = command(["check"])
        assert checked.returncode == 0, checked.stdout
        study.stop(nodes, log)
