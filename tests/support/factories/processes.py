"""Processes that end at a chosen moment."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

_EVENTS = {
    "open",
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.listdir",
    "os.scandir",
    "shutil.rmtree",
}


def until_killed(at: int, work: Callable[[], object]) -> bool:
    """Run `work` in a child that is killed just before its `at`-th dealing with the file system.

    Returns
    -------
    bool
        Whether it came to that; else `work` came to its end.
    """
    child = os.fork()
    if child == 0:
        seen = 0

        def hook(event: str, _arguments: Any) -> None:
            nonlocal seen
            if event in _EVENTS:
                seen += 1
                if seen == at:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(hook)
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])
