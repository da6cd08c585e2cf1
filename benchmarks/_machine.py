"""What a figure was measured on: the machine, how busy it was with other things, and the report."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
_LOOK_SECONDS = 1.0
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def end_in_order() -> None:
    """Have SIGTERM unwind the program, so that it stops what it started."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def describe() -> dict[str, Any]:
    """Cores that this process may use, processor, memory in GiB, system and Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": cores,
        "processor": _processor(),
        "memory_gib": round(memory, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def busy_cores() -> float:
    """How many cores are at work now, over one second; NaN where there is no /proc."""
    try:
        before = _busy_seconds()
        started = time.perf_counter()
        time.sleep(_LOOK_SECONDS)
        return round((_busy_seconds() - before) / (time.perf_counter() - started), 2)
    except OSError:
        return float("nan")


def _busy_seconds() -> float:
    fields = Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()
    user, nice, system, _, _, hard, soft = (int(field) for field in fields[1:8])
    return (user + nice + system + hard + soft) / _CLOCK_TICKS


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, its threads and its ended children; NaN once it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return float("nan")
    fields = text.rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / _CLOCK_TICKS


def report(
    benchmark: str, options: Mapping[str, Any], busy: tuple[float, float], result: Any
) -> dict[str, Any]:
    """Put a result beside everything that is needed to judge and repeat it.

    Parameters
    ----------
    benchmark : str
        Name of its module.
    options : mapping
        As given on the command line.
    busy : tuple of float
        `busy_cores` before and after.
    result
        What the benchmark found.
    """
    return {
        "benchmark": benchmark,
        "command": f"python -m benchmarks.{benchmark} {' '.join(sys.argv[1:])}".strip(),
        "options": {name: str(value) for name, value in options.items()},
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "machine": describe(),
        "busy_cores_before_and_after": list(busy),
        "result": result,
    }


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Write a report as JSON."""
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip()
