from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from dicom_node.dicom.command_set import Command
from dicom_node.errors import FailItem, LedgerError, OutOfSpace
from dicom_node.network.accept.ports import Caller
from dicom_node.network.accept.receiver import StoreReceiver
from dicom_node.spool.spool import Spool
from tests.support.wire import CT, IMPLICIT, RecordingIntake, data_set_of, left_over

CALLER = Caller("a" * 32, "CT1", "DENOISE", "10.1.2.3")


class Setting:
    def __init__(self, root: Path, limit: int = 0) -> None:
        self.spool = Spool(root)
        self.intake = RecordingIntake(self.spool)
        self.receiver = StoreReceiver(self.spool, self.intake, CALLER, limit)

    def receive(self, *fragments: bytes, instance: str = "1.2.3", sop_class: str = CT) -> int:
        self.receiver.begin(Command(1, 1, bool(fragments), sop_class, instance), IMPLICIT)
        for fragment in fragments:
            self.receiver.data(memoryview(fragment))
        return self.receiver.finish()


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path / "spool")


def test_an_object_reaches_the_intake_as_it_was_received(setting: Setting) -> None:
    assert setting.receive(b"first,", b"", b"second") == 0x0000
    received, path = setting.intake.stored[0]
    assert data_set_of(path.read_bytes()) == b"first,second"
    assert received.size == 12
    assert (received.sop_class_uid, received.sop_instance_uid) == (CT, "1.2.3")
    assert received.transfer_syntax_uid == IMPLICIT
    assert received.caller == CALLER
    assert received.sha256 == hashlib.sha256(IMPLICIT.encode() + b"\0first,second").hexdigest()
    assert left_over(setting.spool) == []


@pytest.mark.parametrize("outcome", [0xA700, 0xC000, 0x0124])
def test_what_the_intake_refuses_is_answered_so_and_removed(setting: Setting, outcome: int) -> None:
    setting.intake.status = outcome
    assert setting.receive(b"data") == outcome
    assert left_over(setting.spool) == []


@pytest.mark.parametrize(
    ("error", "status"),
    [(LedgerError("down"), 0xA700), (OutOfSpace("full"), 0xA700), (FailItem("no"), 0xC211)],
)
def test_an_intake_that_fails_is_a_failure_status(
    setting: Setting, error: Exception, status: int
) -> None:
    setting.intake.error = error  # type: ignore[assignment]
    assert setting.receive(b"data") == status
    assert left_over(setting.spool) == []
    setting.intake.error = None
    assert setting.receive(b"data") == 0x0000


def test_no_space_is_said_before_a_byte_is_written(setting: Setting) -> None:
    setting.intake.space = False
    assert setting.receive(b"data", b"more") == 0xA700
    assert setting.intake.stored == []
    assert left_over(setting.spool) == []


def test_the_size_of_the_last_object_is_the_hint_for_the_next(setting: Setting) -> None:
    setting.receive(b"12345")
    setting.receive(b"1")
    assert setting.intake.hints == [0, 5]


def test_an_object_over_the_limit_is_dropped_and_the_next_one_taken(tmp_path: Path) -> None:
    setting = Setting(tmp_path / "spool", limit=5)
    assert setting.receive(b"123", b"456", b"789") == 0xA701
    assert left_over(setting.spool) == []
    assert setting.receive(b"12345") == 0x0000


@pytest.mark.parametrize(
    ("sop_class", "instance", "status"),
    [
        (CT, "", 0x0117),
        ("", "1.2.3", 0x0122),
        ("1.2.840.10008.5.1.4.31", "1.2.3", 0x0122),
        ("1.2.999.1.2.3", "1.2.3", 0x0000),
    ],
)
def test_uids_of_the_request(setting: Setting, sop_class: str, instance: str, status: int) -> None:
    assert setting.receive(b"data", sop_class=sop_class, instance=instance) == status
    assert left_over(setting.spool) == []


@pytest.mark.parametrize("fragments", [(), (b"",)])
def test_an_object_without_a_data_set_cannot_be_understood(
    setting: Setting, fragments: tuple[bytes, ...]
) -> None:
    assert setting.receive(*fragments) == 0xC000
    assert left_over(setting.spool) == []


def test_discard_in_the_middle_leaves_nothing(setting: Setting) -> None:
    setting.receiver.begin(Command(1, 1, True, CT, "1.2.3"), IMPLICIT)
    setting.receiver.data(memoryview(b"half"))
    setting.receiver.discard()
    assert left_over(setting.spool) == []
    assert setting.intake.stored == []


def test_a_disk_that_fills_up_is_answered_and_leaves_nothing(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", full)
        assert setting.receive(b"data") == 0xA700
    assert left_over(setting.spool) == []
    assert setting.receive(b"data") == 0x0000


def test_a_spool_that_is_gone_is_answered(setting: Setting) -> None:
    (setting.spool.root / "incoming").rmdir()
    assert setting.receive(b"data") == 0xA700


@pytest.mark.parametrize(
    ("refused", "why"),
    [("room", "no space"), ("class", "SOP class"), ("size", "size limit")],
)
def test_the_log_says_what_was_refused_and_why(tmp_path: Path, refused: str, why: str) -> None:
    setting = Setting(tmp_path / "spool", limit=3 if refused == "size" else 0)
    setting.intake.space = refused != "room"
    with capture_logs() as lines:
        setting.receive(b"data", sop_class="1.2.840.10008.1.1" if refused == "class" else CT)
    (line,) = [line for line in lines if line["event"] == "instance.refused"]
    assert line["sop_instance_uid"] == "1.2.3"
    assert why in line["reason"]
