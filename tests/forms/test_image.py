"""The image of ``deploy/Dockerfile``, by itself, by ``compose.yaml``, and by the manifests.

No container runs here: what the Dockerfile installs is installed, and every container's command,
environment, user, folders, read-only root and probes are run as they are declared.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.forms import documents, study
from tests.forms.sandbox import Process, Sandbox
from tests.support.pacs import FakePacs
from tests.support.postgres import Postgres
from tests.support.servers import Redis, free_port

IMAGE = documents.image()
IGNORED = (documents.ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
CONFIG = IMAGE.environment["DICOM_NODE_CONFIG"]

pytestmark = [
    pytest.mark.dcmtk, pytest.mark.redis, pytest.mark.postgresql, pytest.mark.timeout(900),
]  # fmt: skip


@pytest.fixture(scope="module")
def image(sandbox: Sandbox) -> Sandbox:
    """What ``docker build`` would make, in the sandbox."""
    sent = {line[1:] for line in IGNORED if line.startswith("!")}
    assert set(IMAGE.copied) <= sent, "the context leaves out what the Dockerfile copies"
    sandbox.install(
        "mkdir /tmp/context && cp -r " + " ".join(IMAGE.copied) + " /tmp/context/", "/src"
    )
    for line in IMAGE.build:
        sandbox.install(line, "/tmp/context")
    sandbox.install("rm -r /tmp/context", "/")
    for line in IMAGE.run:
        sandbox.install(line, "/")
    return sandbox


def port_of(address: int, port: int, words: Sequence[str]) -> list[str]:
    """A command with this test's port in place of the declared one."""
    return [word.replace(str(address), str(port)) for word in words]


class Containers:
    """Containers of one form: started in order, and what they say of themselves asked for."""

    def __init__(self, image: Sandbox, folder: Path, port: int) -> None:
        self._image = image
        self._port = port
        self.log = folder / "containers.log"
        self.processes: dict[str, Process] = {}
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, process: Process) -> None:
        """Start what goes on."""
        self.processes[name] = process
        self.running.append(self._image.start(process, self.log))

    def finish(self, process: Process) -> None:
        """Run what ends, such as a migration."""
        done = self._image.run(process)
        assert done.returncode == 0, done.stdout + done.stderr

    def do_a_study(self, pacs: FakePacs, folder: Path) -> None:
        """Send one, have it delivered."""
        study.wait_for_port(self._port, self.running, self.log)
        sent = study.send_one(self._port, folder)
        process = next(iter(self.processes.values()))
        study.require_delivered(
            sent, pacs,
            lambda words: self._image.also(process, [*IMAGE.entrypoint, "dicom-node", *words]),
            self.log,
        )  # fmt: skip

    def ask(self, name: str, command: Sequence[str]) -> None:
        """Run a health check or a probe in its container."""
        words = port_of(11112, self._port, command)
        done = self._image.also(self.processes[name], words)
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """A volume at first use: a container engine gives it owner and mode of the image's folder."""
    made = tmp_path / "spool"
    made.mkdir(mode=0o750)
    shutil.chown(made, int(IMAGE.user), int(IMAGE.group))
    tmp_path.chmod(0o755)
    return made


@pytest.fixture
def pacs() -> Iterator[FakePacs]:
    with FakePacs() as made:
        yield made


@pytest.fixture
def destinations(pacs: FakePacs) -> Iterator[dict[str, FakePacs]]:
    """The destinations of ``deploy/examples/cluster.toml``."""
    with FakePacs() as research:
        yield {"pacs": pacs, "research": research}


@pytest.fixture
def addresses(
    postgres_server: Postgres, redis_server: Redis, request: pytest.FixtureRequest
) -> dict[str, str]:
    """Of an empty database and the broker, as the containers get them."""
    name = request.node.name.removeprefix("test_the_")
    url = postgres_server.create_database(name).replace("postgresql+psycopg", "postgresql")
    return {"DICOM_NODE_DATABASE__URL": url, "DICOM_NODE_BROKER__URL": redis_server.url}


def test_the_image_by_itself(image: Sandbox, spool: Path, pacs: FakePacs, tmp_path: Path) -> None:
    config, port = tmp_path / "node.toml", free_port()
    example = (documents.DEPLOY / "examples" / "minimal.toml").read_text(encoding="utf-8")
    config.write_text(documents.localise(example, port, {"pacs": pacs.port}), encoding="utf-8")
    containers = Containers(image, tmp_path, port)
    containers.start(
        "node",
        Process(
            [*IMAGE.entrypoint, *IMAGE.command],
            {"PATH": "/usr/bin:/bin", **expanded(IMAGE.environment)},
            IMAGE.user, IMAGE.group, IMAGE.folder,
            binds={IMAGE.folder: spool, "/etc/dicom-node/node.toml": config},
            temporary=["/tmp"], locked=["/etc/dicom-node/node.toml"],
        ),
    )  # fmt: skip
    containers.do_a_study(pacs, tmp_path)
    study.stop(containers.running, containers.log)


def expanded(environment: Mapping[str, str]) -> dict[str, str]:
    """ENV with ``$PATH`` of the base image."""
    base = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {key: value.replace("$PATH", base) for key, value in environment.items()}


def test_the_services_of_compose(
    image: Sandbox,
    spool: Path,
    destinations: dict[str, FakePacs],
    addresses: dict[str, str],
    tmp_path: Path,
) -> None:
    declared, port = documents.compose(), free_port()
    config = tmp_path / "node.toml"
    example = documents.compose_environment()
    assert addresses.keys() <= example.keys()
    ports = {name: each.port for name, each in destinations.items()}
    containers = Containers(image, tmp_path, port)

    def process(service: dict[str, Any]) -> Process:
        volumes = dict(reversed(each.removesuffix(":ro").split(":")) for each in service["volumes"])
        (path,) = (path for path, origin in volumes.items() if origin.endswith(".toml"))
        text = (documents.DEPLOY / volumes[path]).read_text(encoding="utf-8")
        config.write_text(documents.localise(text, port, ports), encoding="utf-8")
        user, _, group = service["user"].partition(":")
        assert service["cap_drop"] == ["ALL"]
        return Process(
            [*IMAGE.entrypoint, *service["command"]],
            {**expanded(IMAGE.environment), **example, **addresses, **service["environment"]},
            user, group, IMAGE.folder,
            binds={path: config, next(p for p, v in volumes.items() if v == "spool"): spool},
            temporary=[each.partition(":")[0] for each in service["tmpfs"]],
            read_only=service["read_only"],
            locked=[path],
        )  # fmt: skip

    services = {
        name: each for name, each in declared["services"].items()
        if each["image"].startswith("dicom-node:")
    }  # fmt: skip
    containers.finish(process(services.pop("migrate")))
    assert set(services) == {"intake", "worker-infer", "worker-deliver", "upkeep"}
    for name, service in services.items():
        containers.start(name, process(service))
    containers.do_a_study(destinations["pacs"], tmp_path)
    destinations["research"].wait_for(study.SLICES)
    for name, service in services.items():
        how, *words = service["healthcheck"]["test"]
        assert how == "CMD"
        containers.ask(name, words)
    study.stop(containers.running, containers.log)


def test_the_containers_of_kubernetes(
    image: Sandbox,
    destinations: dict[str, FakePacs],
    addresses: dict[str, str],
    tmp_path: Path,
) -> None:
    port = free_port()
    documents_of = documents.manifests()
    (settings,) = (each for each in documents_of if each["kind"] == "ConfigMap")
    ports = {name: each.port for name, each in destinations.items()}
    config = tmp_path / "config"
    config.mkdir()
    for name, text in settings["data"].items():
        (config / name).write_text(documents.localise(text, port, ports), encoding="utf-8")
    spool = tmp_path / "claim"
    spool.mkdir()
    page = documents.page("how-to/run-as-a-cluster.md")
    assert set(addresses) == set(re.findall(r"--from-literal=(\w+)=", page))
    tmp_path.chmod(0o755)
    containers = Containers(image, tmp_path, port)

    def process(pod: dict[str, Any], container: dict[str, Any]) -> Process:
        owner = pod["securityContext"]
        # fsGroup: the volume belongs to that group, which may write, and new files are its own.
        shutil.chown(spool, "root", owner["fsGroup"])
        spool.chmod(0o2775)
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["envFrom"] == [{"secretRef": {"name": "dicom-node"}}]
        origins = {"config": config, "spool": spool}
        mounts = {each["mountPath"]: each for each in container["volumeMounts"]}
        volumes = {each["name"]: each for each in pod["volumes"]}
        return Process(
            [*IMAGE.entrypoint, *container["args"]],
            {**expanded(IMAGE.environment), **addresses},
            str(owner["runAsUser"]), str(owner["runAsGroup"]), IMAGE.folder,
            binds={
                path: origins[each["name"]] for path, each in mounts.items()
                if "emptyDir" not in volumes[each["name"]]
            },
            temporary=[p for p, each in mounts.items() if "emptyDir" in volumes[each["name"]]],
            read_only=container["securityContext"]["readOnlyRootFilesystem"],
            locked=[path for path, each in mounts.items() if each.get("readOnly")],
        )  # fmt: skip

    pods = [
        each["spec"]["template"]["spec"] for each in documents_of if each["kind"] == "Deployment"
    ]
    for pod in pods:
        for container in pod.get("initContainers", ()):
            containers.finish(process(pod, container))
    probes = []
    for pod in pods:
        for container in pod["containers"]:
            containers.start(container["name"], process(pod, container))
            probes += [
                (container, container[kind])
                for kind in ("startupProbe", "readinessProbe", "livenessProbe")
            ]
    containers.do_a_study(destinations["pacs"], tmp_path)
    destinations["research"].wait_for(study.SLICES)
    for container, probe in probes:
        if "exec" in probe:
            containers.ask(container["name"], probe["exec"]["command"])
        else:
            (number,) = (
                each["containerPort"] for each in container["ports"]
                if each["name"] == probe["tcpSocket"]["port"]
            )  # fmt: skip
            assert number == 11112
            with socket.create_connection(("127.0.0.1", port), 3):
                pass
    study.stop(containers.running, containers.log)


def test_a_container_cannot_write_where_it_says_it_cannot(image: Sandbox, spool: Path) -> None:
    process = Process(
        [], expanded(IMAGE.environment), IMAGE.user, IMAGE.group, IMAGE.folder,
        binds={IMAGE.folder: spool}, temporary=["/tmp"],
    )  # fmt: skip
    for path, can in (("/var/lib/dicom-node", True), ("/tmp", True), ("/opt/dicom-node", False),
                      ("/etc", False), ("/", False), ("/src", False)):  # fmt: skip
        for user in (IMAGE.user, "0"):
            done = image.also(replace(process, user=user), ["touch", f"{path}/written"])
            writes = can and (user == IMAGE.user or path == "/tmp")
            assert (done.returncode == 0) is writes, f"{path} as {user}: {done.stderr}"
