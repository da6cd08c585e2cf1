"""The scanner and the PACS of the demonstration speak real DICOM with each other."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider

from dicom_node.demo import scanner
from dicom_node.demo.errors import DemoError
from dicom_node.demo.network import LOOPBACK, Endpoint, answers
from dicom_node.demo.pacs import Pacs
from dicom_node.demo.scanner import send
from tests.support.servers import dead_port


def test_what_is_sent_arrives_byte_for_byte(slices: tuple[Path, ...], tmp_path: Path) -> None:
    ticks: list[None] = []
    with Pacs(tmp_path) as pacs:
        address = Endpoint(LOOPBACK, pacs.port, "PACS")
        assert answers(address, "SCANNER")
        sent = send(slices, address, progress=lambda: ticks.append(None))
        arrivals = pacs.arrivals()
    assert len(ticks) == len(slices)
    assert tuple(arrival.sop_instance_uid for arrival in arrivals) == sent.sop_uids
    assert all(sent.started < arrival.at <= sent.ended for arrival in arrivals)
    for arrival, file in zip(arrivals, slices, strict=True):
        assert dcmread(arrival.path).PixelData == dcmread(file).PixelData


class Late(threading.Event):
    """A thread that the machine takes off the processor as soon as it has passed."""

    def wait(self, timeout: float | None = None) -> bool:
        passed = super().wait(timeout)
        time.sleep(0.05)
        return passed


def test_no_answer_is_taken_by_the_thread_beside(
    slices: tuple[Path, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pynetdicom's own thread of an association took one now and then: the sender waited 60 s."""
    begin, get = Association.__init__, DIMSEServiceProvider.get_msg

    def late(association: Association, *arguments: Any) -> None:
        begin(association, *arguments)
        if association.is_requestor:
            association._reactor_checkpoint = Late()
            association._reactor_checkpoint.set()

    def get_late(messages: DIMSEServiceProvider, block: bool = False) -> Any:
        time.sleep(0.2 if block else 0.0)
        return get(messages, block)

    with Pacs(tmp_path) as pacs:
        monkeypatch.setattr(Association, "__init__", late)
        monkeypatch.setattr(DIMSEServiceProvider, "get_msg", get_late)
        monkeypatch.setattr(scanner, "_TIMEOUT_S", 2.0)
        address = Endpoint(LOOPBACK, pacs.port, "PACS")
        assert answers(address, "SCANNER")
        assert len(send(slices, address).sop_uids) == len(slices)


def test_the_source_of_a_result_is_noted(slices: tuple[Path, ...], tmp_path: Path) -> None:
    result = dcmread(slices[0])
    reference = Dataset()
    reference.ReferencedSOPClassUID = result.SOPClassUID
    reference.ReferencedSOPInstanceUID = "1.2.3"
    result.SourceImageSequence = Sequence([reference])
    file = tmp_path / "result.dcm"
    result.save_as(file, enforce_file_format=True)
    with Pacs(tmp_path) as pacs:
        send([file], Endpoint(LOOPBACK, pacs.port, "PACS"))
        (arrival,) = pacs.arrivals()
    assert arrival.source_uid == "1.2.3"


def test_sending_twice_keeps_the_first_arrival(slices: tuple[Path, ...], tmp_path: Path) -> None:
    with Pacs(tmp_path) as pacs:
        address = Endpoint(LOOPBACK, pacs.port, "PACS")
        send(slices[:1], address)
        (first,) = pacs.arrivals()
        send(slices[:1], address)
        assert pacs.arrivals() == (first,)


def test_a_refused_association_is_an_error(slices: tuple[Path, ...], tmp_path: Path) -> None:
    with Pacs(tmp_path) as pacs, pytest.raises(DemoError, match="not established"):
        send(slices, Endpoint(LOOPBACK, pacs.port, "OTHER"))
    with pytest.raises(DemoError, match="not established"):
        send(slices, Endpoint(LOOPBACK, dead_port(), "PACS"))


def test_an_object_that_is_not_stored_is_an_error(slices: tuple[Path, ...], tmp_path: Path) -> None:
    with Pacs(tmp_path / "missing") as pacs, pytest.raises(DemoError, match="0xA700"):
        send(slices, Endpoint(LOOPBACK, pacs.port, "PACS"))
