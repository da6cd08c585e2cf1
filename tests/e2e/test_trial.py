"""The trial in its short form: images flow, faults are done, nothing is lost or wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MINUTES = 20


def trial(form: str, folder: Path) -> tuple[dict[str, Any], str]:
    """Run the command; returns what it found, and what it said."""
    out = folder / "found.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--quick", "--form", form, "--folder", str(folder),
         "--json", str(out)],
        capture_output=True, text=True, check=False, timeout=60 * MINUTES,
    )  # fmt: skip
    assert out.exists(), done.stdout + done.stderr
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    assert (done.returncode == 0) is found["holds"]
    return found, done.stdout


def judged(form: str, folder: Path) -> None:
    found, said = trial(form, folder)
    lines = {line["fault"]: line for line in found["lines"]}
    assert found["holds"], said
    assert (found["lost"], found["wrong"], found["sent_again_without_reason"]) == (0, 0, 0)
    assert found["images"] >= 200, "else nothing was tried"
    assert not [line["fault"] for line in lines.values() if line["skipped"]]
    assert all(line["in_flight"] for line in lines.values()), "each struck while images were on it"
    lost = lines["answers lost"]["sent_again"]
    assert lost, "the answers that the PACS loses are seen"
    assert all(one["same_bytes"] for one in lost)


@pytest.mark.timeout(60 * MINUTES)
def test_on_one_machine_nothing_is_lost_or_wrong(tmp_path: Path) -> None:
    judged("one-machine", tmp_path)


@pytest.mark.redis
@pytest.mark.postgresql
@pytest.mark.timeout(60 * MINUTES)
def test_in_a_cluster_nothing_is_lost_or_wrong(tmp_path: Path) -> None:
    judged("cluster", tmp_path)
