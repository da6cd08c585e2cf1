"""Objects that are wrong in one way each, as they would come over the network.

Every object carries the patient of `PATIENT`, so that a test can see whether any of that leaks.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from pydicom import Dataset
from pydicom import config as pydicom_config
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, generate_uid

from tests.support.factories.dicom import (
    BIG,
    IMPLICIT,
    ct_slice,
    dx_image,
    encapsulated,
    enhanced_ct,
    multiframe,
    non_image,
)

CT: Final = "1.2.840.10008.5.1.4.1.1.2"
DX: Final = "1.2.840.10008.5.1.4.1.1.1.1"
EXPLICIT: Final = "1.2.840.10008.1.2.1"
DEFLATED: Final = str(DeflatedExplicitVRLittleEndian)
JPEG: Final = "1.2.840.10008.1.2.4.50"
JPEG_LS: Final = "1.2.840.10008.1.2.4.80"
JPEG_2000: Final = "1.2.840.10008.1.2.4.90"
HTJ2K: Final = "1.2.840.10008.1.2.4.201"
MPEG2: Final = "1.2.840.10008.1.2.4.100"
RLE: Final = "1.2.840.10008.1.2.5"

PATIENT: Final[dict[str, Any]] = {
    "PatientName": "Secretson^Sigrid",
    "PatientID": "SECRET-4711",
    "PatientBirthDate": "19550517",
    "AccessionNumber": "SECRETACC99",
    "ReferringPhysicianName": "Secretdoc^Rolf",
}

DELIVERED: Final = "delivered"
PASSED: Final = "passed"
FAILED: Final = "failed"


@dataclass(frozen=True)
class Bad:
    """One object to send.

    Attributes
    ----------
    name : str
        What is wrong with it.
    data : bytes
        The data set as it goes over the wire.
    state, reason : str
        How its work item must end (alternatives separated by ``|``), and a regular expression that
        the reason must match.
    instance : str
        Affected SOP Instance UID of the command set.
    """

    name: str
    data: bytes = field(repr=False)
    state: str
    reason: str = ""
    instance: str = field(default_factory=generate_uid)
    sop_class: str = CT
    syntax: str = EXPLICIT


def data_set(dataset: Dataset) -> bytes:
    """The data set as its transfer syntax encodes it, not deflated; values are not validated."""
    syntax = dataset.file_meta.TransferSyntaxUID
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = syntax == IMPLICIT
    buffer.is_little_endian = syntax != BIG
    mode = pydicom_config.settings.writing_validation_mode
    pydicom_config.settings.writing_validation_mode = pydicom_config.IGNORE
    try:
        write_dataset(buffer, dataset)
    finally:
        pydicom_config.settings.writing_validation_mode = mode
    return buffer.getvalue()


def image(**attributes: Any) -> Dataset:
    """A small CT slice of `PATIENT`."""
    return ct_slice(size=(24, 20), **(PATIENT | attributes))


def radiograph(**attributes: Any) -> Dataset:
    """A small radiograph of `PATIENT`."""
    return dx_image(size=(24, 20), **(PATIENT | attributes))


def bad(name: str, dataset: Dataset, state: str, reason: str = "", **changes: Any) -> Bad:
    """Take UIDs and syntax from the data set, unless they are given."""
    values: dict[str, Any] = {
        "data": data_set(dataset) if "data" not in changes else b"",
        "instance": str(dataset.get("SOPInstanceUID") or generate_uid()),
        "sop_class": str(dataset.get("SOPClassUID") or CT),
        "syntax": str(dataset.file_meta.TransferSyntaxUID),
    }
    return Bad(name=name, state=state, reason=reason, **(values | changes))


def raw_element(tag: tuple[int, int], vr: bytes, value: bytes) -> bytes:
    """An explicit little endian element with a value that nothing checks."""
    head = struct.pack("<HH2s", *tag, vr)
    if vr in (b"OB", b"OW", b"UN", b"SQ", b"UT", b"UC"):
        return head + struct.pack("<HI", 0, len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def with_value(dataset: Dataset, tag: tuple[int, int], vr: bytes, value: bytes) -> bytes:
    """The encoded data set with the bytes of one (present) element replaced."""
    number = tag[0] << 16 | tag[1]
    before, after = Dataset(), Dataset()
    for part in (before, after):
        part.file_meta = dataset.file_meta
    for element in dataset:
        if element.tag != number:
            (before if element.tag < number else after).add(element)
    return data_set(before) + raw_element(tag, vr, value) + data_set(after)


def damaged() -> Iterator[Bad]:
    """Cut, empty and wrongly long."""
    whole = data_set(image())
    pixels = whole.index(b"\xe0\x7f\x10\x00")
    yield bad("cut in the pixel data", one := image(), FAILED,
              r"PixelData has \d+ of 960", data=data_set(one)[:-301])  # fmt: skip
    one = image()
    yield bad("cut in the header", one, FAILED, "truncated", data=data_set(one)[: pixels // 2 + 1])
    one = image()
    yield bad("cut in the first element", one, FAILED, "cannot be read|empty|truncated",
              data=data_set(one)[:5])  # fmt: skip
    yield bad("random bytes", image(), FAILED, "damaged",
              data=np.random.default_rng(1).bytes(3000))  # fmt: skip
    yield bad("text instead of a data set", image(), FAILED, "damaged",
              data=b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html></html>")  # fmt: skip
    yield bad("one byte", image(), FAILED, "empty", data=b"\0")
    yield bad("zero-length pixel data", image(PixelData=b""), FAILED, "pixel data is empty")
    yield bad("pixel data too short", image(PixelData=bytes(100)), FAILED,
              "100 bytes instead of 960")  # fmt: skip
    yield bad("pixel data too long", image(PixelData=bytes(2000)), FAILED,
              "2000 bytes instead of 960")  # fmt: skip
    yield bad("an odd byte of pixel data", one := image(), FAILED, "959 bytes instead of 960",
              data=with_value(one, (0x7FE0, 0x0010), b"OW", bytes(959)))  # fmt: skip
    for keyword in ("Rows", "Columns", "BitsAllocated"):
        yield bad(f"no {keyword}", image(**{keyword: None}), FAILED, f"{keyword} is missing")
    yield bad("no pixel data", image(PixelData=None), FAILED, "pixel data is missing")
    yield bad("zero rows", image(Rows=0), FAILED, "0 rows")
    yield bad("7 bits allocated", image(BitsAllocated=7, BitsStored=7, HighBit=6), "failed|passed",
              "bits")  # fmt: skip
    yield bad("more bits stored than allocated", image(BitsStored=17, HighBit=16), FAILED,
              "17 bits stored")  # fmt: skip
    yield bad("frames that are not there", image(NumberOfFrames=7), FAILED, "instead of")
    yield bad("a billion frames", image(NumberOfFrames=10**9), FAILED, "pixels are more|instead of")
    yield bad("frames that are no number", image(), "failed|delivered", "",
              data=with_value(image(), (0x0028, 0x0008), b"IS", b"many"))  # fmt: skip
    yield bad("65535 x 65535 compressed pixels",
              encapsulated(image(Rows=65535, Columns=65535), [b"\0" * 64], RLE), FAILED,
              "more than")  # fmt: skip


def header_values() -> Iterator[Bad]:
    """Values that cannot be what they say."""
    yield bad("window of no width", image(WindowWidth=0), DELIVERED)
    yield bad("negative window", radiograph(WindowWidth=-1), DELIVERED)
    yield bad("windows of text", one := image(), DELIVERED,
              data=with_value(one, (0x0028, 0x1051), b"DS", b"wide\\wider "))  # fmt: skip
    yield bad("more window centers than widths", image(WindowCenter=[1, 2, 3], WindowWidth=[5]),
              DELIVERED)  # fmt: skip
    yield bad("windows of infinity", one := image(), DELIVERED,
              data=with_value(one, (0x0028, 0x1050), b"DS", b"1e400\\-inf\\nan "))  # fmt: skip
    yield bad("unknown character set", one := image(), DELIVERED,
              data=with_value(one, (0x0008, 0x0005), b"CS", b"KLINGON_1 "))  # fmt: skip
    for name, charset, person in (
        ("ISO 2022 Japanese", "\\ISO 2022 IR 87",
         b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"),
        ("ISO 2022 Korean", "\\ISO 2022 IR 149", b"Hong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce "),
        ("GB18030", "GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab="),
        ("a broken escape sequence", "\\ISO 2022 IR 87", b"Y=\x1b$B;\x1b$\x1b(\xff^\x1b "),
        ("characters that the set does not have", "ISO_IR 192", b"\xff\xfe\xc3^\x80\x81"),
    ):  # fmt: skip
        one = image()
        data = with_value(
            one, (0x0008, 0x0005), b"CS", charset.encode() + b" " * (len(charset) % 2)
        )
        tag = struct.pack("<HH2s", 0x0010, 0x0010, b"PN")
        at = data.index(tag)
        length = struct.unpack_from("<H", data, at + 6)[0]
        padded = raw_element((0x0010, 0x0010), b"PN", person + b" " * (len(person) % 2))
        data = data[:at] + padded + data[at + 8 + length :]
        yield bad(name, one, DELIVERED, data=data)
    yield bad("garbage in a person's name", one := image(), DELIVERED,
              data=with_value(one, (0x0010, 0x0010), b"PN", bytes(range(256)) * 4))  # fmt: skip
    yield bad("garbage in dates and numbers", one := image(), DELIVERED,
              data=with_value(one, (0x0020, 0x0013), b"IS", b"\xff\x00one"))  # fmt: skip
    yield bad("garbage in the position", one := image(), DELIVERED,
              data=with_value(one, (0x0020, 0x0032), b"DS", b"here\\there\\ "))  # fmt: skip
    many = image()
    for i in range(10_000):
        block = 0x10 + i // 200
        many.private_block(0x0011 + 2 * (i // 40_000), f"VENDOR {block}", create=True)
        many.add_new(0x0011_0000 | block << 8 | i % 200, "LO", f"SECRET private {i}")
    yield bad("10,000 private tags", many, DELIVERED)
    yield bad("no modality", image(Modality=None), PASSED, "no route matches")
    yield bad("garbage as modality", one := image(), PASSED, "no route matches",
              data=with_value(one, (0x0008, 0x0060), b"CS", b"C\0T\xff\x1b$ "))  # fmt: skip
    deep = b""
    for _ in range(1000):
        item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(deep)) + deep
        deep = raw_element((0x0040, 0xA730), b"SQ", item)
    yield bad("sequences 1000 deep", one := image(), DELIVERED,
              data=_before_pixels(one, deep))  # fmt: skip
    head = b"\x40\x00\x30\xa7SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    tail = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    yield bad("sequences 1000 deep without lengths", one := image(), FAILED, "cannot be read",
              data=_before_pixels(one, head * 1000 + tail * 1000))  # fmt: skip
    huge = raw_element((0x0031, 0x0010), b"LO", b"VENDOR") + raw_element(
        (0x0031, 0x1001), b"OB", bytes(50 * 2**20)
    )
    yield bad("a private element of 50 MB", one := image(), DELIVERED,
              data=_before_pixels(one, huge))  # fmt: skip


def uids() -> Iterator[Bad]:
    """UIDs that are missing, wrong or hostile."""
    yield bad("no Series Instance UID", image(SeriesInstanceUID=None), FAILED,
              "Series Instance UID")  # fmt: skip
    yield bad("no Study Instance UID", image(StudyInstanceUID=None), FAILED, "Study Instance UID")
    yield bad("no SOP Instance UID in the data set", image(SOPInstanceUID=None), FAILED,
              "no valid SOP Instance UID")  # fmt: skip
    for name, text in (
        ("letters", b"1.2.PATIENT.3 "), ("a path", b"../../../etc/passwd "),
        ("70 digits", b"1." + b"2" * 68), ("nothing", b""), ("a backslash", b"1.2\\3.4 "),
    ):  # fmt: skip
        yield bad(f"{name} as Series Instance UID", one := image(), FAILED, "Series Instance UID",
                  data=with_value(one, (0x0020, 0x000E), b"UI", text))  # fmt: skip
        yield bad(f"{name} as Study Instance UID", one := image(), FAILED, "Study Instance UID",
                  data=with_value(one, (0x0020, 0x000D), b"UI", text))  # fmt: skip
    yield bad("other SOP Instance UID than the command set", image(), FAILED,
              "SOP Instance UID", instance=generate_uid())  # fmt: skip
    yield bad("other SOP Class UID than the command set", radiograph(), "failed|delivered", "",
              sop_class=CT)  # fmt: skip
    shared = generate_uid()
    yield bad("a UID", image(SOPInstanceUID=shared), DELIVERED)
    yield bad("the same UID for another patient", image(SOPInstanceUID=shared, PatientID="OTHER"),
              FAILED, "same SOP Instance UID and other bytes")  # fmt: skip


def pixels() -> Iterator[Bad]:
    """Pixel data in other syntaxes than claimed, and images of odd sizes and values."""
    frame = b"\xff\xd8" + bytes(500) + b"\xff\xd9"
    yield bad("MPEG-2", encapsulated(image(), [frame], MPEG2), FAILED, "MPEG2.*no decoder|decoder")
    yield bad("HTJ2K that is none", encapsulated(image(), [frame], HTJ2K), FAILED, "codestream|is ")
    for name, syntax in (("JPEG", JPEG), ("JPEG-LS", JPEG_LS), ("JPEG 2000", JPEG_2000),
                         ("RLE", RLE)):  # fmt: skip
        raw = image()
        raw.file_meta.TransferSyntaxUID = UID(syntax)
        yield bad(f"says {name} and is raw", one := image(), FAILED, "not encapsulated|syntax",
                  data=data_set(one), syntax=syntax)  # fmt: skip
        yield bad(f"says {name} and is garbage", encapsulated(image(), [frame], syntax), FAILED,
                  "codestream|decoded|ends")  # fmt: skip
    yield bad("says explicit and is implicit", image(transfer_syntax=IMPLICIT), "failed|delivered",
              syntax=EXPLICIT)  # fmt: skip
    yield bad("says implicit and is explicit", image(), "failed|delivered", syntax=IMPLICIT)
    yield bad("says raw and is encapsulated", one := image(PixelData=encapsulate([frame])), FAILED,
              "encapsulated", data=data_set(one))  # fmt: skip
    yield bad("says big endian and is little", image(), FAILED, "damaged",
              syntax="1.2.840.10008.1.2.2")  # fmt: skip
    yield bad("a transfer syntax nobody knows", image(), "failed|delivered", "",
              syntax="1.2.3.4.5.6")  # fmt: skip
    for name, tag, text, state, reason in (
        ("slope 0", 0x1053, b"0 ", FAILED, "slope is 0"),
        ("slope NaN", 0x1053, b"NaN ", FAILED, "slope"),
        ("slope 1e400", 0x1053, b"1e400 ", FAILED, "slope"),
        ("intercept infinite", 0x1052, b"-inf", FAILED, "intercept"),
        ("slope of text", 0x1053, b"steep ", FAILED, "RescaleSlope is .*not a number"),
        ("slope empty", 0x1053, b"", PASSED, "RescaleSlope"),
        ("slope 1e36", 0x1053, b"1e36", FAILED, "not finite"),
        ("two slopes", 0x1053, b"1\\2 ", "failed|passed|delivered", ""),
    ):
        yield bad(name, one := image(), state, reason,
                  data=with_value(one, (0x0028, tag), b"DS", text))  # fmt: skip
    yield bad("no slope", image(RescaleSlope=None), PASSED, "without rescale")
    yield bad("fewer functional groups than frames",
              _fewer_groups(enhanced_ct(3, slopes=(1.0, 2.0), **PATIENT)), FAILED,
              "functional groups")  # fmt: skip
    for size in ((1, 1), (1, 37), (41, 1)):
        yield bad(f"{size[0]} x {size[1]} pixels", ct_slice(size=size, **PATIENT), DELIVERED)
        yield bad(f"a radiograph of {size}", dx_image(size=size, **PATIENT), DELIVERED)
    for size in ((20_000, 8), (8, 20_000)):
        yield bad(f"{size[0]} x {size[1]} pixels", dx_image(size=size, **PATIENT), DELIVERED)
    colour = image(
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelData=bytes(24 * 20 * 3),
    )
    yield bad("a colour CT", colour, PASSED, "grey-scale")
    yield bad("a modality that the model is not for", multiframe(2, **PATIENT), PASSED,
              "is for DX/CR")  # fmt: skip


def bombs() -> Iterator[Bad]:
    """Small objects that grow."""
    one = image()
    one.file_meta.TransferSyntaxUID = UID(EXPLICIT)
    plain = data_set(one)
    at = plain.index(b"\xe0\x7f\x10\x00")
    size = 3 * 2**30
    head = plain[:at] + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, size)
    yield bad("3 GB of pixel data deflated", one, FAILED, "inflates to more than",
              data=_deflate(head, size), syntax=DEFLATED)  # fmt: skip
    one = image()
    plain = data_set(one)
    head = plain[:at] + struct.pack("<HH2sHI", 0x0009, 0x1001, b"OB", 0, size)
    yield bad("3 GB before the pixel data deflated", one, FAILED, "inflates to more than",
              data=_deflate(head, size), syntax=DEFLATED)  # fmt: skip
    yield bad("deflated and cut", one := image(), FAILED, "truncated",
              data=_deflate(data_set(one), 0)[:-40], syntax=DEFLATED)  # fmt: skip
    yield bad("deflated", one := image(), DELIVERED, data=_deflate(data_set(one), 0),
              syntax=DEFLATED)  # fmt: skip
    liar = raw_element((0x0009, 0x0010), b"LO", b"V ") + struct.pack(
        "<HH2sHI", 0x0009, 0x1001, b"OB", 0, 0xFFFFFFF0
    )
    yield bad("an element that says 4 GB", one := image(), FAILED, "truncated|cannot be read",
              data=data_set(one)[:300] + liar)  # fmt: skip


def wanted_by_nobody() -> Iterator[Bad]:
    """Not wrong at all, but nothing that is denoised."""
    report = non_image("1.2.840.10008.5.1.4.1.1.88.67", "SR", **PATIENT)
    yield bad("a report", report, PASSED, "no route matches")


SORTS: tuple[Callable[[], Iterator[Bad]], ...] = (
    damaged, header_values, uids, pixels, bombs, wanted_by_nobody,
)  # fmt: skip


def everything() -> list[Bad]:
    """All of them, in order."""
    return [each for sort in SORTS for each in sort()]


def _before_pixels(dataset: Dataset, elements: bytes) -> bytes:
    data = data_set(dataset)
    at = data.index(b"\xe0\x7f\x10\x00")
    return data[:at] + elements + data[at:]


def _fewer_groups(dataset: Dataset) -> Dataset:
    dataset.PerFrameFunctionalGroupsSequence = Sequence(
        list(dataset.PerFrameFunctionalGroupsSequence)[:2]
    )
    return dataset


def _deflate(head: bytes, zeros: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    parts = [packer.compress(head)]
    if zeros:
        # one megabyte of zeros, deflated and flushed to a byte's end, may be repeated
        parts.append(packer.flush(zlib.Z_FULL_FLUSH))
        block = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        mebibyte = block.compress(bytes(2**20)) + block.flush(zlib.Z_FULL_FLUSH)
        parts.append(mebibyte * (zeros // 2**20))
    parts.append(packer.flush())
    return b"".join(parts)
