"""Deployment files fit the node: settings load, commands exist, nothing runs as root."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from dicom_node import settings
from dicom_node.cli import app
from dicom_node.signs import ROUND
from tests.support.factories.dicom import ct_slice, write
from tests.support.servers import Orthanc, StoreScp

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
EXAMPLES = sorted((DEPLOY / "examples").glob("*.toml"))
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))


def name(path: Path) -> str:
    return path.name


def commands() -> set[str]:
    return set(getattr(get_command(app), "commands", {}))


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


def documents() -> list[dict[str, Any]]:
    return [
        document
        for path in MANIFESTS
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]


def deployments() -> list[dict[str, Any]]:
    return [each for each in documents() if each["kind"] == "Deployment"]


@pytest.mark.parametrize("path", EXAMPLES, ids=name)
def test_every_example_configuration_loads(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DICOM_NODE_CONFIG", raising=False)
    loaded = settings.load(path)
    assert loaded.peers
    assert loaded.routes
    assert loaded.destinations


def test_kubernetes_has_the_cluster_example_as_its_configuration() -> None:
    (config,) = [each for each in documents() if each["kind"] == "ConfigMap"]
    example = (DEPLOY / "examples" / "cluster.toml").read_text(encoding="utf-8")
    assert tomllib.loads(config["data"]["node.toml"]) == tomllib.loads(example)


def test_compose_is_of_the_compose_specification() -> None:
    pytest.importorskip("check_jsonschema")
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec",
         str(DEPLOY / "compose.yaml")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", MANIFESTS, ids=name)
def test_manifests_are_of_the_newest_kubernetes_that_is_known(path: Path) -> None:
    schemas = pytest.importorskip("kubernetes_validate")
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        schemas.validate(document, schemas.latest_version(), strict=True)


def test_compose_services_run_without_privileges(compose: dict[str, Any]) -> None:
    for service, what in compose["services"].items():
        assert what["read_only"] is True, service
        assert what["cap_drop"] == ["ALL"], service
        assert not what["user"].startswith(("0", "root")), service
        assert "no-new-privileges:true" in what["security_opt"], service
        assert service == "migrate" or what["healthcheck"], service


def test_compose_carries_no_secret(compose: dict[str, Any]) -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    assert "PASSWORD" not in text
    assert all(what.get("env_file") for key, what in compose["services"].items() if key != "broker")


def test_deployments_run_without_privileges() -> None:
    roles = {each["metadata"]["name"] for each in deployments()}
    wanted = ("intake", "worker-infer", "worker-deliver", "upkeep")
    assert roles == {f"dicom-node-{role}" for role in wanted}
    for each in deployments():
        pod = each["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in [*pod["containers"], *pod.get("initContainers", ())]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert all("readinessProbe" in container for container in pod["containers"])


def test_whoever_asks_a_process_whether_it_is_well_has_its_own_loop_answer(
    compose: dict[str, Any],
) -> None:
    """A connection is accepted by the kernel, also for a process that is stopped."""
    for each in deployments():
        (container,) = each["spec"]["template"]["spec"]["containers"]
        role = each["metadata"]["name"].removeprefix("dicom-node-").removeprefix("worker-")
        asked = container["livenessProbe"]["exec"]["command"]
        assert asked == ["dicom-node", "check", "--role", role]
        assert "tcpSocket" not in container["readinessProbe"]
    for role in ("intake", "worker-infer", "worker-deliver", "upkeep"):
        test = compose["services"][role]["healthcheck"]["test"]
        assert test[:3] == ["CMD", "dicom-node", "check"], role


def test_systemd_ends_a_node_that_is_silent_and_waits_for_one_that_migrates() -> None:
    unit = (DEPLOY / "systemd" / "dicom-node.service").read_text(encoding="utf-8")
    found = dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))
    assert (found["Type"], found["NotifyAccess"]) == ("notify", "main")
    assert float(found["WatchdogSec"]) >= ROUND
    assert found["TimeoutStartSec"] == "infinity"


def test_every_command_that_is_deployed_exists(compose: dict[str, Any]) -> None:
    started = [what["command"] for what in compose["services"].values() if "command" in what]
    for each in deployments():
        pod = each["spec"]["template"]["spec"]
        started += [one["args"] for one in [*pod["containers"], *pod.get("initContainers", ())]]
    unit = (DEPLOY / "systemd" / "dicom-node.service").read_text(encoding="utf-8")
    started += [
        line.split() for line in re.findall(r"^Exec\w+=\S+/(dicom-node.*)$", unit, re.MULTILINE)
    ]
    used = {words[1] for words in started if words[0] == "dicom-node"}
    assert used == {"db", "intake", "upkeep", "up"}
    assert used <= commands()
    queues = {word for words in started for word in words if word.startswith("--queues=")}
    assert queues == {"--queues=infer", "--queues=deliver"}


def test_the_image_holds_neither_root_nor_pytorch() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE)[-1] == "10001:10001"
    assert re.findall(r'pip install .*"\.\[(.*)\]"$', text, re.MULTILINE) == ["postgresql,remote"]
    assert "torch" not in text
    assert "torch" not in (DEPLOY / "constraints.txt").read_text(encoding="utf-8")


@pytest.mark.systemd
def test_systemd_takes_the_unit_as_it_is() -> None:
    result = subprocess.run(
        ["systemd-analyze", "verify", str(DEPLOY / "systemd" / "dicom-node.service")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    # It says nothing of unknown keys but on standard error, and there is no such program here.
    complaints = [line for line in result.stderr.splitlines() if "not executable" not in line]
    assert [line for line in complaints if "dicom-node.service" in line] == []


def test_the_unit_gives_a_batch_time_to_finish() -> None:
    unit = (DEPLOY / "systemd" / "dicom-node.service").read_text(encoding="utf-8")
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert float(seconds) > settings.Settings().workers.lease_seconds


@pytest.mark.orthanc
@pytest.mark.dcmtk
def test_the_orthanc_example_sends_on_what_others_sent_and_not_results(tmp_path: Path) -> None:
    example = json.loads((DEPLOY / "examples" / "orthanc.json").read_text(encoding="utf-8"))
    (modality,) = example["DicomModalities"]
    script = str(DEPLOY / "examples" / "orthanc.lua")
    from_scanner, own_result = ct_slice(), ct_slice()
    with (
        StoreScp(aet="DENOISE") as node,
        Orthanc(
            aet=example["DicomAet"],
            peers={modality: ("DENOISE", node.port)},
            configuration={"LuaScripts": [script]},
        ) as pacs,
    ):
        for calling, dataset in (("DENOISE", own_result), ("CT1", from_scanner)):
            path = write(dataset, tmp_path / f"{calling}.dcm")
            subprocess.run(
                ["storescu", "-aet", calling, "-aec", pacs.aet, "127.0.0.1",
                 str(pacs.dicom_port), path],
                check=True, timeout=60,
            )  # fmt: skip
        deadline = time.monotonic() + 30
        while not node.received() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert set(pacs.instances()) == {from_scanner.SOPInstanceUID, own_result.SOPInstanceUID}
        assert set(node.received()) == {from_scanner.SOPInstanceUID}
