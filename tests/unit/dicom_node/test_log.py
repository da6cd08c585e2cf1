"""Log lines are structured, and hold nothing of a patient whatever went wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

MARKER = "PHI^MARKER"
PROGRAM = """
import logging, sys, threading, warnings
import structlog
from celery.app.trace import TraceInfo, build_tracer
from dicom_node import log
from dicom_node.errors import FailItem, UnreadableObject
from dicom_node.settings import LogSettings

log.configure(LogSettings(format=sys.argv[1], level="debug"))

def parse(patient_name):
    try:
        int(patient_name)
    except ValueError as error:
        raise FailItem("1.2.3: a value cannot be parsed") from error

def crash(patient_name):
    raise LookupError(f"no such value: {patient_name}")

logger = structlog.get_logger("worker")
for function in (parse, crash):
    try:
        function("PHI^MARKER")
    except (FailItem, LookupError):
        logger.exception("item.failed", work_item=7)
        logging.getLogger("somewhere").exception("failed")
logging.getLogger("pydicom").warning("odd value PHI^MARKER")
logging.getLogger("pynetdicom.assoc").error("odd value %s", "PHI^MARKER")
warnings.warn("odd value PHI^MARKER")

from celery import Celery
app = Celery("tests", broker="memory://")
app.conf.task_always_eager = False

@app.task(name="infer")
def infer(batch_id):
    crash("PHI^MARKER")

tracer = build_tracer("infer", infer, app=app)
tracer("some-id", (3,), {}, {"is_eager": False, "hostname": "h"})

thread = threading.Thread(target=crash, args=("PHI^MARKER",))
thread.start()
thread.join()
logger.info("node.started", port=11112)
crash("PHI^MARKER")
"""


def run(form: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, form], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    assert done.returncode == 1
    return done.stderr


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in run("json").splitlines()]


def test_every_json_line_says_when_what_and_how_bad(lines: list[dict[str, Any]]) -> None:
    assert lines
    for line in lines:
        assert {"timestamp", "event", "level", "logger"} <= set(line)


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_line_holds_a_value_that_an_exception_or_a_library_names(form: str) -> None:
    text = run(form)
    assert MARKER not in text
    assert "node.started" in text


def test_a_trace_names_the_places_and_our_own_messages(lines: list[dict[str, Any]]) -> None:
    traces = [line["exception"] for line in lines if line["event"] == "item.failed"]
    assert len(traces) == 2
    assert "1.2.3: a value cannot be parsed" in traces[0]
    assert "ValueError" in traces[0]
    assert "in parse" in traces[0]
    assert "LookupError" in traces[1]
    assert "in crash" in traces[1]


def test_a_task_that_crashes_is_named(lines: list[dict[str, Any]]) -> None:
    crashed = [line for line in lines if line["logger"] == "celery.app.trace"]
    assert len(crashed) == 1
    assert "infer" in crashed[0]["event"]
    assert "in crash" in crashed[0]["exception"]


def test_what_ends_a_thread_or_the_process_is_logged(lines: list[dict[str, Any]]) -> None:
    events = [line["event"] for line in lines]
    assert events.count("thread.crashed") == 1
    assert events[-1] == "process.crashed"
