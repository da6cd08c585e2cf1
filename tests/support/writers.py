"""Processes that hold a ledger in SQLite, and do nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOLD = """
import os, signal, sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
connection.execute(sys.argv[2])
connection.execute("SELECT count(*) FROM batch").fetchall()
print("held", flush=True)
if sys.argv[3] == "stopped":
    os.kill(os.getpid(), signal.SIGSTOP)
time.sleep(600)
"""


@contextmanager
def holding(
    ledger: Path, *, how: str = "BEGIN IMMEDIATE", stopped: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """A process inside a transaction, until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(ledger), how, "stopped" if stopped else "sleeps"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        if stopped:  # it stops a moment after it has said so
            os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.communicate()
