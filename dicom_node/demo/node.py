"""The node under demonstration: its configuration and its process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from dicom_node.demo.errors import NodeNotReady
from dicom_node.demo.network import LOOPBACK, Endpoint, answers

SCANNER = "SCANNER"
OWN_PACS, GIVEN_PACS = "demo-pacs", "given-pacs"
_READY_S, _STOP_S, _ABANDON_S, _LOG_LINES = 60.0, 30.0, 3.0, 12


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """Where a node of its own for this run keeps everything.

    Parameters
    ----------
    folder : Path
        Existing, empty folder for configuration, ledger and spool.
    log : Path
        File for its log.
    """

    folder: Path
    log: Path

    @property
    def config(self) -> Path:
        """Its ``node.toml``."""
        return self.folder / "node.toml"

    @property
    def ledger(self) -> Path:
        """Its SQLite database."""
        return self.folder / "ledger.sqlite"


def write_config(files: NodeFiles, node: Endpoint, pacs: Endpoint, given: Endpoint | None) -> None:
    """Write a ``node.toml`` with two routes: CT, and projection X-ray.

    Parameters
    ----------
    node : Endpoint
        Where the node shall listen.
    pacs : Endpoint
        The demonstration's own PACS; it gets every result, so that pictures can be made.
    given : Endpoint or None
        A PACS that the user named; it gets every result too.
    """
    destinations = {OWN_PACS: pacs} | ({GIVEN_PACS: given} if given else {})
    lines = [
        "[node]",
        f"ae_title = {_text(node.ae_title)}",
        f"port = {node.port}",
        f"host = {_text(node.host)}",
        "[storage]",
        f"path = {_text(files.folder / 'spool')}",
        "minimum_free_percent = 0.0",
        "[database]",
        f"url = {_text(f'sqlite:///{files.ledger}')}",
        "[[peers]]",
        f"ae_title = {_text(SCANNER)}",
        f"host = {_text(LOOPBACK)}",
        'may = ["echo", "store"]',
    ]
    for name, address in destinations.items():
        lines += [
            "[[destinations]]",
            f"name = {_text(name)}",
            f"ae_title = {_text(address.ae_title)}",
            f"host = {_text(address.host)}",
            f"port = {address.port}",
        ]
    names = ", ".join(_text(name) for name in destinations)
    for name, modality, model in (
        ("ct", '"CT"', "ct-default@production"),
        ("xray", '["CR", "DX"]', "xray-default@production"),
    ):
        lines += [
            "[[routes]]",
            f"name = {_text(name)}",
            f"when = {{ Modality = {modality} }}",
            f"model = {_text(model)}",
            f"destinations = [{names}]",
        ]
    files.config.write_text("\n".join(lines) + "\n", encoding="utf-8")


class NodeProcess:
    """``dicom-node up`` as a process of its own, stopped with SIGTERM.

    Parameters
    ----------
    files : NodeFiles
        Its configuration must have been written.
    address : Endpoint
        Where it will listen.
    """

    def __init__(self, files: NodeFiles, address: Endpoint) -> None:
        self._files = files
        self._address = address
        self._log: IO[bytes] = files.log.open("wb")
        # Variables of another node on this machine would redirect this one to its ledger.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("DICOM_NODE_")}
        self._process = subprocess.Popen(
            command(files.config),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches only the demonstration, which then stops it
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stop(_STOP_S if kind is None else _ABANDON_S)

    def wait_until_ready(self, timeout_s: float = _READY_S) -> None:
        """Return when it answers a C-ECHO.

        Raises
        ------
        NodeNotReady
            If it ends, or does not answer in time.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self.check()
            if answers(self._address, SCANNER):
                return
            time.sleep(0.1)
        raise NodeNotReady(f"the node did not answer a C-ECHO in {timeout_s:.0f} s{self._tail()}")

    def check(self) -> None:
        """Raise `NodeNotReady` if it has ended."""
        code = self._process.poll()
        if code is not None:
            raise NodeNotReady(f"the node ended with exit code {code}{self._tail()}")

    def stop(self, patience_s: float = _STOP_S) -> int:
        """Ask it to finish what is in hand (SIGTERM), then insist; return its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                for pid in [self._process.pid, *_descendants(self._process.pid)]:
                    _kill(pid)
        self._log.close()
        return int(self._process.wait())

    def _tail(self) -> str:
        lines = self._files.log.read_text("utf-8", "replace").splitlines()[-_LOG_LINES:]
        return f"; the end of its log {self._files.log}:\n" + "\n".join(lines)


def _descendants(pid: int) -> list[int]:
    """Return the processes that `pid` started, and theirs (Linux; elsewhere none)."""
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        children = [int(child) for child in listing.read_text().split()]
    except OSError:
        return []
    return [each for child in children for each in (child, *_descendants(child))]


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def command(config: Path) -> list[str]:
    """Return the command line that runs the whole node."""
    return [sys.executable, "-P", "-m", "dicom_node", "up", "--config", str(config)]


def _text(value: object) -> str:
    """Write a TOML basic string."""
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
