from __future__ import annotations

import socket
import time
from contextlib import closing

from dicom_node.ledger.deadline import Deadlines


def test_a_connection_that_answers_nothing_is_ended() -> None:
    deadlines = Deadlines()
    here, there = socket.socketpair()
    with closing(here), closing(there):
        watch = deadlines.watch(here, time.monotonic() + 0.05)
        assert here.recv(1) == b""  # would wait for ever
        assert watch.ended


def test_one_that_was_over_in_time_goes_on() -> None:
    deadlines = Deadlines()
    late, other = socket.socketpair()
    kept, there = socket.socketpair()
    with closing(late), closing(other), closing(kept), closing(there):
        watch = deadlines.watch(kept, time.monotonic() + 0.1)
        deadlines.over(watch)
        deadlines.watch(late, time.monotonic() + 0.3)
        assert late.recv(1) == b""
        there.sendall(b"x")
        assert kept.recv(1) == b"x"
        assert not watch.ended


def test_an_earlier_deadline_is_not_behind_a_later_one() -> None:
    deadlines = Deadlines()
    later, _other = socket.socketpair()
    sooner, _there = socket.socketpair()
    with closing(later), closing(_other), closing(sooner), closing(_there):
        long = deadlines.watch(later, time.monotonic() + 3600)
        deadlines.watch(sooner, time.monotonic() + 0.05)
        assert sooner.recv(1) == b""
        assert not long.ended
