"""The judge finds what is lost, wrong, or sent again for no reason; else the trial says nothing."""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence as Items
from pydicom.uid import generate_uid

from tests.chaos.archive import Archive
from tests.chaos.books import Ended, Stored
from tests.chaos.flow import Promises
from tests.chaos.images import Identity, expected
from tests.chaos.judge import SECONDARY_CAPTURE, Allowed, Judge, Judgement

ONE, TWO = Identity(1, 0), Identity(2, 0)
OTHER = Identity(3, 1)


class FakeBooks:
    """A ledger that says what the test wants."""

    def __init__(self, ended: Sequence[Ended] = (), stored: Sequence[Stored] = ()) -> None:
        self._ended = list(ended)
        self._stored = list(stored)

    def ended(self) -> list[Ended]:
        return self._ended

    def instances(self, uids: Any) -> list[Stored]:
        wanted = set(uids)
        return [row for row in self._stored if row.uid in wanted]


class Court:
    """A judge with an archive that listens to nobody."""

    def __init__(self) -> None:
        self.archive = Archive(port=1)
        self.promises = Promises()
        self.judge = Judge(self.promises, self.archive)
        self.associations = 0

    def promise(self, *identities: Identity) -> None:
        for identity in identities:
            self.promises.sending(identity)
            self.promises.answered(identity, 0)

    def arrive(
        self, data: bytes, *, answered: bool = True, released: bool = True, rest: bytes = b""
    ) -> None:
        """Objects come over an association of their own: `data`, and perhaps another."""
        self.associations += 1
        self.archive._opened[self.associations] = time.monotonic()
        for each in (data, rest) if rest else (data,):
            self.archive._keep(uid_of(each), each, self.associations, answered=answered)
        if released:
            self.archive._released.add(self.associations)

    def judgement(self, books: FakeBooks | None = None, **set_aside: str) -> Judgement:
        allowed = Allowed({identity_uid: why for identity_uid, why in set_aside.items()})
        return self.judge.judgement(books or FakeBooks(), allowed)  # type: ignore[arg-type]


def result(identity: Identity, *, series: str = "1.2.3", **changes: Any) -> bytes:
    """What the node must send for an image, with changes."""
    dataset = Dataset()
    dataset.SOPClassUID = SECONDARY_CAPTURE
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[str(identity)])
    dataset.PatientID = identity.patient_id
    dataset.PatientName = identity.patient_name
    dataset.StudyInstanceUID = identity.study_uid
    dataset.SeriesInstanceUID = series
    dataset.InstanceNumber = identity.instance_number
    dataset.Rows = dataset.Columns = 64
    source, of_series = Dataset(), Dataset()
    source.ReferencedSOPInstanceUID = identity.uid
    of_series.SeriesInstanceUID = identity.series_uid
    dataset.SourceImageSequence = Items([source])
    dataset.ReferencedSeriesSequence = Items([of_series])
    dataset.add_new(0x7FE00010, "OW", expected(identity).astype("<i2").tobytes())
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    buffer = BytesIO()
    dcmwrite(buffer, dataset, implicit_vr=False, little_endian=True)
    return buffer.getvalue()


def uid_of(data: bytes) -> str:
    at = data.index(b"\x08\x00\x18\x00UI")
    length = struct.unpack_from("<H", data, at + 6)[0]
    return data[at + 8 : at + 8 + length].decode().strip("\0")


def references(uid: str) -> Items:
    item = Dataset()
    item.ReferencedSOPInstanceUID = uid
    return Items([item])


def test_what_arrived_as_it_must_holds() -> None:
    court = Court()
    court.promise(ONE, TWO, OTHER)
    court.arrive(result(ONE), rest=result(TWO))
    court.arrive(result(OTHER, series="1.2.4"))
    judgement = court.judgement()
    assert judgement.holds
    assert court.judge.delivered() == 3
    assert not court.judge.outstanding()


def test_a_promise_without_a_result_is_lost_once() -> None:
    court = Court()
    court.promise(ONE, TWO)
    court.arrive(result(ONE))
    assert court.judge.outstanding() == {TWO}
    first = court.judgement()
    assert [one.uid for one in first.lost] == [TWO.uid]
    assert not first.holds
    assert court.judgement().holds, "the next fault is not blamed for it"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"PatientID": "QHAOS0000000"}, "PatientID"),
        ({"PatientName": "Chaos^Patient0000001"}, "PatientName"),
        ({"StudyInstanceUID": OTHER.study_uid}, "StudyInstanceUID"),
        ({"InstanceNumber": 2}, "InstanceNumber"),
        ({"SourceImageSequence": references(TWO.uid)}, "source image"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "SOPClassUID"),
        ({"PixelData": ONE.pixels().tobytes()}, "pixels"),
        ({"PixelData": expected(OTHER).tobytes()}, "PatientID.*source image.*source series"),
        ({"PixelData": expected(Identity(9, 0)).tobytes()}, "nobody sent"),
        ({"PixelData": bytes(8192)}, "not a result of the trial"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_result_that_is_not_what_its_source_gives_is_wrong(
    change: dict[str, Any], word: str
) -> None:
    court = Court()
    court.promise(ONE, TWO, OTHER)
    court.arrive(result(ONE, **change))
    judgement = court.judgement()
    assert not judgement.holds
    (finding,) = judgement.wrong
    assert re.search(word, finding.what), finding.what


def test_one_pixel_that_is_one_off_is_wrong() -> None:
    court = Court()
    court.promise(ONE)
    pixels = expected(ONE)
    pixels[40, 40] += 1
    court.arrive(result(ONE, PixelData=pixels.tobytes()))
    assert "pixels" in court.judgement().wrong[0].what


def test_results_of_one_series_in_two_and_two_results_of_one_image_are_wrong() -> None:
    court = Court()
    court.promise(ONE, TWO)
    court.arrive(result(ONE))
    court.arrive(result(TWO, series="1.2.5"))
    court.arrive(result(ONE, SOPInstanceUID="1.2.99"))
    said = [finding.what for finding in court.judgement().wrong]
    assert said == ["results of one series stand in two", "image 1 has two results"]


def test_a_failure_is_set_aside_only_where_the_fault_allows_it_with_that_reason() -> None:
    court = Court()
    court.promise(ONE, TWO, OTHER)
    failed = [Ended(one.uid, "failed", "its bytes were changed") for one in (ONE, TWO, OTHER)]
    judgement = court.judgement(
        FakeBooks(failed), **{ONE.uid: "^failed: its bytes", TWO.uid: "^failed: other"}
    )
    assert set(judgement.set_aside) == {ONE.uid}
    assert {one.uid for one in judgement.lost} == {TWO.uid, OTHER.uid}


def test_sent_again_is_right_where_the_pacs_did_not_answer() -> None:
    court = Court()
    court.promise(ONE)
    court.arrive(result(ONE), answered=False, released=False)
    court.arrive(result(ONE))
    assert court.judgement().holds
    court.arrive(result(ONE))
    assert len(court.judgement().unexplained) == 1, (
        "it had answered, and the association ended well"
    )


def test_sent_again_is_right_after_the_last_answer_of_a_broken_association_only() -> None:
    data, second = result(ONE), result(TWO)
    court = Court()
    court.promise(ONE, TWO)
    court.arrive(data, rest=second, released=False)
    court.arrive(second)
    assert court.judgement().holds
    court.arrive(data)
    assert len(court.judgement().unexplained) == 1, "it was not the last: its answer was read"


def test_sent_again_is_right_for_the_one_object_that_a_stopped_sender_had_begun_with() -> None:
    data, second = result(ONE), result(TWO)
    court = Court()
    court.promise(OTHER, ONE, TWO)
    court.arrive(result(OTHER, series="1.2.4"), released=False)
    court.arrive(data, rest=second)
    court.archive._keep(uid_of(data), data, 1, answered=True)
    assert court.judgement().holds
    court.archive._keep(uid_of(second), second, 1, answered=True)
    assert len(court.judgement().unexplained) == 1, "it goes on with what is another's by now"


def test_sent_again_with_other_bytes_is_never_right() -> None:
    court = Court()
    court.promise(ONE)
    court.arrive(result(ONE), answered=False, released=False)
    court.arrive(result(ONE, PatientName="Chaos^Patient0000000 "))
    court.arrive(result(ONE, InstanceNumber=7))
    assert not court.judgement().holds


def test_of_two_versions_of_one_uid_the_other_must_be_kept_aside(tmp_path: Path) -> None:
    second = replace(ONE, version=1)
    path = tmp_path / "aside.dcm"
    row = Stored(ONE.uid, "conflict", "", path)
    for held, lost in ((second.data_set(), 0), (ONE.data_set(), 1), (None, 1)):
        court = Court()
        court.promise(ONE, second)
        court.arrive(result(ONE))
        path.unlink(missing_ok=True)
        if held is not None:
            path.write_bytes(b"meta" + held)
        assert len(court.judgement(FakeBooks(stored=[row])).lost) == lost
