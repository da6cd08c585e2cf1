"""Nothing outlives the trial, however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

STARTS = """
import subprocess, sys, time
from tests.chaos.system import adopt_orphans, watch_over
watch_over()
adopt_orphans()
started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                           start_new_session=True)
print(started.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_what_it_started_ends_with_it(how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTS], stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).resolve().parents[4],
    ) as trial:  # fmt: skip
        assert trial.stdout is not None
        started = psutil.Process(int(trial.stdout.readline()))
        assert started.is_running()
        trial.send_signal(how)
        trial.wait()
        started.wait(60)
    assert not started.is_running()
