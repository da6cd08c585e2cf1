"""The whole main job beside the bare engine: first byte out to last result in the PACS.

DCMTK storescu sends a series to ``dicom-node up`` (SQLite, embedded broker, default settings),
which denoises it and sends the results to DCMTK storescp. The same number of images of the same
size go through the same engine alone: the same model version and settings, in one process, with
nothing else running, half of them before the node and half after, so that a machine that changes
its pace meets both alike. Times are those of the files: the last byte of the last result counts.
A series through a model of two small convolutions shows what the node costs beside its engine.

    python -m benchmarks.main_job --json main_job.json
    python -m benchmarks.main_job --slices 50 --rounds 3 --precision bf16
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks._images import DX_SIZE, Phantom
from benchmarks._machine import REPOSITORY, busy_cores, cpu_seconds, end_in_order, report, write
from model_store.engines.select import choose_engine
from model_store.ref import ModelName
from model_store.store import ModelStore
from tests.support.factories.models import model_version
from tests.support.node import RunningNode
from tests.support.servers import StoreScp
from workers.tiling import default_tile, spans

CT = "ct-default@production"
XRAY = "xray-default@production"
FEATHER = "feather@1.0.0"
CT_SIZE = (512, 512)
LONGEST_SECONDS = 1800.0
LOOK_SECONDS = 0.1

CONFIGURATION = """
[node]
host = "127.0.0.1"
port = {port}
[storage]
path = "{spool}"
minimum_free_percent = 0
[intake]
unknown_peers = "accept"
[log]
format = "json"
[workers]
precision = "{precision}"
threads = {threads}
[models]
path = "{models}"
unsigned = "accept"
[[destinations]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = {pacs}
[[routes]]
name = "ct"
when = {{ Modality = "CT" }}
model = "{ct}"
destinations = ["pacs"]
[[routes]]
name = "xray"
when = {{ Modality = ["CR", "DX"] }}
model = "{xray}"
destinations = ["pacs"]
"""


@dataclass(frozen=True, slots=True)
class Work:
    """Something to denoise: so many images of one size by one model."""

    name: str
    model: str
    images: int
    size: tuple[int, int]

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.images} {self.name} of {self.size[1]} x {self.size[0]}"


@dataclass(frozen=True, slots=True)
class Trip:
    """One series through the node; seconds since the scanner started to send.

    Parameters
    ----------
    received : float
        The node has the last byte.
    first, last : float
        The PACS has all of the first, and of the last result.
    engine : float
        What the node spent in its engine, while it did everything else as well.
    cpu : dict
        CPU seconds of each process.
    """

    received: float
    first: float
    last: float
    engine: float
    cpu: dict[str, float]


@dataclass(frozen=True, slots=True)
class Round:
    """The node and the bare engine in turn."""

    work: str
    images: int
    trip: Trip
    bare: float


class Setup:
    """A node and a PACS, ready and warm; `ct` is the model of its route for CT."""

    def __init__(self, folder: Path, options: argparse.Namespace, pacs: StoreScp, ct: str) -> None:
        self._pacs = pacs
        self._node = RunningNode(folder)
        self._node.environment = {"TCP_NODELAY": "1", "PYTHONPATH": str(REPOSITORY)}
        self._spool = folder / "spool"
        self._node.config.write_text(
            CONFIGURATION.format(
                port=self._node.port, spool=self._spool, precision=options.precision,
                threads=options.threads, models=options.models, pacs=pacs.port, ct=ct,
                xray=options.xray,
            ),
            encoding="utf-8",
        )  # fmt: skip

    def start(self) -> float:
        """Start the node; returns the seconds until it listened, and waits until it is warm."""
        started = time.perf_counter()
        self._node.start()
        seconds = time.perf_counter() - started
        while self._node.log.read_text(encoding="utf-8").count('"engine.ready"') < 2:
            if time.perf_counter() - started > 120:
                raise SystemExit(f"the engines are not ready:\n{self._node.read_log()}")
            time.sleep(LOOK_SECONDS)
        return seconds

    def stop(self) -> None:
        """Stop the node in order."""
        self._node.stop()

    def kill(self) -> None:
        """End whatever of the node still runs."""
        self._node.kill()

    def send(self, series: Path) -> Trip:
        """Send a series and wait for its results."""
        expected = len(list(series.iterdir()))
        had = set(self._pacs.received_folder.iterdir())
        spooled = set(self._received())
        results = self._results()
        before = self._cpu()
        begun = time.time()
        sender = subprocess.run(
            ["storescu", "-xe", "-aec", "DENOISE", "-aet", "SCANNER", "+sd", "127.0.0.1",
             str(self._node.port), str(series)],
            env={**os.environ, "TCP_NODELAY": "1"}, capture_output=True, check=False, text=True,
        )  # fmt: skip
        if sender.returncode:
            raise SystemExit(f"storescu: {sender.stderr[-800:]}")
        while len(list(self._pacs.received_folder.iterdir())) < len(had) + expected:
            if time.time() - begun > LONGEST_SECONDS:
                raise SystemExit(f"results are missing:\n{self._node.read_log()}")
            time.sleep(LOOK_SECONDS)
        while (count := self._results()[0] - results[0]) < expected:
            time.sleep(LOOK_SECONDS)
        time.sleep(3 * LOOK_SECONDS)  # the last file is written out
        after = self._cpu()
        arrived = [p.stat().st_mtime for p in set(self._pacs.received_folder.iterdir()) - had]
        sent = [p.stat().st_mtime for p in set(self._received()) - spooled]
        if not len(arrived) == len(sent) == count == expected:
            raise SystemExit(f"{expected} sent, {len(sent)} spooled, {len(arrived)} came back")
        return Trip(
            received=max(sent) - begun,
            first=min(arrived) - begun,
            last=max(arrived) - begun,
            engine=self._results()[1] - results[1],
            cpu={role: round(after[role] - before[role], 2) for role in after},
        )

    def _received(self) -> list[Path]:
        return list((self._spool / "instances").glob("*/*.dcm"))

    def _results(self) -> tuple[int, float]:
        with sqlite3.connect(self._spool / "ledger.sqlite", timeout=30) as ledger:
            count, seconds = ledger.execute("select count(*), sum(seconds) from result").fetchone()
        return int(count), float(seconds or 0.0)

    def _cpu(self) -> dict[str, float]:
        found = {role: cpu_seconds(pid) for role, pid in self._node.children().items()}
        if self._pacs.process is not None:
            found["storescp"] = cpu_seconds(self._pacs.process.pid)
        return found


def bare(work: Work, options: argparse.Namespace) -> float:
    """Seconds that the engine alone takes, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.main_job", "--bare", work.model, str(work.images),
         *map(str, work.size), "--precision", options.precision,
         "--threads", str(options.threads), "--models", str(options.models)],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"the bare engine failed: {done.stderr[-1500:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def run_bare(model: str, images: int, size: tuple[int, int], options: argparse.Namespace) -> float:
    """Run the engine as a worker would, on tiles of the size that a worker would cut."""
    version = ModelStore(more=[options.models]).resolve(ModelName.parse(model))
    spec = version.manifest.tiling
    rows, columns = (spans(length, default_tile(spec), spec) for length in size)
    tile = (rows[0].stop - rows[0].start, columns[0].stop - columns[0].start)
    threads = options.threads or len(os.sched_getaffinity(0))
    choice = choose_engine(version, precision=options.precision, threads=threads)
    data = np.random.default_rng(0).random((1, 1, *tile), dtype=np.float32)
    with choice.engine as engine:
        engine.infer(data)
        started = time.perf_counter()
        for _ in range(images * len(rows) * len(columns)):
            engine.infer(data)
        return time.perf_counter() - started


def measure(
    work: Work, setup: Setup, phantom: Phantom, options: argparse.Namespace, split: bool
) -> Round:
    """Half of the bare work, the node, the other half; a single image is done twice."""
    make = phantom.dx if work.model == options.xray else phantom.ct
    series, warm = make(work.images), make(1)
    size = work.images // 2 if split else work.images
    halves = [Work(work.name, work.model, n, work.size) for n in (size, work.images - size)]
    if not split:
        halves[1] = work
    before = bare(halves[0], options)
    setup.start()
    try:
        setup.send(warm)  # what happens once in a process is not measured
        trip = setup.send(series)
        setup.stop()
    finally:
        setup.kill()
    after = bare(halves[1], options)
    return Round(work.name, work.images, trip, before + after if split else (before + after) / 2)


def table(work: Work, rounds: Sequence[Round]) -> Table:
    """Medians of one kind of work."""
    middle = summary(work, rounds)
    result = Table(title=f"{work.title}, {len(rounds)} rounds, seconds", title_justify="left")
    for name in middle:
        result.add_column(name.replace("_", " "), justify="right")
    result.add_row(*(f"{value:.2f}" for value in middle.values()))
    return result


def summary(work: Work, rounds: Sequence[Round]) -> dict[str, float]:
    """Medians over the rounds of one kind of work; `ratio` is of the pairs, not of the medians."""
    own = [one for one in rounds if one.work == work.name and one.images == work.images]
    trips = [one.trip for one in own]
    return {
        "whole_job": statistics.median(trip.last for trip in trips),
        "bare_engine": statistics.median(one.bare for one in own),
        "ratio": statistics.median(one.trip.last / one.bare for one in own),
        "engine_in_node": statistics.median(trip.engine for trip in trips),
        "all_received": statistics.median(trip.received for trip in trips),
        "first_result": statistics.median(trip.first for trip in trips),
        "last_byte_in_to_last_out": statistics.median(trip.last - trip.received for trip in trips),
    }


def works(options: argparse.Namespace) -> list[Work]:
    """The whole series, and the two short ones whose latency is measured."""
    found = [
        Work("CT slices", options.ct, options.slices, CT_SIZE),
        Work("CT slices", options.ct, 16, CT_SIZE),
        Work("DX", options.xray, 1, DX_SIZE),
        Work("CT slices through two small convolutions", FEATHER, options.slices, CT_SIZE),
    ]
    return [found[int(kind) - 1] for kind in options.kinds]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print tables."""
    options = _parser().parse_args(arguments)
    end_in_order()
    if options.bare:
        model, images, rows, columns = options.bare
        print(json.dumps(run_bare(model, int(images), (int(rows), int(columns)), options)))
        return 0
    if missing := StoreScp.missing():
        print(f"not run: {missing} is not installed")
        return 0 if options.quick else 1
    if options.quick:
        options.slices, options.rounds, options.short_rounds = min(options.slices, 32), 1, 1
        options.kinds = "14"
    console = Console()
    before = busy_cores()
    results = []
    with tempfile.TemporaryDirectory(prefix="main-job-", dir=options.folder) as name:
        folder = Path(name)
        options.models = options.models or folder / "models"
        model_version(options.models, "feather", "1.0.0")
        store = ModelStore(more=[options.models])
        for number, work in enumerate(works(options)):
            split = work.images > 16
            count = options.rounds if split else options.short_rounds
            rounds = []
            for turn in range(count):
                below = folder / f"{number}-{turn}"
                below.mkdir()
                with StoreScp("-pdu", "131072", aet="PACS") as pacs:
                    ct = work.model if work.size == CT_SIZE else options.ct
                    setup = Setup(below / "node", options, pacs, ct)
                    phantom = Phantom(below / "images")
                    rounds.append(measure(work, setup, phantom, options, split))
            console.print(table(work, rounds))
            results.append(
                {
                    "work": work.title,
                    "images": work.images,
                    "model": str(store.resolve(ModelName.parse(work.model)).ref),
                    "precision": options.precision,
                    "summary": summary(work, rounds),
                    "rounds": [asdict(one) for one in rounds],
                }
            )
            if options.json:  # after each kind, so that an interrupted run keeps what it has
                busy = (before, busy_cores())
                write(options.json, report("main_job", vars(options), busy, results))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--slices", type=int, default=500, help="of the CT series")
    parser.add_argument("--rounds", type=int, default=1, help="of the CT series")
    parser.add_argument("--short-rounds", type=int, default=3, help="of the two short jobs")
    parser.add_argument(
        "--kinds",
        default="1234",
        help="1 the CT series, 2 a short one, 3 a radiograph, 4 no engine",
    )
    parser.add_argument("--precision", choices=("f32", "bf16", "auto"), default="f32")
    parser.add_argument("--threads", type=int, default=0, help="of the engine; 0: all cores")
    parser.add_argument("--models", type=Path, help="folder of further models")
    parser.add_argument("--ct", default=CT, help="model of the CT route")
    parser.add_argument("--xray", default=XRAY, help="model of the radiograph route")
    parser.add_argument("--folder", type=Path, help="where the node writes (default: temporary)")
    parser.add_argument("--quick", action="store_true", help="32 slices, once")
    parser.add_argument("--json", type=Path, help="also write everything to this file")
    parser.add_argument("--bare", nargs=4, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
