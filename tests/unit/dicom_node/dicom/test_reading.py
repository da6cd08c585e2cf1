"""Reading: what is damaged ends in one error that says how, and nothing is inflated without end."""

from __future__ import annotations

import logging
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_node.dicom import reading
from dicom_node.dicom.header import items_of, read_header
from dicom_node.dicom.reading import read_object
from dicom_node.errors import FailItem, RetryLater, UnreadableObject
from tests.support.factories.dicom import ct_slice, enhanced_ct, non_image, to_bytes

UID = "1.2.3"


def stored(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "1.2.3-abc.dcm"
    path.write_bytes(data)
    return path


def deflated(dataset: Dataset) -> bytes:
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return to_bytes(dataset)


class TestTruncated:
    @pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", ImplicitVRLittleEndian])
    def test_a_cut_within_an_element_of_the_header_is_noticed(
        self, tmp_path: Path, syntax: str
    ) -> None:
        whole = to_bytes(ct_slice(size=(8, 8), transfer_syntax=syntax))
        dataset = dcmread(BytesIO(whole), stop_before_pixels=True)
        raw: list[Any] = [dataset.get_item(tag) for tag in dataset.keys()]  # noqa: SIM118 -- unparsed
        between = {each.value_tell - 8 for each in raw if isinstance(each, RawDataElement)}
        cuts = range(sorted(between)[1] + 1, max(between), 7)
        noticed = 0
        for at in cuts:
            try:
                read_header(stored(tmp_path, whole[:at]), UID)
            except UnreadableObject:
                noticed += 1
        # pydicom does not say where an element without a value ends
        assert noticed > 0.9 * len(set(cuts) - between)

    def test_says_how_much_of_the_pixel_data_came(self, tmp_path: Path) -> None:
        whole = to_bytes(ct_slice(size=(8, 8)))
        with pytest.raises(UnreadableObject, match=r"PixelData has 100 of 128 bytes"):
            read_object(stored(tmp_path, whole[:-28]), name=UID)

    def test_within_a_sequence(self, tmp_path: Path) -> None:
        report = non_image("1.2.840.10008.5.1.4.1.1.88.67", "SR")
        report.ContentSequence = Sequence([non_image("1.2.3", "SR")])
        report["ContentSequence"].is_undefined_length = True
        whole = to_bytes(report)
        with pytest.raises(UnreadableObject, match="truncated"):
            read_header(stored(tmp_path, whole[:-30]), UID)

    def test_a_padding_byte_after_the_pixels_is_no_fault(self, tmp_path: Path) -> None:
        whole = to_bytes(ct_slice(size=(8, 8)))
        assert read_object(stored(tmp_path, whole + b"\0")).Rows == 8


class TestDeflated:
    def test_reads_as_any_other(self, tmp_path: Path) -> None:
        image = ct_slice(size=(8, 8))
        path = stored(tmp_path, deflated(image))
        assert read_object(path).PixelData == image.PixelData
        header = read_object(path, header_only=True)
        assert header.Rows == 8
        assert "PixelData" not in header
        assert header.PatientName == dcmread(path).PatientName

    def test_a_bomb_ends_at_the_limit(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reading, "MOST_INFLATED", 2**20)
        path = stored(tmp_path, deflated(ct_slice(size=(1000, 1000))))
        with pytest.raises(UnreadableObject, match="inflates to more than 1 MB"):
            read_object(path)

    def test_a_bomb_before_the_pixels_ends_at_the_limit_of_the_header(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reading, "MOST_INFLATED_HEADER", 2**20)
        image = ct_slice(size=(8, 8))
        image.add_new(0x00091001, "OB", bytes(2**21))
        path = stored(tmp_path, deflated(image))
        with pytest.raises(UnreadableObject, match="inflates to more than 1 MB"):
            read_header(path, UID)
        assert read_object(path).Rows == 8

    def test_pixels_beyond_the_limit_of_the_header_do_not_matter_to_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reading, "MOST_INFLATED_HEADER", 2**20)
        path = stored(tmp_path, deflated(ct_slice(size=(1000, 1000))))
        assert read_header(path, UID).Rows == 1000

    def test_cut(self, tmp_path: Path) -> None:
        data = deflated(ct_slice(size=(64, 64)))
        with pytest.raises(UnreadableObject, match="truncated"):
            read_object(stored(tmp_path, data[:-100]))

    def test_the_uid_of_the_syntax_as_a_value_changes_nothing(self, tmp_path: Path) -> None:
        image = ct_slice(size=(8, 8), StudyID=DeflatedExplicitVRLittleEndian)
        assert read_object(stored(tmp_path, to_bytes(image))).Rows == 8


def test_ten_thousand_levels_of_sequences_are_unreadable(tmp_path: Path) -> None:
    item = b"\x40\x00\x30\xa7SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    whole = to_bytes(ct_slice(size=(8, 8)))
    with pytest.raises(UnreadableObject, match="RecursionError"):
        read_object(stored(tmp_path, whole + item * 10_000), name=UID)


def test_a_missing_file_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(FailItem, match=r"1\.2\.3: its file is no longer in the spool"):
        read_header(tmp_path / "gone.dcm", UID)
    with pytest.raises(RetryLater):
        read_header(tmp_path, UID)


def test_values_are_neither_warned_about_nor_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    image = ct_slice(size=(8, 8), PatientBirthDate="Doe^Secret", SpecificCharacterSet="Secret")
    image.PatientName = "Doe^Secret"
    path = stored(tmp_path, to_bytes(image))
    recwarn.clear()
    with caplog.at_level(logging.DEBUG):
        header = read_header(path, UID)
        str(header.PatientName)
        str(header.get("PatientBirthDate"))
    assert "Secret" not in caplog.text
    assert not [each for each in recwarn if "Secret" in str(each.message)]


def test_data_that_is_no_deflate_stream_is_named(tmp_path: Path) -> None:
    whole = deflated(ct_slice(size=(8, 8)))
    meta_end = 144 + int.from_bytes(whole[140:144], "little")
    raw = zlib.decompress(whole[meta_end:], -zlib.MAX_WBITS)
    with pytest.raises(UnreadableObject):
        read_object(stored(tmp_path, whole[:meta_end] + raw))


class TestBounds:
    """Eight bytes of a file become a thousand in memory; a stranger may send many eights."""

    def file(self, tmp_path: Path, odd: bytes) -> Path:
        """An image with raw explicit elements before those of group 0010."""
        whole = to_bytes(ct_slice(size=(8, 8)))
        at = whole.index(b"\x10\x00\x10\x00PN")
        return stored(tmp_path, whole[:at] + odd + whole[at:])

    @pytest.mark.parametrize("header_only", [True, False])
    @pytest.mark.parametrize(
        "item",
        [
            b"\xfe\xff\x00\xe0\0\0\0\0",
            b"\xfe\xff\x00\xe0\x08\0\0\0\x08\0\x60\0CS\0\0",
            b"\0" * 8,
        ],
    )
    def test_items_without_end_are_not_read_to_the_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, item: bytes, header_only: bool
    ) -> None:
        monkeypatch.setattr(reading, "MOST_READS", 5000)
        head = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff"
        path = self.file(tmp_path, head + item * 40_000 + b"\xfe\xff\xdd\xe0\0\0\0\0")
        with pytest.raises(UnreadableObject, match="header is too large"):
            read_object(path, header_only=header_only, name=UID)

    def test_elements_without_end_are_not_read_to_the_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reading, "MOST_READS", 5000)
        odd = b"".join(
            (0x0009).to_bytes(2, "little") + n.to_bytes(2, "little") + b"LO\0\0"
            for n in range(0x1000, 0xF000)
        )
        with pytest.raises(UnreadableObject, match="header is too large"):
            read_header(self.file(tmp_path, odd), UID)

    def test_a_header_without_end_is_not_read_to_the_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reading, "MOST_HEADER", 2**20)
        odd = b"".join(
            b"\x09\0" + n.to_bytes(2, "little") + b"UT\0\0" + (2**16).to_bytes(4, "little")
            + b"A" * 2**16 for n in range(0x1000, 0x1020)
        )  # fmt: skip
        with pytest.raises(UnreadableObject, match="header is too large"):
            read_header(self.file(tmp_path, odd), UID)

    def test_sequences_within_sequences_without_end(self, tmp_path: Path) -> None:
        one = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
        with pytest.raises(UnreadableObject):
            read_header(self.file(tmp_path, one * 20_000), UID)

    def test_what_a_scanner_sends_is_far_from_the_bounds(self, tmp_path: Path) -> None:
        path = stored(tmp_path, to_bytes(enhanced_ct(300, size=(32, 32))))
        assert path.stat().st_size > 500_000
        header = read_header(path, UID)
        assert len(items_of(header, "PerFrameFunctionalGroupsSequence")) == 300

    def test_a_large_value_is_left_in_the_file_and_read_when_asked_for(
        self, tmp_path: Path
    ) -> None:
        value = b"A" * (2**20 + 2)
        odd = b"\x08\0\x15\x21UT\0\0" + len(value).to_bytes(4, "little") + value
        path = self.file(tmp_path, odd)
        assert read_header(path, UID)[0x00082115].value == value.decode()
