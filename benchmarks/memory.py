"""What intake keeps of its memory after many associations at once, over and over.

``dicom-node intake`` on SQLite is given 200 connections at the same time, which are then closed; so
five times for each of four kinds of caller, with one process for each kind. Memory is PSS, that is,
pages that only this process has, and its share of the others: before, while all are open, a few
seconds after the last was closed, and, at the end, a minute later.

    python -m benchmarks.memory --json memory.json
    python -m benchmarks.memory --quick
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pydicom.uid import generate_uid
from rich.console import Console
from rich.table import Table

from benchmarks._machine import REPOSITORY, busy_cores, end_in_order, report, write
from tests.support.servers import accepts, free_port
from tests.support.wire import ABORT, RELEASE_RQ, RawPeer, message, store_request

PEERS_OF_ONE_TITLE = 10
OBJECT_BYTES = 512 * 1024
SETTLE_SECONDS = 3.0
READY_SECONDS = 60.0
_PREAMBLE = b"\x08\x00\x60\x00\x02\x00\x00\x00CT"
"""Modality, implicit VR: the object is none that anybody could show, and is kept all the same."""


@dataclass(frozen=True, slots=True)
class Row:
    """Megabytes of one kind of caller; a figure a round where there are several."""

    caller: str
    before: float
    open: list[float]
    closed: list[float]
    later: float
    threads: int


def silent(port: int, count: int, hold: Callable[[], None]) -> None:
    """Connections that say nothing."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(RawPeer(port))
        hold()


def released(port: int, count: int, hold: Callable[[], None]) -> None:
    """Associations that store nothing, and are released."""
    with _associated(port, count) as peers:
        hold()
        _release(peers)


def aborted(port: int, count: int, hold: Callable[[], None]) -> None:
    """Associations that are aborted in the middle of an object."""
    with _associated(port, count) as peers:
        for peer in peers:
            sent = _object()
            peer.send(sent[: len(sent) // 2])
        hold()
        for peer in peers:
            peer.send(ABORT)


def storing(port: int, count: int, hold: Callable[[], None]) -> None:
    """Associations, each in the middle of an object of 0.5 MB, that finish it and are released."""
    with _associated(port, count) as peers:
        objects = [_object() for _ in peers]
        for peer, sent in zip(peers, objects, strict=True):
            peer.send(sent[: len(sent) // 2])
        hold()
        for peer, sent in zip(peers, objects, strict=True):
            peer.send(sent[len(sent) // 2 :])
            if peer.status() != 0:
                raise SystemExit("an object was refused")
        _release(peers)


CALLERS: Mapping[str, Callable[[int, int, Callable[[], None]], None]] = {
    "silent connections": silent,
    "associations, released": released,
    "0.5 MB each, aborted half-way": aborted,
    "0.5 MB each, stored": storing,
}


@contextmanager
def _associated(port: int, count: int) -> Iterator[Sequence[RawPeer]]:
    with ExitStack() as stack:
        peers = []
        for number in range(count):
            peers.append(stack.enter_context(RawPeer(port)))
            peers[-1].associate(calling=f"CT{number // PEERS_OF_ONE_TITLE}")
        yield peers


def _release(peers: Sequence[RawPeer]) -> None:
    for peer in peers:
        peer.send(RELEASE_RQ)
    for peer in peers:
        peer.receive()


def _object() -> bytes:
    data = _PREAMBLE + bytes(OBJECT_BYTES)
    return message(store_request(instance=str(generate_uid())), data)


@contextmanager
def intake(folder: Path, associations: int) -> Iterator[tuple[int, int]]:
    """``dicom-node intake``; yields its port and its process id."""
    port = free_port()
    config = folder / "node.toml"
    config.write_text(
        f'[node]\nport = {port}\nhost = "127.0.0.1"\n[storage]\npath = "{folder / "spool"}"\n'
        f'[intake]\nunknown_peers = "accept"\nmax_associations = {associations}\n'
        '[log]\nlevel = "error"\n',
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "dicom_node"]
    environment = {**os.environ, "DICOM_NODE_CONFIG": str(config)}
    subprocess.run([*command, "db", "upgrade"], check=True, env=environment, cwd=REPOSITORY)
    process = subprocess.Popen([*command, "intake"], env=environment, cwd=REPOSITORY)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not accepts(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("intake did not start")
            time.sleep(0.1)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def megabytes(pid: int) -> float:
    """PSS of a process."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    (line,) = (line for line in text.splitlines() if line.startswith("Pss:"))
    return round(int(line.split()[1]) / 1024, 1)


def threads(pid: int) -> int:
    """Threads of a process."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def settle(pid: int, at_rest: int) -> None:
    """Wait until the threads of associations have ended, and a little longer."""
    deadline = time.monotonic() + READY_SECONDS
    while threads(pid) > at_rest and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(SETTLE_SECONDS)


def measure(caller: str, folder: Path, options: argparse.Namespace) -> Row:
    """One kind of caller, `rounds` times."""
    opened: list[float] = []
    closed: list[float] = []
    with intake(folder, options.associations) as (port, pid):
        for each in (released, storing):  # what is loaded and cached once
            each(port, 1, lambda: None)
        time.sleep(SETTLE_SECONDS)
        at_rest, before = threads(pid), megabytes(pid)

        def hold() -> None:
            time.sleep(SETTLE_SECONDS)
            opened.append(megabytes(pid))

        for _ in range(options.rounds):
            CALLERS[caller](port, options.associations, hold)
            settle(pid, at_rest)
            closed.append(megabytes(pid))
        time.sleep(options.wait)
        return Row(caller, before, opened, closed, megabytes(pid), threads(pid))


def table(rows: Sequence[Row]) -> Table:
    """For the terminal."""
    found = Table("caller", "before", "open", "closed", "later", "threads")
    for row in rows:
        found.add_row(
            row.caller, str(row.before), " ".join(map(str, row.open)),
            " ".join(map(str, row.closed)), str(row.later), str(row.threads),
        )  # fmt: skip
    return found


def main() -> None:
    """Measure each kind of caller."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--associations", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--wait", type=float, default=60.0, help="seconds until the last look")
    parser.add_argument("--callers", nargs="*", choices=list(CALLERS), default=list(CALLERS))
    parser.add_argument("--quick", action="store_true", help="fewer, twice, without the wait")
    parser.add_argument("--json", type=Path, help="write the report there")
    options = parser.parse_args()
    if options.quick:
        options.associations, options.rounds, options.wait = 40, 2, 0.0
    end_in_order()
    before, rows = busy_cores(), []
    for caller in options.callers:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(caller, Path(folder), options))
        Console(width=140).print(table(rows[-1:]))
    if options.json:
        found = {"associations": options.associations, "rows": [asdict(row) for row in rows]}
        write(options.json, report("memory", vars(options), (before, busy_cores()), found))


if __name__ == "__main__":
    main()
