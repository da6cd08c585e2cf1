"""Whatever an attribute holds that a rule reads: a decision, or an error of ours, and no other."""

from __future__ import annotations

import ast
import struct
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.valuerep import VR

import workers.encode
from dicom_node import dicom, routing
from dicom_node.dicom.header import read_header
from dicom_node.dicom.part10 import DataSetBuilder
from dicom_node.errors import NodeError
from dicom_node.routing.deciding import Decider
from dicom_node.settings import Settings
from tests.support.factories import ct_slice, dx_image, enhanced_ct
from tests.support.factories.bad import DX, EXPLICIT, data_set
from tests.support.factories.dicom import IMPLICIT
from tests.support.factories.results import MODEL, result_spec
from tests.support.ledgers import TWO_ROUTES, FakeModels, temporary_folder
from workers.encode import encode
from workers.load import load
from workers.templates import series_labels

LONG = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
UNDEFINED = 0xFFFFFFFF
FORMS = ("secondary-capture", "secondary-capture-multiframe", "derived")
PLAN = {
    "strength": 1.0,
    "series_description": "{SeriesDescription} {Modality} denoised",
    "series_number": "9{SeriesNumber}",
}
ROOMS = [
    str(each)
    for module in (workers, workers.encode, dicom, routing)
    for each in Path(module.__file__ or "").parent.glob("*.py")
]
"""Modules that name attributes of foreign objects."""

INSIDE: tuple[tuple[str, ...], ...] = (
    (),
    (),
    (),
    ("ContributingEquipmentSequence",),
    ("ContributingEquipmentSequence", "PurposeOfReferenceCodeSequence"),
    ("SharedFunctionalGroupsSequence",),
    ("SharedFunctionalGroupsSequence", "PixelValueTransformationSequence"),
    ("SharedFunctionalGroupsSequence", "CTImageFrameTypeSequence"),
    ("PerFrameFunctionalGroupsSequence", "PixelValueTransformationSequence"),
    ("VOILUTSequence",),
)
"""Where the odd element stands: in the data set, or in an item of these."""


@cache
def keywords() -> tuple[str, ...]:
    """Every attribute that the code of those modules names."""
    constants = chain.from_iterable(
        ast.walk(ast.parse(Path(name).read_text(encoding="utf-8"))) for name in ROOMS
    )
    named = {each.value for each in constants if isinstance(each, ast.Constant)}
    found = {word for word in named if isinstance(word, str) and tag_for_keyword(word) is not None}
    found |= {"PatientName", "StudyDate", "ImageComments", "InstanceNumber"}  # routes may name any
    return tuple(sorted(found - {"PixelData", "TransferSyntaxUID"}))


def element(tag: int, vr: str, value: bytes, implicit: bool, undefined: bool = False) -> bytes:
    """An element with a value, a VR and a length that nothing checks."""
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    length = UNDEFINED if undefined else len(value)
    if implicit:
        return head + struct.pack("<I", length) + value
    if vr in LONG:
        return head + vr.encode() + struct.pack("<HI", 0, length) + value
    return head + vr.encode() + struct.pack("<H", min(length, 0xFFFF)) + value


def item(content: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(content)) + content


def within(path: Sequence[str], tag: int, odd: bytes, implicit: bool) -> tuple[int, bytes]:
    """The element, wrapped into one item of each sequence of the path; with its own tag."""
    for keyword in reversed(path):
        outer = tag_for_keyword(keyword)
        assert outer is not None
        odd = element(outer, "SQ", item(odd), implicit)
        tag = outer
    return tag, odd


@cache
def parts(kind: str, implicit: bool) -> tuple[tuple[int, bytes], ...]:
    """The elements of a good image, encoded one by one."""
    syntax = IMPLICIT if implicit else EXPLICIT
    image: Dataset = {
        "ct": lambda: ct_slice(size=(4, 4), transfer_syntax=syntax),
        "enhanced": lambda: enhanced_ct(2, size=(4, 4), transfer_syntax=syntax),
        "dx": lambda: dx_image(size=(4, 4), transfer_syntax=syntax),
    }[kind]()
    encoded = []
    for each in image:
        alone = Dataset()
        alone.file_meta = image.file_meta
        alone.add(each)
        encoded.append((int(each.tag), data_set(alone)))
    return tuple(encoded)


def file(kind: str, implicit: bool, tag: int, odd: bytes) -> bytes:
    """A Part 10 file of the image in which one element is another."""
    meta = DataSetBuilder()
    meta.set_text("MediaStorageSOPClassUID", DX)
    meta.set_text("MediaStorageSOPInstanceUID", "1.2.3")
    meta.set_text("TransferSyntaxUID", IMPLICIT if implicit else EXPLICIT)
    body = meta.encode()
    length = DataSetBuilder()
    length.set_integers("FileMetaInformationGroupLength", len(body))
    elements = dict(parts(kind, implicit)) | {tag: odd}
    return b"".join(
        (bytes(128), b"DICM", length.encode(), body, *(elements[t] for t in sorted(elements)))
    )


texts = st.sampled_from(
    [
        "", " ", "2", "-1", "1.5", "1e400", "nan", "inf", "1_0", "9" * 400, "1\\2", "\\\\", "A\\",
        "2\\x\\3", "DOE^J=\u5c71", "20260102", "2026\\1", "+0100", "+9999", "CT\\MR", "*", "YES",
        "ORIGINAL\\PRIMARY\\AXIAL", "HU\\US", "ISO_IR 100", "\\ISO 2022 IR 87", "ISO_IR 999999",
        "\u00e4\u00f6\u5c71", "1.2.3", "1.2.840.10008.5.1.4.1.1.2", "{0}", "{SeriesNumber:>99999}",
    ]
)  # fmt: skip
numbers = st.lists(st.integers(0, 2**16 - 1), max_size=6).map(
    lambda each: struct.pack(f"<{len(each)}H", *each)
)
floats = st.lists(st.floats(width=32), max_size=3).map(
    lambda each: struct.pack(f"<{len(each)}f", *each)
)
sequences = st.sampled_from(
    [
        b"", item(b""), item(item(b"")), item(b"\x08\x00\x60\x00CS\x02\x00CT"), item(b"")[:-3],
        b"\xfe\xff\x00\xe0\xff\xff\xff\xff", b"\xfe\xff\xdd\xe0\0\0\0\0",
        b"\xfe\xff\x00\xe0\xff\xff\xff\xff\xfe\xff\x0d\xe0\0\0\0\0",
        item(element(0x00081140, "SQ", item(b"") * 3, implicit=False)),
        item(b"\x28\x00\x53\x10DS\x02\x00xx\x28\x00\x52\x10US\x02\x00\x01\x00"),
    ]
)  # fmt: skip
values = st.one_of(
    st.binary(max_size=24), numbers, floats, sequences,
    texts.map(lambda text: text.encode("utf-8")),
    texts.map(lambda text: (text * 3).encode("latin-1", "replace")),
)  # fmt: skip


@st.composite
def odd_files(draw: Any) -> bytes:
    """A file with one attribute of a wrong VR, number of values, length or content."""
    kind = draw(st.sampled_from(["ct", "ct", "enhanced", "dx"]))
    implicit = draw(st.booleans())
    keyword = draw(st.sampled_from(keywords()))
    vr = draw(st.sampled_from([each.value for each in VR if len(each.value) == 2]))
    value = draw(values)
    tag = tag_for_keyword(keyword)
    assert tag is not None
    undefined = vr in ("SQ", "UN", "OB") and draw(st.booleans())
    end = b"\xfe\xff\xdd\xe0\0\0\0\0" if undefined and draw(st.booleans()) else b""
    odd = element(tag, vr, value + end, implicit, undefined)
    place, encoded = within(draw(st.sampled_from(INSIDE)), tag, odd, implicit)
    return file(kind, implicit, place, encoded)


@pytest.fixture(scope="module")
def decider() -> Decider:
    """Of routes that ask for every attribute in every way."""
    asks = [{"present": True}, {"regex": "A|1"}, {"min": 0, "max": 9}, {"one_of": ["CT", 3, 1.5]}]
    asked = {"SOPInstanceUID": {"present": True}}
    for at, keyword in enumerate(keywords()):
        asked[keyword] = {**asks[at % len(asks)], "not": True}  # type: ignore[dict-item]
    odd = {"name": "odd", "when": asked, "model": "toy@production", "destinations": ["pacs"]}
    tree = TWO_ROUTES | {"routes": [odd, *TWO_ROUTES["routes"]]}
    return Decider(Settings(**tree), FakeModels())  # type: ignore[arg-type]


def stages(path: Path, decider: Decider) -> Iterator[str]:
    """All that planning and a worker do with one file; what was said of it."""
    header = read_header(path, "1.2.3")
    decision = decider.decide(header)
    yield from (each.reason for each in decision.ended)
    for each in decider.explain(header):
        yield from each.reasons
    source = load(path, name="1.2.3")
    made = [(frame.values * np.float32(0.5)).astype(np.float32) for frame in source.frames]
    description, number = series_labels(source.dataset, PLAN, "ct", MODEL)
    for form in FORMS:
        encode(
            source,
            made,
            result_spec(form=form, series_description=description, series_number=number),
        )


FOLDER = temporary_folder()


@settings(max_examples=600, suppress_health_check=list(HealthCheck))
@given(odd_files())
def test_an_odd_value_ends_in_a_decision_or_an_error_of_ours(decider: Decider, data: bytes) -> None:
    path = FOLDER / "odd.dcm"
    path.write_bytes(data)
    try:
        list(stages(path, decider))
    except NodeError:
        return


@pytest.mark.parametrize("vr", ["US", "PN", "UN", "SQ", "AT", "DS", "DA", "TM", "OB", "FD"])
@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("keyword", ["ImageType", "Modality", "RescaleType", "SOPClassUID"])
def test_another_vr_where_text_is_expected_stops_nothing(
    decider: Decider, tmp_path: Path, keyword: str, implicit: bool, vr: str
) -> None:
    """The VR that the file states is what counts; a device that has it wrong has it always."""
    tag = tag_for_keyword(keyword)
    assert tag is not None
    for number, value in enumerate((b"\1\0\2\0", b"1\\2\\", b"", b"A^B", item(b""))):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(file("ct", implicit, tag, element(tag, vr, value, implicit)))
        try:
            decision = decider.decide(read_header(path, "1.2.3"))
        except NodeError:
            continue
        assert decision.wanted or decision.ended


def test_every_attribute_that_the_code_names_is_tried() -> None:
    assert {"ImageType", "RescaleSlope", "PixelPaddingValue", "VOILUTSequence"} <= set(keywords())
    assert len(keywords()) > 150
