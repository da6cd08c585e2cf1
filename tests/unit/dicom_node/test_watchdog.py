"""A process that does not get out of what it is doing is ended; any other is left alone."""

from __future__ import annotations

import time

from dicom_node.watchdog import Watchdog


def test_a_watchdog_lets_go_of_what_ends_in_time() -> None:
    with Watchdog(0.2)():
        pass
    time.sleep(0.5)
