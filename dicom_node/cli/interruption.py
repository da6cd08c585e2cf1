"""Ctrl-C, a `kill` and a closed terminal: said at once, and the command ends in order."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)
_HEARD: Final = frozenset({signal.SIGINT, *_ENDING})
_AT_ONCE: Final = b"\ninterrupted: it ends with the part that is being computed\n"


class Terminated(KeyboardInterrupt):
    """A command was told to end by another signal than that of Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def code_of(error: KeyboardInterrupt) -> int:
    """Exit code after it, as shells have it: 130 after Ctrl-C, 143 after `kill`."""
    return 128 + (error.number if isinstance(error, Terminated) else signal.SIGINT)


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise as Ctrl-C does, and say at once that any of them came.

    Python runs a handler only when a library gives the thread back, which may take many seconds:
    until then nobody would know that the signal was heard. It is said on standard error.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # who calls has signals of their own
        return
    heard, told = socket.socketpair()
    told.setblocking(False)
    before = [signal.signal(number, _raise) for number in _ENDING]
    woken = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    sayer = threading.Thread(target=_say, args=(heard,), name="interruption", daemon=True)
    sayer.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in zip(_ENDING, before, strict=True):
            signal.signal(number, handler)
        told.close()
        sayer.join()
        heard.close()


def _raise(number: int, _frame: object) -> None:
    raise Terminated(number)


def _say(heard: socket.socket) -> None:
    while numbers := heard.recv(1):
        if numbers[0] in _HEARD:
            os.write(sys.stderr.fileno(), _AT_ONCE)
            return
