"""The trial as a command: ``python -m tests.chaos``.

    python -m tests.chaos                        # both forms, every fault, 20,000 images each
    python -m tests.chaos --quick                # a few hundred images and a few faults
    python -m tests.chaos --list                 # the faults
    python -m tests.chaos --form cluster --faults "kill infer,full disk" --images 500

It speaks to loopback only, ends by itself, and ends with status 1 if anything was lost or wrong.
What it needs: PostgreSQL and Redis for the cluster; mount, as root, for the full disk; libfaketime
for the clocks. What cannot be done is said to be.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from tests.chaos import page, report
from tests.chaos.fault import Fault
from tests.chaos.faults import every_fault
from tests.chaos.forms import FormName
from tests.chaos.system import adopt_orphans, end_descendants, private_mounts, watch_over
from tests.chaos.trial import Line, Trial
from tests.support.postgres import Postgres
from tests.support.servers import Redis

_IMAGES: Final = 20_000
_QUICK_IMAGES: Final = 320
_MINUTES: Final = 120.0
_DISK_MEGABYTES: Final = 4096
_WIDTH: Final = 200


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trial; returns the exit status."""
    options = _options(arguments)
    console = Console(soft_wrap=True, highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    if options.list:
        for fault in every_fault():
            forms = ", ".join(sorted(fault.forms))
            console.print(f"{fault.name}: {fault.says} [{forms}]", markup=False)
        return 0
    if options.page:
        page.write([json.loads(file.read_text(encoding="utf-8")) for file in options.page])
        return 0
    faults = _chosen(options.faults, quick=options.quick)
    watch_over()
    adopt_orphans()
    may_mount = private_mounts()
    signal.signal(signal.SIGTERM, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir=options.folder))
    began, started = time.monotonic(), datetime.now(UTC)
    lines: list[Line] = []
    try:
        for form in _forms(options.form):
            trial = Trial(
                form, folder / form.value, faults,
                images=options.images, seed=options.seed,
                disk_megabytes=_DISK_MEGABYTES if may_mount else None,
                deadline=began + 60 * options.minutes,
                say=lambda text: console.print(f"{_clock(began)} {text}", markup=False),
            )  # fmt: skip
            lines += trial.run()
    except KeyboardInterrupt:
        console.print("interrupted; everything that was started is ended")
        return 130
    finally:
        end_descendants()
    found = report.document(lines, _about(options, started, time.monotonic() - began))
    report.show(found, console)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if found["holds"] and not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        console.print(f"the logs are in {folder}")
    return 0 if found["holds"] else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--form", choices=[*FormName, "both"], default="both")
    parser.add_argument("--images", type=int, help=f"for each form; {_IMAGES}, or {_QUICK_IMAGES}")
    parser.add_argument("--seed", type=int, default=1, help="of the images, 0 to 65535")
    parser.add_argument("--faults", help="names, separated by commas; see --list")
    parser.add_argument("--minutes", type=float, default=_MINUTES, help="begin no fault later")
    parser.add_argument("--quick", action="store_true", help="only faults that take no time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    parser.add_argument(
        "--page", type=Path, nargs="+", metavar="FILE",
        help="write docs/trial.md, and what it shows, from what --json wrote",
    )  # fmt: skip
    parser.add_argument("--folder", type=Path, help="where to make the folder of the trial")
    parser.add_argument("--keep", action="store_true", help="keep that folder")
    parser.add_argument("--list", action="store_true", help="name the faults and end")
    options = parser.parse_args(arguments)
    options.images = options.images or (_QUICK_IMAGES if options.quick else _IMAGES)
    return options


def _chosen(names: str | None, *, quick: bool) -> list[Fault]:
    faults = every_fault()
    if names is None:
        return [fault for fault in faults if fault.quick or not quick]
    wanted = {name.strip() for name in names.split(",")}
    unknown = wanted - {fault.name for fault in faults}
    if unknown:
        raise SystemExit(f"no fault is called {', '.join(sorted(unknown))}; see --list")
    return [fault for fault in faults if fault.name in wanted]


def _forms(chosen: str) -> list[FormName]:
    forms = list(FormName) if chosen == "both" else [FormName(chosen)]
    lacking = [name for server in (Postgres, Redis) if (name := server.missing())]
    if FormName.CLUSTER in forms and lacking:
        raise SystemExit(f"the cluster needs {', '.join(lacking)}; or say --form one-machine")
    return forms


def _about(options: argparse.Namespace, started: datetime, seconds: float) -> dict[str, Any]:
    command = ["python", "-m", "tests.chaos", *sys.argv[1:]]
    return {
        "command": " ".join(command),
        "commit": _commit(),
        "started": started.isoformat(timespec="seconds"),
        "minutes": round(seconds / 60, 1),
        "seed": options.seed,
        "machine": f"{platform.machine()}, {_cores()} cores, Python {platform.python_version()}",
    }


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _clock(began: float) -> str:
    minutes, seconds = divmod(int(time.monotonic() - began), 60)
    return f"{minutes:3d}:{seconds:02d}"


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
