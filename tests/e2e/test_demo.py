"""`dicom-node demo` does the whole main job with nothing but this package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dicom_node.demo.network import LOOPBACK
from dicom_node.demo.pacs import Pacs
from tests.support.servers import dead_port


def demo(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dicom_node", "demo", "--offline", *arguments]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "COLUMNS": "200"}
    return subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        timeout=280,
    )


@pytest.mark.timeout(300)
def test_a_phantom_study_is_denoised_and_delivered_to_both_pacs(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    with Pacs(archive, ae_title="ARCHIVE") as given:
        done = demo(
            tmp_path,
            *("--pacs", f"{LOOPBACK}:{given.port}:ARCHIVE"),
            *("--picture", str(tmp_path / "picture.png"), "--timeout", "240"),
        )
        delivered = given.arrivals()
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(delivered) == 25
    assert "phantom stands in" in done.stdout
    report = tmp_path / "demo-report"
    assert f"Report: {report / 'index.html'}" in done.stdout
    assert "24" in done.stdout
    assert sorted(path.name for path in report.iterdir()) == ["index.html", "node.log"]
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_a_pacs_that_does_not_answer_ends_it_with_the_reason(tmp_path: Path) -> None:
    done = demo(tmp_path, "--pacs", f"{LOOPBACK}:{dead_port()}:ARCHIVE")
    assert done.returncode == 1
    assert "refused the connection" in " ".join(done.stdout.split())


def test_a_malformed_pacs_is_a_usage_error(tmp_path: Path) -> None:
    done = demo(tmp_path, "--pacs", "somewhere")
    assert done.returncode == 2
    assert "HOST:PORT:AET" in done.stderr
