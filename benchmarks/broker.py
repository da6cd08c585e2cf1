"""Brokers that need no server beside Redis: latency, messages a second, and what waiting costs.

A Celery worker as a node runs it (``solo`` pool, late acknowledgement, prefetch of one) gets
trivial tasks. Latency is from just before a task is sent to just after it starts, with nothing else
waiting; the rate is that of a backlog; the idle cost is the worker's CPU time while nothing
happens. `lost` are tasks that never ran, and `workers_died` counts workers that ended by
themselves. Contestants take turns. Then a writer and a reader that never pauses meet at each of the
two folders of files, and messages that the reader cannot parse are counted.

    python -m benchmarks.broker --json broker.json
    python -m benchmarks.broker --redis-server /path/to/redis-server     # one out of a wheel
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty
from typing import Any

from celery import Celery
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from benchmarks._machine import REPOSITORY, busy_cores, cpu_seconds, end_in_order, report, write
from tests.support.servers import Redis, accepts, find_program, free_port

QUEUE = "infer"
FOLDER = "BENCHMARK_BROKER_FOLDER"
KIND = "BENCHMARK_BROKER_KIND"
NODE = "folder, every 50 ms (the node's)"
NODE_REDIS = "Redis (the node's)"
FILES_50 = "kombu filesystem, every 50 ms"
FILES = "kombu filesystem, every second (its default)"
SQLITE = "kombu SQLAlchemy on SQLite, every second (no setting)"
REDIS = "kombu Redis"
KINDS = (NODE, NODE_REDIS, FILES_50, FILES, SQLITE, REDIS)
WITH_REDIS = (NODE_REDIS, REDIS)
READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Row:
    """One broker in one round."""

    broker: str
    latency_median_ms: float
    latency_worst_ms: float
    messages_per_second: float
    idle_cpu_percent: float
    lost: int
    died: bool


def configuration(kind: str, folder: Path) -> dict[str, Any]:
    """Celery's settings for a broker; `folder` holds its files or its port."""
    options: dict[str, Any]
    common = {
        "task_ignore_result": True,
        "task_acks_late": True,
        "worker_prefetch_multiplier": 1,
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "task_default_queue": QUEUE,
        "broker_connection_retry_on_startup": True,
    }
    if kind in (NODE, NODE_REDIS):
        url = (folder / "url").read_text(encoding="utf-8") if kind == NODE_REDIS else None
        options = {
            "url": None if url is None else SecretStr(url), "folder": str(folder / "messages"),
            "look_seconds": 3600.0, "polling_interval": 0.05,
        }  # fmt: skip
        return common | {
            "broker_url": "rings://",
            "broker_transport": "dicom_node.bell.ring_transport:Transport",
            "broker_transport_options": options,
        }
    if kind == REDIS:
        return common | {"broker_url": (folder / "url").read_text(encoding="utf-8")}
    if kind == SQLITE:
        return common | {"broker_url": f"sqla+sqlite:///{folder / 'broker.sqlite'}"}
    options = {"control_folder": str(folder / "control")}
    options |= {f"data_folder_{way}": str(folder / "messages") for way in ("in", "out")}
    for name in ("messages", "control"):
        (folder / name).mkdir(exist_ok=True)
    if kind != FILES:
        options["polling_interval"] = 0.05
    return common | {"broker_url": "filesystem://", "broker_transport_options": options}


def application(kind: str, folder: Path) -> Celery:
    """A Celery application whose one task writes down when it started."""
    made = Celery("benchmark", set_as_current=False)
    made.conf.update(configuration(kind, folder))
    log = folder / "ran"

    @made.task(name=QUEUE)  # type: ignore[untyped-decorator]
    def ran(_number: int) -> None:
        with log.open("a", encoding="ascii") as file:
            file.write(f"{time.time_ns()}\n")

    return made


def __getattr__(name: str) -> Celery:
    """Celery asks this module for `app` in the worker's process."""
    if name == "app" and FOLDER in os.environ:
        return application(os.environ[KIND], Path(os.environ[FOLDER]))
    raise AttributeError(name)


class Trial:
    """A broker with one worker."""

    def __init__(self, kind: str, folder: Path) -> None:
        self._folder = folder
        self._app = application(kind, folder)
        self._sent = 0
        log = (folder / "worker.log").open("wb")
        self._worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "benchmarks.broker:app", "--quiet", "worker",
             "-P", "solo", "-Q", QUEUE, "--without-gossip", "--without-mingle",
             "--without-heartbeat"],
            cwd=REPOSITORY, env={**os.environ, KIND: kind, FOLDER: str(folder)},
            stdout=log, stderr=log,
        )  # fmt: skip

    def send(self) -> int:
        """Send one message; returns when, in nanoseconds since 1970."""
        at = time.time_ns()
        self._app.send_task(QUEUE, args=(self._sent,), queue=QUEUE, retry=False)
        self._sent += 1
        return at

    def ran(self) -> list[int]:
        """When tasks started, in order, in nanoseconds since 1970."""
        log = self._folder / "ran"
        return [int(at) for at in log.read_text(encoding="ascii").split()] if log.exists() else []

    def wait(self, count: int, seconds: float) -> bool:
        """Wait until so many tasks ran."""
        deadline = time.monotonic() + seconds
        while len(self.ran()) < count:
            if time.monotonic() > deadline or self.died:
                return False
            time.sleep(0.002)
        return True

    @property
    def died(self) -> bool:
        """Whether the worker ended by itself."""
        return self._worker.poll() is not None

    @property
    def cpu(self) -> float:
        """CPU seconds of the worker so far."""
        return cpu_seconds(self._worker.pid)

    def close(self) -> None:
        """Stop the worker."""
        self._worker.send_signal(signal.SIGTERM)
        try:
            self._worker.wait(10)
        except subprocess.TimeoutExpired:
            self._worker.kill()
            self._worker.wait()


def measure(kind: str, folder: Path, options: argparse.Namespace) -> Row:
    """One round of one broker."""
    trial = Trial(kind, folder)
    try:
        trial.send()
        if not trial.wait(1, READY_SECONDS):
            text = (folder / "worker.log").read_text(encoding="utf-8", errors="replace")
            raise SystemExit(f"{kind}: the worker does not work:\n{text[-1500:]}")
        latencies = []
        phase = random.Random(0)
        for number in range(1, options.single + 1):
            time.sleep(phase.uniform(0.05, 1.05))
            at = trial.send()
            if not trial.wait(number + 1, 20):
                break
            latencies.append((trial.ran()[number] - at) / 1e6)
        before = trial.cpu
        time.sleep(options.idle)
        idle = trial.cpu - before
        count = options.messages if kind != SQLITE else options.messages // 4
        total = len(trial.ran())
        for _ in range(count):
            trial.send()
        trial.wait(total + count, 60)
        times = trial.ran()[total:]
        rate = (len(times) - 1) / (times[-1] - times[0]) * 1e9 if len(times) > 1 else 0.0
        return Row(
            kind,
            statistics.median(latencies) if latencies else float("nan"),
            max(latencies, default=float("nan")),
            rate,
            100 * idle / options.idle,
            options.single + 1 + count - len(trial.ran()),
            trial.died,
        )
    finally:
        trial.close()


def _read(kind: str, folder: Path, count: int, unreadable: Any) -> None:
    with application(kind, folder).connection_for_read() as connection:
        channel = connection.channel()
        found = failed = 0
        deadline = time.monotonic() + READY_SECONDS
        while found + failed < count and time.monotonic() < deadline:
            try:
                channel._get(QUEUE)
                found += 1
            except Empty:
                continue
            except ValueError:
                failed += 1
        unreadable.put(failed)


def unreadable(kind: str, count: int) -> int:
    """Messages of `count` that a reader that never pauses cannot read."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    with tempfile.TemporaryDirectory(prefix="broker-") as name:
        folder = Path(name)
        sender = application(kind, folder)
        reader = context.Process(target=_read, args=(kind, folder, count, answer))
        reader.start()
        for number in range(count):
            sender.send_task(QUEUE, args=(number,), queue=QUEUE, retry=False)
        failed = int(answer.get(timeout=2 * READY_SECONDS))
        reader.join()
    return failed


@contextmanager
def redis(options: argparse.Namespace, folder: Path) -> Iterator[None]:
    """Run the Redis that the options name."""
    if options.redis_server is None:
        with Redis() as server:
            (folder / "url").write_text(server.url, encoding="utf-8")
            yield
        return
    port = free_port()
    process = subprocess.Popen(
        [options.redis_server, "--port", str(port), "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    try:
        while not accepts(port):
            time.sleep(0.05)
        (folder / "url").write_text(f"redis://127.0.0.1:{port}/0", encoding="utf-8")
        yield
    finally:
        process.terminate()
        process.wait(10)


def run_one(kind: str, options: argparse.Namespace) -> Row:
    """One round of one broker in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="broker-") as name:
        folder = Path(name)
        if kind not in WITH_REDIS:
            return measure(kind, folder, options)
        with redis(options, folder):
            return measure(kind, folder, options)


def medians(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One line for each broker, over its rounds."""
    found = []
    for kind in dict.fromkeys(row.broker for row in rows):
        own = [row for row in rows if row.broker == kind]
        found.append(
            {
                "broker": kind,
                "latency_median_ms": statistics.median(row.latency_median_ms for row in own),
                "latency_worst_ms": max(row.latency_worst_ms for row in own),
                "messages_per_second": statistics.median(row.messages_per_second for row in own),
                "idle_cpu_percent": statistics.median(row.idle_cpu_percent for row in own),
                "lost": sum(row.lost for row in own),
                "workers_died": sum(row.died for row in own),
            }
        )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print a table."""
    options = _parser().parse_args(arguments)
    end_in_order()
    if options.quick:
        options.rounds, options.single, options.messages, options.idle = 1, 10, 100, 2.0
    kinds = list(KINDS)
    if options.redis_server is None and find_program("redis-server") is None:
        kinds = [kind for kind in kinds if kind not in WITH_REDIS]
    before = busy_cores()
    rows = [run_one(kind, options) for _ in range(options.rounds) for kind in kinds]
    lines = medians(rows)
    table = Table(title=f"{options.rounds} rounds", title_justify="left")
    for name in lines[0]:
        table.add_column(name.replace("_", " "), justify="left" if name == "broker" else "right")
    for line in lines:
        values = [f"{v:.1f}" if isinstance(v, float) else str(v) for v in line.values()]
        table.add_row(*values)
    console = Console()
    console.print(table)
    raced = {kind: unreadable(kind, options.messages) for kind in (NODE, FILES_50)}
    console.print(f"unreadable of {options.messages} messages: {raced}")
    if options.json:
        result = {
            "summary": lines,
            "unreadable": raced,
            "unreadable_of": options.messages,
            "rounds": [asdict(row) for row in rows],
        }
        write(options.json, report("broker", vars(options), (before, busy_cores()), result))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--single", type=int, default=20, help="messages for the latency")
    parser.add_argument("--messages", type=int, default=2000, help="messages of the backlog")
    parser.add_argument("--idle", type=float, default=10.0, help="seconds of idling")
    parser.add_argument("--redis-server", help="program to use as Redis")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--json", type=Path, help="also write everything to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
