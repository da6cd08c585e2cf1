"""Receivers that the benchmark of reception compares, this node among them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from benchmarks._machine import REPOSITORY
from dicom_node.network.accept.admission import Admission
from dicom_node.network.accept.ports import Caller, ReceivedInstance
from dicom_node.network.accept.server import Server
from dicom_node.spool.spool import Spool

if TYPE_CHECKING:
    from pynetdicom.dimse_primitives import C_STORE


@dataclass(frozen=True)
class Receiver:
    """A program that receives: how to start it, and where its files end up.

    Its CPU time is read while it runs, so it is not known of one that forks for an association.
    """

    name: str
    durable: str
    command: Callable[[int, Path], list[str]]
    count: Callable[[Path], int]
    before: Callable[[int, Path], None] = lambda port, folder: None
    forks: bool = False


class NoLedger:
    """Takes over durably, and writes no ledger."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def opened(self, caller: Caller) -> None:
        """Nothing to note."""

    def closed(self, caller: Caller, outcome: str) -> None:
        """Nothing to note."""

    def has_space(self, size_hint: int) -> bool:
        """Always."""
        return True

    def store(self, received: ReceivedInstance) -> int:
        """Move the file into its place; it and its name are synced."""
        final = self._spool.instance_path(received.sop_instance_uid)
        self._spool.commit(received.path, final)
        return 0x0000


def serve_node(port: int, folder: Path, reader: str) -> None:
    """Receive with this node until SIGTERM."""
    spool = Spool(folder)
    server = Server(
        "DENOISE",
        "127.0.0.1",
        port,
        Admission(ae_titles=["*"], accept_any=True),
        NoLedger(spool),
        spool,
        reader="inline" if reader == "inline" else "stock",
    )
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    server.start()
    stop.wait()
    server.stop(5)


def serve_pynetdicom(port: int, folder: Path) -> None:
    """Receive as pynetdicom's documentation suggests for speed: the encoded data set, unlimited."""
    from pynetdicom import AE, AllStoragePresentationContexts, evt  # noqa: PLC0415

    def store(event: evt.Event) -> int:
        name = cast("C_STORE", event.request).AffectedSOPInstanceUID
        (folder / f"{name}.dcm").write_bytes(event.encoded_dataset())
        return 0x0000

    ae = AE("DENOISE")
    ae.maximum_pdu_size = 0
    ae.supported_contexts = AllStoragePresentationContexts
    ae.start_server(("127.0.0.1", port), evt_handlers=[(evt.EVT_C_STORE, store)])


def receivers(full: bool) -> list[Receiver]:
    """Return those that are installed."""
    this = [sys.executable, "-m", "benchmarks.intake"]

    def of_node(reader: str) -> Callable[[int, Path], list[str]]:
        return lambda port, folder: [*this, "--serve", reader, str(port), str(folder)]

    found = [
        Receiver("node, inline reader, no ledger", "yes", of_node("inline"), _files("instances")),
        Receiver("node, stock reader, no ledger", "yes", of_node("stock"), _files("instances")),
        Receiver("pynetdicom, encoded data set", "no", of_node("pynetdicom"), _files(".")),
    ]
    if full:
        command = [sys.executable, "-m", "dicom_node"]
        found.append(
            Receiver(
                "dicom-node intake (SQLite ledger)",
                "yes",
                lambda port, folder: [*command, "intake", "--config", str(folder / "node.toml")],
                _files("spool/instances"),
                _configure(command),
            )
        )
    if shutil.which("storescp"):
        found.append(
            Receiver(
                "DCMTK storescp",
                "no",
                lambda port, folder: [
                    *("storescp", "--fork", "+B", "-pdu", "131072", "-od", str(folder), str(port))
                ],
                _files("."),
                forks=True,
            )
        )
    orthanc = shutil.which("Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if orthanc:
        found.append(
            Receiver(
                "Orthanc, default",
                "yes",
                lambda port, folder: [orthanc, str(folder / "orthanc.json")],
                _files("storage", attachments=2),
                _write_orthanc,
            )
        )
    return found


def _files(below: str, attachments: int = 1) -> Callable[[Path], int]:
    def count(folder: Path) -> int:
        suffixless = (p for p in (folder / below).rglob("*") if p.is_file())
        kept = [p for p in suffixless if p.suffix != ".part" and not p.name.startswith("index")]
        return len(kept) if attachments == 1 else sum(p.stat().st_size > 100_000 for p in kept)

    return count


def _write_orthanc(port: int, folder: Path) -> None:
    configuration = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpServerEnabled": False,
        "DicomPort": port,
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowEcho": True,
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(configuration))


def _configure(command: Sequence[str]) -> Callable[[int, Path], None]:
    def write(port: int, folder: Path) -> None:
        config = folder / "node.toml"
        config.write_text(
            f'[node]\nport = {port}\nhost = "127.0.0.1"\nany_called_ae_title = true\n'
            f'[storage]\npath = "{folder / "spool"}"\n'
            '[intake]\nunknown_peers = "accept"\n[log]\nlevel = "warning"\n'
        )
        subprocess.run(
            [*command, "db", "upgrade", "--config", str(config)],
            check=True,
            cwd=REPOSITORY,
            capture_output=True,
        )

    return write
