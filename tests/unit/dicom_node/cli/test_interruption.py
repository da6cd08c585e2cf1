"""A command that is told to end says so at once, also while a library computes."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from dicom_node.cli.interruption import ended_in_order

COMPUTES = """
import ctypes, signal, sys
from dicom_node.cli.interruption import code_of, ended_in_order

signal.signal(signal.SIGINT, signal.default_int_handler)
wait = ctypes.CDLL(None).poll  # as a library that gives nothing back
try:
    with ended_in_order():
        print("computes", flush=True)
        for _ in range(2):
            wait(None, 0, 2500)
except KeyboardInterrupt as error:
    print("in order", flush=True)
    sys.exit(code_of(error))
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_it_is_said_before_the_library_gives_back_and_then_it_ends_in_order(
    number: signal.Signals, code: int
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", COMPUTES], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "computes\n"
        process.send_signal(number)
        lines = [line for line in process.stdout.read().splitlines() if line]
    assert [line.partition(":")[0] for line in lines] == ["interrupted", "in order"]
    assert process.returncode == code


def test_whoever_handled_the_signals_before_does_so_afterwards() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with ended_in_order():
            pass
        signal.raise_signal(signal.SIGTERM)  # to this thread; another one's may come too late
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_beside_the_main_thread_signals_are_left_alone() -> None:
    def run() -> None:
        with ended_in_order():
            done.append(True)

    done: list[bool] = []
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert done == [True]
