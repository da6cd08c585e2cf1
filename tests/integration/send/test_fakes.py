"""Sending to PACS that behave, refuse, hang, leave and lie."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import (
    UID,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)
from pynetdicom import AllStoragePresentationContexts

from dicom_node.network.request import Answer, DeliveryOutcome, Outgoing, send
from dicom_node.network.request.dataset import StoredDataSet
from dicom_node.network.request.transcode import transcode
from tests.support.broken_pacs import Breach, BrokenPacs
from tests.support.factories import dicom as make
from tests.support.pacs import FakePacs
from tests.support.sending import (
    SHORT,
    Store,
    address,
    assert_same_values,
    outcomes,
    result_in,
    sent,
)
from tests.support.servers import dead_port
from tests.support.waiting import eventually


def stored_bytes(outgoing: Outgoing) -> bytes:
    return outgoing.path.read_bytes()[StoredDataSet.at(outgoing.path).offset :]


def test_a_batch_goes_over_one_association_as_stored(store: Store) -> None:
    batch = store(*make.ct_series(3), make.dx_image(), make.enhanced_ct())
    before = [one.path.read_bytes() for one in batch]
    with FakePacs() as pacs:
        answers = sent(address(pacs.port), batch)
    assert outcomes(answers) == [DeliveryOutcome.DELIVERED] * 5
    assert {answer.status for answer in answers} == {0x0000}
    assert pacs.associations == 1
    assert pacs.received[0].calling_ae_title == "DENOISE"
    sent_uids = [one.result.sop_instance_uid for one in batch]
    assert [one.sop_instance_uid for one in pacs.received] == sent_uids
    assert [one.data for one in pacs.received] == [stored_bytes(one) for one in batch]
    assert [one.path.read_bytes() for one in batch] == before


@pytest.mark.parametrize("max_pdu", [0, 128, 4096, 16382, 131072, 1 << 20])
def test_every_pdu_length_of_the_peer_is_kept_to(store: Store, max_pdu: int) -> None:
    size = (50, 51) if max_pdu == 128 else (301, 301)
    batch = store(make.ct_slice(size=size), make.dx_image())
    with FakePacs(max_pdu=max_pdu) as pacs:
        assert outcomes(sent(address(pacs.port), batch)) == [DeliveryOutcome.DELIVERED] * 2
    assert [one.data for one in pacs.received] == [stored_bytes(one) for one in batch]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (0x0000, DeliveryOutcome.DELIVERED),
        (0xB000, DeliveryOutcome.WARNING),
        (0xB006, DeliveryOutcome.WARNING),
        (0xB007, DeliveryOutcome.WARNING),
        (0x0111, DeliveryOutcome.WARNING),
        (0xA700, DeliveryOutcome.RETRY),
        (0x0110, DeliveryOutcome.RETRY),
        (0x0213, DeliveryOutcome.RETRY),
        (0xA900, DeliveryOutcome.REFUSED),
        (0xC000, DeliveryOutcome.REFUSED),
        (0x0122, DeliveryOutcome.REFUSED),
        (0x0124, DeliveryOutcome.REFUSED),
    ],
)
def test_a_status_concerns_one_instance_only(
    store: Store, status: int, outcome: DeliveryOutcome
) -> None:
    batch = store(*make.ct_series(3))
    with FakePacs(statuses=[0, status, 0]) as pacs:
        answers = sent(address(pacs.port), batch)
    assert outcomes(answers) == [DeliveryOutcome.DELIVERED, outcome, DeliveryOutcome.DELIVERED]
    assert answers[1].status == status
    assert status == 0 or f"0x{status:04X}" in answers[1].message


@pytest.mark.parametrize("how", ["hang_after", "close_after", "abort_after"])
def test_what_was_answered_stays_and_the_rest_is_put_off(store: Store, how: str) -> None:
    batch = store(*make.ct_series(4))
    with FakePacs(**{how: 2}) as pacs:  # type: ignore[arg-type]
        answers = sent(address(pacs.port, timeouts=SHORT), batch)
    assert outcomes(answers) == [DeliveryOutcome.DELIVERED] * 2 + [DeliveryOutcome.RETRY] * 2
    assert [answer.tried for answer in answers] == [True, True, True, False]
    assert answers[2].message == answers[3].message != ""


def test_a_second_try_sends_the_same_bytes(store: Store) -> None:
    batch = store(*make.ct_series(3))
    with FakePacs(close_after=1) as pacs:
        first = sent(address(pacs.port, timeouts=SHORT), batch)
        pacs.close_after = None
        rest = [
            one for one, a in zip(batch, first, strict=True) if a.outcome is DeliveryOutcome.RETRY
        ]
        assert outcomes(sent(address(pacs.port), rest)) == [DeliveryOutcome.DELIVERED] * 2
        assert sorted(pacs.uids) == sorted(one.result.sop_instance_uid for one in batch)
        assert not pacs.duplicates
        assert not pacs.conflicts


@pytest.mark.parametrize(
    ("rejection", "words"),
    [
        ((1, 1, 3), "register our AE title 'DENOISE'"),
        ((1, 1, 7), "called AE title not recognized"),
        ((2, 3, 1), "for now: temporary congestion"),
        ((2, 3, 2), "local limit exceeded"),
    ],
)
def test_a_rejected_association_puts_everything_off(
    store: Store, rejection: tuple[int, int, int], words: str
) -> None:
    batch = store(*make.ct_series(2))
    with FakePacs(reject=rejection) as pacs:
        answers = sent(address(pacs.port), batch)
    assert outcomes(answers) == [DeliveryOutcome.RETRY] * 2
    assert not any(answer.tried for answer in answers)
    assert words in answers[0].message


def test_a_destination_that_is_down_puts_everything_off(store: Store) -> None:
    batch = store(*make.ct_series(2))
    answers = sent(address(dead_port(), timeouts=SHORT), batch)
    assert outcomes(answers) == [DeliveryOutcome.RETRY] * 2


def test_an_unknown_host_puts_everything_off(store: Store) -> None:
    there = address(104, host="no-such-host.invalid", timeouts=SHORT)
    answers = sent(there, store(make.ct_slice()))
    assert outcomes(answers) == [DeliveryOutcome.RETRY]
    assert "no-such-host.invalid" in answers[0].message


@pytest.mark.parametrize("breach", Breach)
def test_a_peer_that_breaks_the_protocol_neither_hangs_nor_harms_us(
    store: Store, breach: Breach
) -> None:
    batch = store(make.dx_image(size=(1200, 1200)), make.ct_slice())
    threads = threading.active_count()
    with BrokenPacs(breach) as pacs:
        answers = sent(address(pacs.port, timeouts=SHORT), batch)
        if breach is Breach.NEVER_RELEASES:
            assert outcomes(answers) == [DeliveryOutcome.DELIVERED] * 2
        elif breach is Breach.UNPROPOSED_SYNTAX:
            assert DeliveryOutcome.DELIVERED not in outcomes(answers)
        else:
            assert outcomes(answers) == [DeliveryOutcome.RETRY] * 2
            assert answers[0].message
    eventually(lambda: threading.active_count() <= threads)


ONE_CLASS = [
    (ImplicitVRLittleEndian, [ImplicitVRLittleEndian]),
    (ExplicitVRLittleEndian, [ExplicitVRLittleEndian]),
    (JPEGLSLossless, [JPEGLSLossless]),
    (JPEG2000Lossless, [JPEG2000Lossless]),
    (RLELossless, [RLELossless]),
]


@pytest.mark.parametrize("kept", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless])
@pytest.mark.parametrize("taken", [syntax for syntax, _ in ONE_CLASS])
def test_whatever_syntax_is_taken_the_values_are_the_same(
    store: Store, tmp_path: Path, kept: str, taken: str
) -> None:
    batch = [_in_syntax(one, kept, tmp_path) for one in store(make.ct_slice(), make.enhanced_ct())]
    accepted = [(uid, [taken]) for uid in (CTImageStorage, EnhancedCTImageStorage)]
    with FakePacs(accepted=accepted) as pacs:
        answers = sent(address(pacs.port), batch)
    assert outcomes(answers) == [DeliveryOutcome.DELIVERED] * 2
    assert {answer.sent_transfer_syntax for answer in answers} == {taken}
    for outgoing, received in zip(batch, pacs.received, strict=True):
        assert received.transfer_syntax_uid == taken
        assert_same_values(outgoing.path, _as_file(received.data, taken, tmp_path))


def test_a_syntax_is_only_changed_for_the_class_that_needs_it(store: Store) -> None:
    batch = store(make.ct_slice(), make.dx_image())
    accepted = [
        (CTImageStorage, [ExplicitVRLittleEndian]),
        (DigitalXRayImageStorageForPresentation, [ImplicitVRLittleEndian]),
    ]
    with FakePacs(accepted=accepted) as pacs:
        answers = sent(address(pacs.port), batch)
    assert [answer.sent_transfer_syntax for answer in answers] == [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
    ]
    assert pacs.associations == 1


def test_a_class_that_is_not_accepted_is_refused_and_the_others_go(store: Store) -> None:
    batch = store(make.ct_slice(), make.dx_image(), make.ct_slice())
    with FakePacs(accepted=[(CTImageStorage, [ExplicitVRLittleEndian])]) as pacs:
        answers = sent(address(pacs.port), batch)
    assert outcomes(answers) == [
        DeliveryOutcome.DELIVERED,
        DeliveryOutcome.REFUSED,
        DeliveryOutcome.DELIVERED,
    ]
    assert DigitalXRayImageStorageForPresentation in answers[1].message
    assert "Digital X-Ray Image Storage" in answers[1].message


def test_nothing_accepted_refuses_everything(store: Store) -> None:
    with FakePacs(accepted=[]) as pacs:
        answers = sent(address(pacs.port), store(*make.ct_series(2)))
    assert outcomes(answers) == [DeliveryOutcome.REFUSED] * 2


def test_more_contexts_than_one_association_has(store: Store) -> None:
    datasets = []
    for context in AllStoragePresentationContexts[:60]:
        dataset = make.ct_slice(size=(8, 8))
        sop_class = UID(str(context.abstract_syntax))
        dataset.SOPClassUID = sop_class
        dataset.file_meta.MediaStorageSOPClassUID = sop_class
        datasets.append(dataset)
    with FakePacs() as pacs:
        answers = sent(address(pacs.port), store(*datasets))
    assert outcomes(answers) == [DeliveryOutcome.DELIVERED] * 60
    assert pacs.associations == 2


def test_a_file_that_is_gone_or_not_the_one_recorded_holds_nobody_up(store: Store) -> None:
    batch = store(*make.ct_series(4))
    batch[0].path.unlink()
    batch[1].path.write_bytes(b"\0" * 2000)
    batch[2] = replace(batch[2], result=replace(batch[2].result, sop_instance_uid="1.2.3"))
    with FakePacs() as pacs:
        answers = sent(address(pacs.port), batch)
    assert outcomes(answers) == [
        DeliveryOutcome.RETRY,
        DeliveryOutcome.REFUSED,
        DeliveryOutcome.REFUSED,
        DeliveryOutcome.DELIVERED,
    ]
    assert len(pacs.received) == 1


def test_an_error_of_the_caller_comes_out_and_ends_the_association(store: Store) -> None:
    class LedgerGone(Exception):
        pass

    def fail(_: Answer) -> None:
        raise LedgerGone

    threads = threading.active_count()
    with FakePacs() as pacs:
        with pytest.raises(LedgerGone):
            send(address(pacs.port), store(*make.ct_series(3)), on_answer=fail)
        assert len(pacs.received) == 1
    eventually(lambda: threading.active_count() <= threads)


@pytest.mark.holds(number=6)
def test_no_message_names_the_patient(store: Store) -> None:
    batch = store(*(make.ct_slice(PatientName="Secret^Name", PatientID="S3CR3T") for _ in range(3)))
    answers = []
    for pacs in (FakePacs(statuses=[0xC000, 0xA700, 0xB000]), FakePacs(accepted=[])):
        with pacs:
            answers += sent(address(pacs.port), batch)
    assert not any("ecret" in a.message or "S3CR3T" in a.message for a in answers)


def test_hundreds_of_instances_lose_no_answer(store: Store) -> None:
    one = make.ct_slice(size=(16, 16))
    batch = store(one) * 400
    batch = [replace(out, delivery_id=at) for at, out in enumerate(batch)]
    with FakePacs() as pacs:
        assert set(outcomes(sent(address(pacs.port), batch))) == {DeliveryOutcome.DELIVERED}
        assert len(pacs.received) == 400


def _in_syntax(outgoing: Outgoing, syntax: str, folder: Path) -> Outgoing:
    """Return the same instance stored in another syntax."""
    data = transcode(StoredDataSet.at(outgoing.path), syntax)
    with data.open() as stream:
        path = _as_file(stream.read(), syntax, folder, like=outgoing.path)
    return replace(outgoing, path=path, result=result_in(path))


def _as_file(data: bytes, syntax: str, folder: Path, *, like: Path | None = None) -> Path:
    meta = FileMetaDataset()
    if like is not None:
        meta.update(dcmread(like, stop_before_pixels=True).file_meta)
    meta.TransferSyntaxUID = UID(syntax)
    head = DicomBytesIO()
    write_file_meta_info(head, meta, enforce_standard=False)
    path = folder / f"{generate_uid()}.dcm"
    path.write_bytes(b"\0" * 128 + b"DICM" + head.getvalue() + data)
    return path
