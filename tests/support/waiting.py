"""Waiting for what others bring about: long enough for any machine, over as soon as it is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

PATIENCE: Final = 60.0
"""Seconds; nothing that is waited for takes nearly as long, and nothing is concluded from it."""


def eventually(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait for a condition that another thread or process brings about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)
