"""Signs of life: what a loop says reaches whoever started the process, and never holds it up."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu.connection import Connection

from dicom_node import signs
from dicom_node.bell import ring_transport
from dicom_node.signs import LONGEST, PIECE, ROUND, Hearing, Pipe, Signs, Systemd
from tests.support.waiting import eventually


class Ear:
    """Hears every sign."""

    def __init__(self) -> None:
        self.heard: list[float] = []

    def tell(self, within: float) -> None:
        self.heard.append(within)


@pytest.fixture
def hearing() -> Iterator[Hearing]:
    found = Hearing()
    yield found
    found.close()
    found.begun()


def test_a_sign_ends_the_silence_and_says_until_when(hearing: Hearing) -> None:
    hearing.hear(7.0)
    assert (hearing.silence, hearing.within) == (7.0, LONGEST)
    pipe = Pipe(hearing.inherited[0])
    pipe.tell(180.0)
    pipe.tell(600.0)
    hearing.hear(3.0)
    assert (hearing.silence, hearing.within) == (0.0, 600.0)
    hearing.hear(2.0)
    assert hearing.silence == 2.0


def test_nobody_is_held_up_by_a_supervisor_that_does_not_listen(hearing: Hearing) -> None:
    pipe = Pipe(hearing.inherited[0])
    for _ in range(30_000):
        pipe.tell(1800.0)
    hearing.hear(1.0)
    assert hearing.silence == 0.0


def test_many_rounds_are_told_once_a_second_and_another_bound_at_once() -> None:
    ear, seconds = Ear(), 100.0
    given = Signs([ear], clock=lambda: seconds)
    for within in (180.0, 180.0, 600.0, 600.0, 180.0):
        given.give(within)
    assert ear.heard == [180.0, 600.0, 180.0]
    seconds += 1
    given.give(180.0)
    assert ear.heard[3:] == [180.0]
    seconds += 5
    assert (given.last.age, given.last.within) == (5.0, 180.0)


def test_one_that_ends_in_order_has_the_time_for_it_whatever_its_loop_says_last() -> None:
    ear = Ear()
    given = Signs([ear])
    given.give(180.0)
    given.ending()
    given.give(180.0)
    assert ear.heard == [180.0, LONGEST]
    assert given.last.within == LONGEST


GIVES = "import os; from dicom_node import signs; signs.own().give(42); print(len(os.environ))"


def given_in_a_child(environment: dict[str, str], pipes: tuple[int, ...] = ()) -> None:
    subprocess.run(
        [sys.executable, "-c", GIVES], env=os.environ | environment, pass_fds=pipes, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip


def test_a_child_finds_its_supervisor(hearing: Hearing) -> None:
    given_in_a_child(hearing.environment(), hearing.inherited)
    hearing.hear(1.0)
    assert hearing.within == 42


def test_nothing_is_written_to_a_file_that_happens_to_have_the_number(
    hearing: Hearing, tmp_path: Path
) -> None:
    with (tmp_path / "file").open("wb") as file:
        number, inode = file.fileno(), hearing.environment()["DICOM_NODE_SIGNS"].split(":")[1]
        given_in_a_child({"DICOM_NODE_SIGNS": f"{number}:{inode}"}, (number,))
    assert (tmp_path / "file").read_bytes() == b""


def test_systemd_is_told_in_its_own_words(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        given_in_a_child({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "180000000"})
        assert server.recv(200) == b"READY=1\nWATCHDOG_USEC=42000000\nWATCHDOG=1"
        given_in_a_child({"NOTIFY_SOCKET": path})
        assert server.recv(200) == b"READY=1"
    given_in_a_child({"NOTIFY_SOCKET": path})


def own(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Signs:
    """The signs of a process with this environment."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return signs.own.__wrapped__()


def test_systemd_may_have_an_abstract_socket_and_watch_another_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = f"signs-{os.getpid()}"
    words = {"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "180000000"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(f"\0{name}")
        server.setblocking(False)
        own(monkeypatch, **words, WATCHDOG_PID=str(os.getppid())).give(42.0)
        assert server.recv(200) == b"READY=1"
        own(monkeypatch, **words, WATCHDOG_PID=str(os.getpid())).give(42.0)
        assert server.recv(200) == b"READY=1\nWATCHDOG_USEC=42000000\nWATCHDOG=1"


def test_nobody_is_held_up_by_a_systemd_that_does_not_listen(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        listener = Systemd(path, watched=True)

        def many_signs() -> None:
            for _ in range(3000):
                listener.tell(180.0)

        many = threading.Thread(target=many_signs, daemon=True)
        many.start()
        eventually(lambda: not many.is_alive())
        assert server.recv(200).startswith(b"READY=1")


@pytest.mark.parametrize("said", ["", "7", "7:8:9", "a:b", "-1:5", "987654:5", "{}:1", "{}:{}:1"])
def test_what_names_no_pipe_of_a_supervisor_is_no_supervisor(
    monkeypatch: pytest.MonkeyPatch, hearing: Hearing, said: str
) -> None:
    own(monkeypatch, DICOM_NODE_SIGNS=said.format(hearing.inherited[0], 1)).give(42.0)
    hearing.hear(1.0)
    assert (hearing.silence, hearing.within) == (1.0, LONGEST)


def test_a_process_hands_the_way_to_its_supervisor_to_nobody(
    monkeypatch: pytest.MonkeyPatch, hearing: Hearing
) -> None:
    given = own(monkeypatch, **hearing.environment())
    given.give(42.0)
    assert "DICOM_NODE_SIGNS" not in os.environ
    assert not os.get_inheritable(hearing.inherited[0])
    hearing.hear(1.0)
    assert (hearing.silence, hearing.within) == (0.0, 42.0)


def test_a_sign_that_comes_in_two_parts_is_heard_once_it_is_whole(hearing: Hearing) -> None:
    os.write(hearing.inherited[0], b"60")
    hearing.hear(1.0)
    assert (hearing.silence, hearing.within) == (1.0, LONGEST)
    os.write(hearing.inherited[0], b"0\n18")
    hearing.hear(1.0)
    assert (hearing.silence, hearing.within) == (0.0, 600.0)
    os.write(hearing.inherited[0], b"0\n")
    hearing.hear(1.0)
    assert hearing.within == 180.0


def test_what_is_no_sign_ends_no_silence(hearing: Hearing) -> None:
    os.write(hearing.inherited[0], b"rubbish\n")
    hearing.hear(3.0)
    assert (hearing.silence, hearing.within) == (3.0, LONGEST)


def test_one_that_is_gone_is_silent_from_its_last_word_on() -> None:
    hearing = Hearing()
    end = os.dup(hearing.inherited[0])
    hearing.begun()
    Pipe(end).tell(180.0)
    os.close(end)
    hearing.hear(1.0)
    hearing.hear(2.0)
    assert (hearing.silence, hearing.within) == (2.0, 180.0)
    hearing.close()
    hearing.close()


def test_a_process_has_begun_with_the_longest_time_there_is() -> None:
    seconds = 100.0
    given = Signs(clock=lambda: seconds)
    seconds += 7
    assert (given.last.age, given.last.within) == (7.0, LONGEST)
    given.give()
    assert (given.last.age, given.last.within) == (0.0, ROUND)


def test_whoever_computes_for_long_has_more_time_and_a_hang_is_known_within_half_an_hour() -> None:
    assert (ROUND, PIECE, LONGEST) == (3 * 60, 10 * 60, 30 * 60)


def test_children_are_not_told_of_what_is_between_systemd_and_their_supervisor() -> None:
    kept = signs.for_children({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1", "PATH": "/bin"})
    assert kept == {"PATH": "/bin"}


def test_a_worker_gives_a_sign_whenever_it_listens_for_rings_also_to_a_broker_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "messages").write_text("a file where the broker's folder should be")
    ear = Ear()
    monkeypatch.setattr(signs, "own", lambda: Signs([ear]))
    options = {"url": None, "folder": str(tmp_path / "messages"), "look_seconds": 600.0}
    with Connection(transport=ring_transport.Transport, transport_options=options) as connection:
        queue = connection.SimpleQueue("infer")
        with pytest.raises(queue.Empty):
            queue.get(timeout=0.1)
    assert ear.heard
