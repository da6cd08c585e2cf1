"""One study through a node, whatever its form: in by DCMTK's storescu, out at a PACS."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

from pydicom import dcmread

from tests.support.factories.dicom import ct_series, write
from tests.support.pacs import FakePacs
from tests.support.scanner import storescu
from tests.support.servers import accepts

SLICES = 3


def wait_for_port(port: int, started: Sequence[subprocess.Popen[bytes]], log: Path) -> None:
    """Wait until a node listens; one that ended fails at once, with its log."""
    deadline = time.monotonic() + 120
    while not accepts(port):
        ended = [process.returncode for process in started if process.poll() is not None]
        if ended or time.monotonic() > deadline:
            raise AssertionError(f"no node, ended with {ended}:\n{log.read_text()[-6000:]}")
        time.sleep(0.2)


def send_one(port: int, folder: Path, calling: str = "CT1") -> str:
    """Send a CT series; returns its Study Instance UID."""
    outbox = folder / "outbox"
    outbox.mkdir()
    series = ct_series(SLICES, size=(64, 64))
    for dataset in series:
        write(dataset, outbox)
    sent = storescu(outbox, port, calling=calling)
    assert sent.returncode == 0, sent.stderr
    return str(series[0].StudyInstanceUID)


def require_delivered(
    study: str,
    pacs: FakePacs,
    command: Callable[[Sequence[str]], subprocess.CompletedProcess[str]],
    log: Path,
) -> None:
    """The PACS has every result, and the ledger says so; `command` runs ``dicom-node ...``."""
    try:
        pacs.wait_for(SLICES, 150)
    except TimeoutError as error:
        raise AssertionError(f"{error}:\n{log.read_text()[-6000:]}") from error
    results = [dcmread(BytesIO(one.data), force=True) for one in pacs.received]
    assert {str(result.StudyInstanceUID) for result in results} == {study}
    assert all("denoised" in result.SeriesDescription for result in results)
    assert not pacs.duplicates
    deadline = time.monotonic() + 60
    while True:
        done = command(["study", "list", "--json"])
        assert done.returncode == 0, done.stderr
        (row,) = json.loads(done.stdout)
        if row["delivered"] == SLICES:
            return
        assert time.monotonic() < deadline, row
        time.sleep(0.5)


def stop(processes: Sequence[subprocess.Popen[bytes]], log: Path) -> None:
    """SIGTERM; every process ends by itself, and well."""
    for process in processes:
        process.terminate()
    for process in processes:
        assert process.wait(120) == 0, log.read_text()[-6000:]
