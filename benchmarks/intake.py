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
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

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

from benchmarks._machine import REPOSITORY
from benchmarks._receivers import Receiver, receivers, serve_node, serve_pynetdicom

READY_SECONDS = 60.0
SEND_SECONDS = 600.0
ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}


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
                    said = folder.with_suffix(".log").read_text(encoding="utf-8")[-2000:]
                    raise SystemExit(
                        f"{receiver.name}: storescu ended with {sender.returncode}: "
                        f"{errors.decode()[-500:]}\n{said}"
                    )
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
