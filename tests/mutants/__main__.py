"""Plant mutants and see whether the tests notice: ``python -m tests.mutants [AREA ...]``.

Exit status 0 if at least 90 % of the mutants of every area that was run were killed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from tests.mutants import score
from tests.mutants.areas import AREAS, Area
from tests.mutants.mutant import Mutant, mutants_of, sample
from tests.mutants.planting import environment
from tests.mutants.plugin import CPU_SECONDS, JOB

SEED: Final = 12
COUNT: Final = 60
ROOT: Final = Path(__file__).resolve().parents[2]
_PYTEST: Final = (
    sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist",
    "-p", "tests.mutants.plugin", "--timeout=0", "-m", "not postgresql",
)  # fmt: skip
_TIMES: Final = 10
_ALIKE: Final = {"DICOM_NODE_SHARED": str(Path(__file__).parent)}
"""The score is the same whether real images are at hand or not: there are none in this folder."""


def mutants_in(area: Area) -> list[Mutant]:
    """Every mutant of an area's code."""
    found: list[Mutant] = []
    for each in area.code:
        module, _, names = each.partition(":")
        found += mutants_of(module, filter(None, names.split(",")))
    return found


def run(
    area: Area,
    chosen: Sequence[Mutant],
    processes: int,
    *,
    seconds: int = CPU_SECONDS,
    verbose: bool = False,
) -> dict[str, str]:
    """Verdicts of mutants by their keys.

    Raises
    ------
    SystemExit
        If the tests fail without any mutant.
    """
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        job, out = Path(folder) / "job.json", Path(folder) / "out.json"
        content: dict[str, Any] = {
            "mutants": [asdict(each) for each in chosen],
            "always": area.always,
            "processes": processes,
            "seconds": seconds,
            "verbose": verbose,
            "prepare": ["tests.support.ledgers:template"]
            if "ledger" in " ".join(area.code)
            else [],
            "out": str(out),
        }
        job.write_text(json.dumps(content), encoding="utf-8")
        done = subprocess.run(
            [*_PYTEST, "-s", *area.tests], cwd=ROOT, env=os.environ | _ALIKE | {JOB: str(job)},
            text=True, stdout=subprocess.PIPE, check=False,
        )  # fmt: skip
        if not out.exists():
            raise SystemExit(f"{area.name}: {done.stdout[-3000:]}")
        found = json.loads(out.read_text(encoding="utf-8"))
    verdicts: dict[str, str] = found["verdicts"]
    anew = [each for each in chosen if verdicts[each.key] == "unplantable"]
    with ThreadPoolExecutor(processes) as pool:
        made = pool.map(lambda each: _imported_anew(area, each, found["wall"]), anew)
        verdicts |= {each.key: verdict for each, verdict in zip(anew, made, strict=True)}
    return verdicts


def _imported_anew(area: Area, mutant: Mutant, usual: float) -> str:
    """Run all tests of an area in a process that imports the module with the change."""
    cpu = 60 + int(_TIMES * usual)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 5))

    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        try:
            done = subprocess.run(
                [*_PYTEST, "-x", *area.tests], cwd=ROOT, text=True, check=False,
                env=os.environ | _ALIKE | environment(mutant) | {"TMPDIR": folder},
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=limit,
                timeout=600 + _TIMES * usual,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return "killed: it did not end"
    if done.returncode == 0:
        return "survived"
    failed = [each for each in done.stdout.splitlines() if each.startswith(("FAILED", "ERROR"))]
    return f"killed by {failed[0].split()[1]}" if failed else "killed: the process ended"


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("area", nargs="*", help=", ".join(each.name for each in AREAS))
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--count", type=int, default=COUNT, help="mutants of each area")
    parser.add_argument("--processes", type=int, default=2, help="mutants at a time")
    parser.add_argument("--only", default="", help="those whose name has this part, all of them")
    parser.add_argument("--list", action="store_true", help="name the mutants and run nothing")
    parser.add_argument("--verbose", action="store_true", help="say each verdict as it comes")
    parser.add_argument("--no-score", action="store_true", help="leave score.json as it is")
    arguments = parser.parse_args()
    os.nice(19)
    known = score.equivalents()
    scores: dict[str, score.Score] = {}
    if stale := set(known) - {each.key for area in AREAS for each in mutants_in(area)}:
        print("Equivalent mutants that are no more:", *sorted(stale), sep="\n    ")
    for area in [each for each in AREAS if not arguments.area or each.name in arguments.area]:
        everything = mutants_in(area)
        if arguments.only:
            chosen = [each for each in everything if arguments.only in each.key]
        else:  # as many that count
            excluded = [each for each in everything if each.key in known]
            count = arguments.count + len(excluded)
            chosen = sample(everything, count, arguments.seed)
        if arguments.list:
            for each in chosen:
                print(f"{each.line:4} {each.key}")
            continue
        verdicts = run(area, chosen, arguments.processes, verbose=arguments.verbose)
        scores[area.name] = score.score_of(len(everything), chosen, verdicts, known)
        print(score.line(area.name, scores[area.name]), flush=True)
        for key in scores[area.name].survivors:
            print(f"    {verdicts[key]}: {key}", flush=True)
    if scores and not arguments.only and not arguments.no_score:
        score.write(scores, arguments.seed)
    return 0 if all(each.part >= score.ASKED for each in scores.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
