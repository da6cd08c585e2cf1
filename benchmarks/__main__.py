"""Run the benchmarks, keep what they found, and write the tables of ``docs/performance.md``.

    python -m benchmarks                        # all, in full: about half an hour
    python -m benchmarks intake broker          # some of them
    python -m benchmarks --quick                # short runs, only to see that they work
    python -m benchmarks --render               # only write the tables again

What a full run found is kept in ``benchmarks/results/NAME.json`` with the machine, the date, the
command and how busy the machine was with other things. Tables are written between markers.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import _tables
from benchmarks._machine import REPOSITORY, busy_cores, report, write
from tests.support.servers import path_with_dcmtk_first

RESULTS = REPOSITORY / "benchmarks" / "results"
PAGE = REPOSITORY / "docs" / "performance.md"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark: its module, the arguments of a full run, and how its table looks."""

    name: str
    arguments: tuple[str, ...]
    table: Callable[[Any], str]


BENCHMARKS = (
    Benchmark("intake", ("--full", "--rounds", "3"), _tables.intake),
    Benchmark("main_job", (), _tables.main_job),
    Benchmark("engines", ("--repeats", "3", "--sizes", "512x512", "1024x1024"), _tables.engines),
    Benchmark("broker", (), _tables.broker),
    Benchmark("backlog", (), _tables.backlog),
    Benchmark("memory", (), _tables.memory),
)


def run(benchmark: Benchmark, quick: bool) -> Mapping[str, Any] | None:
    """Run a benchmark in a process of its own; returns its report, or None if it failed."""
    before = busy_cores()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "result.json")
        arguments = ["--quick"] if quick else list(benchmark.arguments)
        print(f"== {benchmark.name} {' '.join(arguments)}", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{benchmark.name}", *arguments, "--json", str(path)],
            cwd=REPOSITORY,
            check=False,
        )
        if not path.exists():
            return None
        if done.returncode:
            print(f"{benchmark.name} ended early; what it has so far is kept")
        document = json.loads(path.read_text(encoding="utf-8"))
    result = document.get("result", document)
    made = report(benchmark.name, {}, (before, busy_cores()), result)
    made["command"] = " ".join(["python -m", f"benchmarks.{benchmark.name}", *arguments])
    del made["options"]
    return made


def render(page: str, benchmark: Benchmark, found: Mapping[str, Any]) -> str:
    """Put the tables of a report between the markers of its benchmark.

    Raises
    ------
    ValueError
        If the page has no such markers.
    """
    start, end = f"<!-- {benchmark.name} -->", f"<!-- end {benchmark.name} -->"
    text = f"{start}\n{_conditions(found)}\n\n{benchmark.table(found['result'])}\n{end}"
    changed, count = re.subn(
        f"{re.escape(start)}.*?{re.escape(end)}", lambda _: text, page, flags=re.DOTALL
    )
    if count != 1:
        raise ValueError(f"the page needs {start} and {end} once")
    return changed


def _conditions(found: Mapping[str, Any]) -> str:
    machine = found["machine"]
    before, after = found["busy_cores_before_and_after"]
    return (
        f"`{found['command']}`, {found['date']}, commit {found['commit']}: {machine['cores']} "
        f"cores of {machine['processor']}, {machine['memory_gib']:.0f} GiB, {machine['system']}, "
        f"Python {machine['python']}. Other work kept {before:.1f} cores busy before the run and "
        f"{after:.1f} after it."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, keep and render."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Run benchmarks.")
    names = [benchmark.name for benchmark in BENCHMARKS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="short runs; nothing is kept")
    parser.add_argument("--render", action="store_true", help="only write the tables again")
    options = parser.parse_args(arguments)
    os.environ["PATH"] = path_with_dcmtk_first(os.environ["PATH"])
    if unknown := set(options.names) - set(names):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    failed = 0
    for benchmark in BENCHMARKS:
        if options.names and benchmark.name not in options.names:
            continue
        kept = RESULTS / f"{benchmark.name}.json"
        if not options.render:
            found = run(benchmark, options.quick)
            failed += found is None
            if found is None or options.quick:
                continue
            RESULTS.mkdir(exist_ok=True)
            write(kept, found)
        if kept.exists():
            found = json.loads(kept.read_text(encoding="utf-8"))
            page = PAGE.read_text(encoding="utf-8")
            PAGE.write_text(render(page, benchmark, found), encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
