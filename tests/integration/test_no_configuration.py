"""No process and no command of a node works on nothing but defaults."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dicom_node.settings.source import USUAL

NODE = ("-m", "dicom_node")
ENTRIES = {
    "up": (*NODE, "up"),
    "intake": (*NODE, "intake"),
    "upkeep": (*NODE, "upkeep"),
    "infer": ("-m", "celery", "-A", "workers.app", "--quiet", "worker", "-Q", "infer"),
    "deliver": ("-m", "workers", "--quiet", "worker", "-Q", "deliver"),
    "check": (*NODE, "check"),
    "study list": (*NODE, "study", "list"),
    "db upgrade": (*NODE, "db", "upgrade"),
}


@pytest.mark.skipif(USUAL.exists(), reason=f"this machine has a {USUAL}")
@pytest.mark.parametrize("entry", ENTRIES)
def test_without_a_configuration_that_is_said_and_nothing_is_done(entry: str) -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("DICOM_NODE_")
    }
    done = subprocess.run(
        [sys.executable, *ENTRIES[entry]], capture_output=True, text=True, timeout=60, check=False,
        env={**environment, "COLUMNS": "400"},
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert "there is no configuration" in said
    assert "Traceback" not in said
