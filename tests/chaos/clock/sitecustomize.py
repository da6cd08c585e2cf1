"""Read by every Python process of a node whose clock is to jump, before anything else.

libfaketime 0.9.10 gives Linux a wrong time to sleep until, for the monotonic clock too although it
is told to leave that alone, and so `time.sleep` fails. Waiting for nothing takes as long.
"""

from __future__ import annotations

import select
import time
from typing import SupportsIndex


def _sleep(seconds: float | SupportsIndex) -> None:
    if float(seconds) < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], float(seconds))


time.sleep = _sleep
