"""Other transfer syntaxes, the same values."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, Sequence, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from dicom_node.dicom.recode import Element, recode
from dicom_node.errors import EncodeError, UnreadableObject
from dicom_node.network.request.dataset import EncodedDataSet, StoredDataSet
from dicom_node.network.request.transcode import transcode
from tests.support.factories import dicom as make

EXPLICIT, IMPLICIT = False, True


def encoded(dataset: Dataset, implicit: bool) -> bytes:
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = implicit, True
    write_dataset(stream, dataset)
    return stream.getvalue()


def to_implicit(data: bytes) -> bytes:
    return recode(data, from_implicit=False, to_implicit=True)


def to_explicit(data: bytes) -> bytes:
    return recode(data, from_implicit=True, to_implicit=False)


@pytest.mark.parametrize("kind", ["ct", "dx", "enhanced", "multiframe"])
def test_the_same_bytes_as_pydicom_writes(kind: str) -> None:
    builders: dict[str, Callable[[], Dataset]] = {
        "ct": make.ct_slice,
        "dx": make.dx_image,
        "enhanced": make.enhanced_ct,
        "multiframe": make.multiframe,
    }
    dataset = builders[kind]()
    explicit, implicit = encoded(dataset, EXPLICIT), encoded(dataset, IMPLICIT)
    assert to_implicit(explicit) == implicit
    assert to_explicit(implicit) == explicit


def test_sequences_of_undefined_length_nest() -> None:
    inner, outer, dataset = Dataset(), Dataset(), Dataset()
    inner.CodeValue = "113072"
    inner.is_undefined_length_sequence_item = True
    outer.PurposeOfReferenceCodeSequence = Sequence([inner])
    outer["PurposeOfReferenceCodeSequence"].is_undefined_length = True
    dataset.SourceImageSequence = Sequence([outer, Dataset()])
    dataset["SourceImageSequence"].is_undefined_length = True
    dataset.PatientID = "1"
    explicit, implicit = encoded(dataset, EXPLICIT), encoded(dataset, IMPLICIT)
    assert to_implicit(explicit) == implicit
    assert to_explicit(implicit) == explicit


def test_private_elements_and_any_text_come_through() -> None:
    dataset = Dataset()
    dataset.add_new(0x00091001, "UN", b"\x01\x02\x03\x04")
    implicit = (
        struct.pack("<HHI", 0x0008, 0x0005, 4)
        + b"NONE"  # a character set that does not exist
        + struct.pack("<HHI", 0x0009, 0x0010, 8)
        + b"SOMEBODY"
        + struct.pack("<HHI", 0x0009, 0x1001, 4)
        + b"\x00\xff\x80\x01"
        + struct.pack("<HHI", 0x0010, 0x0010, 6)
        + b"\xff\xfe\x1b$B\x00"
    )
    explicit = to_explicit(implicit)
    assert b"UN\0\0\x04\0\0\0\x00\xff\x80\x01" in explicit
    assert b"PN\x06\0\xff\xfe\x1b$B\x00" in explicit
    assert to_implicit(explicit) == implicit


def test_values_too_long_for_a_short_length_become_unknown() -> None:
    implicit = struct.pack("<HHI", 0x0008, 0x0008, 70000) + b"A" * 70000
    explicit = to_explicit(implicit)
    assert explicit[4:6] == b"UN"
    assert to_implicit(explicit) == implicit


@pytest.mark.parametrize(("signed", "vr"), [(0, b"US"), (1, b"SS")])
def test_the_sign_of_the_pixels_settles_the_padding_value(signed: int, vr: bytes) -> None:
    implicit = struct.pack("<HHIH", 0x0028, 0x0103, 2, signed)
    implicit += struct.pack("<HHIH", 0x0028, 0x0120, 2, 63536)
    assert vr + b"\x02\x00" + struct.pack("<H", 63536) in to_explicit(implicit)


def test_retired_group_lengths_are_left_out() -> None:
    data = struct.pack("<HHII", 0x0008, 0x0000, 4, 99) + struct.pack("<HHI", 0x0010, 0x0020, 2)
    assert to_implicit(to_explicit(data + b"1 ")) == data[12:] + b"1 "


def test_elements_are_replaced_and_dropped_at_the_outer_level_only() -> None:
    item = Dataset()
    item.PatientID = "IN"
    dataset = Dataset()
    dataset.PatientID = "OUT "
    dataset.PatientName = "GONE"
    dataset.SourceImageSequence = Sequence([item])
    data = recode(
        encoded(dataset, EXPLICIT),
        from_implicit=False,
        to_implicit=True,
        replace={0x00100020: Element("LO", b"NEW ")},
        drop=[0x00100010],
    )
    assert b"NEW " in data
    assert b"IN" in data
    assert b"OUT" not in data
    assert b"GONE" not in data


@given(st.binary(max_size=400), st.booleans(), st.booleans())
def test_any_bytes_are_recoded_or_named_malformed(
    data: bytes, from_implicit: bool, to_implicit: bool
) -> None:
    with contextlib.suppress(UnreadableObject):
        recode(data, from_implicit=from_implicit, to_implicit=to_implicit)


@given(st.integers(min_value=0, max_value=2000), st.integers(0, 255), st.booleans())
def test_a_damaged_object_is_recoded_or_named_malformed(at: int, byte: int, cut: bool) -> None:
    data = bytearray(encoded(make.enhanced_ct(), EXPLICIT))
    if cut:
        data = data[: at % len(data)]
    else:
        data[at % len(data)] = byte
    with contextlib.suppress(UnreadableObject):
        recode(bytes(data), from_implicit=False, to_implicit=True)


def test_deep_nesting_has_an_end() -> None:
    head = struct.pack("<HHI", 0x0008, 0x1140, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    with pytest.raises(UnreadableObject, match="deep"):
        recode(head * 5000, from_implicit=True, to_implicit=True)


values = st.dictionaries(
    st.sampled_from(["PatientID", "StudyDescription", "ImageComments", "SeriesDescription"]),
    st.text(
        st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="\\"), max_size=60
    ),
)


@given(st.lists(values, max_size=3))
def test_there_and_back_is_the_identity(items: list[dict[str, str]]) -> None:
    dataset = Dataset()
    dataset.SourceImageSequence = Sequence([_of(one) for one in items])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        explicit = encoded(dataset, EXPLICIT)
    assert to_explicit(to_implicit(explicit)) == explicit


def _of(values: dict[str, str]) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.fixture
def stored(tmp_path: Path) -> StoredDataSet:
    return StoredDataSet.at(make.write(make.ct_slice(), tmp_path / "a.dcm"))


def _with_syntax(stored: StoredDataSet, data: bytes, syntax: str) -> StoredDataSet:
    """Write `data` behind file meta information that names `syntax`."""
    head = stored.path.read_bytes()[: stored.offset]
    old, new = stored.transfer_syntax_uid.encode(), syntax.encode()
    old, new = (uid + b"\0" * (len(uid) % 2) for uid in (old, new))
    at = head.index(b"\x02\0\x10\0UI")
    head = (
        head[:at]
        + b"\x02\0\x10\0UI"
        + struct.pack("<H", len(new))
        + new
        + head[at + 8 + len(old) :]
    )
    head = head[:140] + struct.pack("<I", len(head) - 144) + head[144:]
    path = stored.path.with_name(f"{syntax}.dcm")
    path.write_bytes(head + data)
    return StoredDataSet.at(path)


def _content(stored: StoredDataSet, syntax: str) -> bytes:
    data = transcode(stored, syntax)
    assert isinstance(data, EncodedDataSet)
    return data.content


def test_the_stored_syntax_needs_no_work(stored: StoredDataSet) -> None:
    assert transcode(stored, ExplicitVRLittleEndian) is stored


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, RLELossless])
@pytest.mark.parametrize("signed", [False, True])
def test_compressed_and_back_is_the_identity(tmp_path: Path, syntax: str, signed: bool) -> None:
    rng = np.random.default_rng(1)
    low, high = (-2000, 2000) if signed else (0, 4000)
    pixels = rng.integers(low, high, (33, 47)).astype(np.int16 if signed else np.uint16)
    path = make.write(make.ct_slice(stored=pixels, signed=signed), tmp_path / "a.dcm")
    stored = StoredDataSet.at(path)
    packed = _with_syntax(stored, _content(stored, syntax), syntax)
    assert np.array_equal(dcmread(packed.path).pixel_array, dcmread(path).pixel_array)
    assert _content(packed, ExplicitVRLittleEndian) == path.read_bytes()[stored.offset :]
    assert dcmread(packed.path).SOPInstanceUID == stored.sop_instance_uid


def test_deflated_is_inflated(stored: StoredDataSet) -> None:
    plain = stored.path.read_bytes()[stored.offset :]
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    data = packer.compress(plain) + packer.flush()
    deflated = _with_syntax(stored, data + b"\0" * (len(data) % 2), DeflatedExplicitVRLittleEndian)
    assert _content(deflated, ExplicitVRLittleEndian) == plain
    broken = _with_syntax(stored, b"\xff" * 20, DeflatedExplicitVRLittleEndian)
    with pytest.raises(UnreadableObject):
        transcode(broken, ExplicitVRLittleEndian)


def test_what_cannot_be_converted_is_named(stored: StoredDataSet) -> None:
    big = _with_syntax(stored, b"\0" * 100, ExplicitVRBigEndian)
    with pytest.raises(EncodeError, match=r"1\.2\.840\.10008\.1\.2\.2"):
        transcode(big, ImplicitVRLittleEndian)
    lying = _with_syntax(stored, stored.path.read_bytes()[stored.offset :], JPEGBaseline8Bit)
    with pytest.raises(EncodeError, match="pixel data"):
        transcode(lying, ExplicitVRLittleEndian)


def test_an_object_without_pixels_is_compressed_too(tmp_path: Path) -> None:
    dataset = make.ct_slice()
    del dataset.PixelData
    stored = StoredDataSet.at(make.write(dataset, tmp_path / "a.dcm"))
    assert _content(stored, JPEGLSLossless) == stored.path.read_bytes()[stored.offset :]


def test_a_written_object_reads_like_the_stored_one(stored: StoredDataSet) -> None:
    implicit = dcmread(io.BytesIO(_content(stored, ImplicitVRLittleEndian)), force=True)
    implicit.file_meta = dcmread(stored.path).file_meta
    assert implicit.to_json_dict() == dcmread(stored.path).to_json_dict()
