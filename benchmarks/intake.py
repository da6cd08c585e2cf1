"""Reception beside DCMTK storescp and Orthanc: images and megabytes a second, as ratios.

DCMTK storescu sends 500 CT slices of 512 x 512 and 20 radiographs of 3000 x 3000, over one and over
four associations, with TCP_NODELAY=1 on both ends (without it Debian's DCMTK waits 40 ms an image
for delayed acknowledgements, and the comparison would flatter this node). The receivers take turns,
round after round, each started afresh with an empty folder; the medians count. What was received is
counted, and a receiver that lost an image is an error.

    python -m benchmarks.intake --full --json intake.json
    python -m benchmarks.intake --quick --folder /dev/shm       # without the disk
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)
from rich.console import Console
from rich.table import Table

from dicom_node.network.accept.admission import Admission
from dicom_node.network.accept.ports import Caller, Received
from dicom_node.network.accept.server import Server
from dicom_node.spool.storage import Storage

if TYPE_CHECKING:
    from pynetdicom.dimse_primitives import C_STORE

READY_SECONDS = 60.0
SEND_SECONDS = 600.0
ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}
REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Workload:
    """So many images of one size, over so many associations."""

    name: str
    images: int
    side: int
    associations: int

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.images} {self.name} of {self.side} x {self.side}, {self.associations} assoc."


@dataclass(frozen=True)
class Measurement:
    """One round of one receiver."""

    receiver: str
    workload: str
    seconds: float
    images: int
    megabytes: float
    cpu_seconds: float | None


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

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def opened(self, caller: Caller) -> None:
        """Nothing to note."""

    def closed(self, caller: Caller, outcome: str) -> None:
        """Nothing to note."""

    def has_space(self, size_hint: int) -> bool:
        """Always."""
        return True

    def store(self, received: Received) -> int:
        """Move the file into its place; it and its name are synced."""
        final = self._storage.instance_path(received.sop_instance_uid)
        self._storage.commit(received.path, final)
        return 0x0000


def serve_node(port: int, folder: Path, reader: str) -> None:
    """Receive with this node until SIGTERM."""
    storage = Storage(folder)
    server = Server(
        "DENOISE",
        "127.0.0.1",
        port,
        Admission(ae_titles=["*"], accept_any=True),
        NoLedger(storage),
        storage,
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


def make_images(workload: Workload, folder: Path) -> list[list[Path]]:
    """Write the images, one folder an association, and return the files of each."""
    is_ct = workload.name == "CT"
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 4096, (workload.side, workload.side), dtype=np.uint16).tobytes()
    study, series = generate_uid(), generate_uid()
    parts: list[list[Path]] = [[] for _ in range(workload.associations)]
    for number in range(workload.images):
        dataset = Dataset()
        dataset.SOPClassUID = CTImageStorage if is_ct else DigitalXRayImageStorageForPresentation
        dataset.SOPInstanceUID = generate_uid()
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
        dataset.Modality = "CT" if is_ct else "DX"
        dataset.PatientID, dataset.PatientName = "BENCHMARK", "Bench^Mark"
        dataset.InstanceNumber = number + 1
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.Rows = dataset.Columns = workload.side
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        dataset.PixelRepresentation = 0
        dataset.PixelData = pixels
        dataset["PixelData"].VR = "OW"
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        part = number % workload.associations
        path = folder / str(part) / f"{number:05d}.dcm"
        path.parent.mkdir(exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)
        parts[part].append(path)
    return parts


def measure(
    receiver: Receiver, workload: Workload, parts: list[list[Path]], below: Path
) -> Measurement:
    """Start the receiver, send everything, and count what has arrived."""
    folder = Path(tempfile.mkdtemp(prefix="receiver-", dir=below))
    try:
        with _running(receiver, folder) as (port, process):
            # What a receiver does once only is not measured; one that only stores refuses it.
            subprocess.run(
                ["echoscu", "-q", "-aec", "DENOISE", "127.0.0.1", str(port)],
                check=False,
                env=ENVIRONMENT,
            )
            os.sync()
            cpu = _cpu_seconds(process.pid)
            begun = time.perf_counter()
            senders = [
                subprocess.Popen(
                    [
                        *("storescu", "-xe", "-aec", "DENOISE", "+sd", "127.0.0.1", str(port)),
                        str(part[0].parent),
                    ],
                    env=ENVIRONMENT,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                )
                for part in parts
            ]
            for sender in senders:
                _, errors = sender.communicate(timeout=SEND_SECONDS)
                if sender.returncode:
                    raise SystemExit(f"{receiver.name}: {errors.decode()[-500:]}")
            seconds = time.perf_counter() - begun
            after = _cpu_seconds(process.pid)
        arrived = receiver.count(folder)
        if arrived != workload.images:
            raise SystemExit(f"{receiver.name}: {arrived} of {workload.images} images arrived")
        size = sum(path.stat().st_size for part in parts for path in part)
        known = not receiver.forks and cpu is not None and after is not None
        used = cast(float, after) - cast(float, cpu) if known else None
        return Measurement(
            receiver.name, workload.title, seconds, workload.images, size / 1e6, used
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(receiver: Receiver, folder: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    receiver.before(port, folder)
    log = folder.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            receiver.command(port, folder),
            env=ENVIRONMENT,
            cwd=REPOSITORY,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{receiver.name} did not start: {log.read_text()[-800:]}")
            time.sleep(0.05)
        yield port, process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)
        log.unlink(missing_ok=True)


def _listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _cpu_seconds(pid: int) -> float | None:
    """Of a process and its ended children; ``None`` where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def table(workload: Workload, measured: list[Measurement], durable: dict[str, str]) -> Table:
    """Return the medians of one workload, fastest first, as ratios to the peers."""
    names = {one.receiver for one in measured}
    rates = {name: _median(measured, name, lambda one: one.images / one.seconds) for name in names}
    result = Table(title=workload.title)
    columns = ("receiver", "fsync", "images/s", "spread", "MB/s", "to storescp", "to Orthanc")
    for column in (*columns, "CPU ms/image"):
        result.add_column(column, justify="left" if column == "receiver" else "right")
    for name in sorted(names, key=lambda one: -rates[one]):
        all_rates = [one.images / one.seconds for one in measured if one.receiver == name]
        cpus = [one.cpu_seconds for one in measured if one.receiver == name]
        known = [one for one in cpus if one is not None]
        result.add_row(
            name,
            durable[name],
            f"{rates[name]:.0f}",
            f"{min(all_rates):.0f}-{max(all_rates):.0f}",
            f"{_median(measured, name, lambda one: one.megabytes / one.seconds):.0f}",
            _ratio(rates, name, "DCMTK storescp"),
            _ratio(rates, name, "Orthanc, default"),
            f"{1000 * statistics.median(known) / workload.images:.2f}" if known else "-",
        )
    return result


def _median(measured: list[Measurement], name: str, of: Callable[[Measurement], float]) -> float:
    return statistics.median(of(one) for one in measured if one.receiver == name)


def _ratio(rates: dict[str, float], name: str, peer: str) -> str:
    return f"{rates[name] / rates[peer]:.2f}" if peer in rates else "-"


def main() -> None:
    """Run the comparison, or one of the receivers in it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round of a tenth of the images")
    parser.add_argument("--full", action="store_true", help="also `dicom-node intake` on SQLite")
    parser.add_argument("--json", type=Path, help="write every measurement there")
    parser.add_argument(
        "--folder", type=Path, help="where the receivers write (default: temporary)"
    )
    parser.add_argument("--serve", nargs=3, metavar=("KIND", "PORT", "FOLDER"), help="internal")
    options = parser.parse_args()
    if options.serve:
        kind, port, folder = options.serve
        if kind == "pynetdicom":
            serve_pynetdicom(int(port), Path(folder))
        else:
            serve_node(int(port), Path(folder), kind)
        return
    if not shutil.which("storescu"):
        raise SystemExit("the sender, DCMTK storescu, is not installed")
    share = 10 if options.quick else 1
    workloads = [
        Workload(name, images // share, side, associations)
        for name, images, side in (("CT", 500, 512), ("DX", 20, 3000))
        for associations in (1, 4)
    ]
    if options.quick:
        workloads = [one for one in workloads if one.images >= one.associations]
    contenders = receivers(options.full)
    console = Console()
    measured: list[Measurement] = []
    with tempfile.TemporaryDirectory(dir=options.folder) as below:
        for workload in workloads:
            images = Path(tempfile.mkdtemp(prefix="images-", dir=below))
            parts = make_images(workload, images)
            rows = []
            for _ in range(1 if options.quick else options.rounds):
                rows += [measure(one, workload, parts, Path(below)) for one in contenders]
            shutil.rmtree(images)
            measured += rows
            console.print(table(workload, rows, {one.name: one.durable for one in contenders}))
    if options.json:
        machine = {"cpus": os.cpu_count(), "platform": platform.platform()}
        document = {"machine": machine, "measurements": [asdict(one) for one in measured]}
        options.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
