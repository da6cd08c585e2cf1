"""Pixels survive the way in and back, whatever their layout.

What is expected comes from the numbers that were drawn, in exact fractions of Python, and results
are read with pydicom: nothing is asked of the code under test but its answer.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.support.factories import ct_slice, dx_image, write
from tests.support.factories.results import result_spec
from workers.encode import encode
from workers.load import Source, load

SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")


@dataclass(frozen=True)
class Drawn:
    """An image, and everything that was drawn for it."""

    image: Dataset
    stored: NDArray[np.int64]
    low: int
    high: int
    padding: int | None
    slope: Fraction
    """Of physical = stored * slope + start."""
    start: Fraction

    def physical(self, stored: int) -> Fraction:
        return stored * self.slope + self.start

    def is_padding(self, stored: int) -> bool:
        return stored == self.padding


@st.composite
def images(draw: st.DrawFn) -> Drawn:
    """CT slices and radiographs of every depth, sign, rescale, padding and syntax."""
    allocated = draw(st.sampled_from([8, 16, 32]))
    bits = draw(st.integers(max(1, allocated // 2), min(allocated, 24)))
    signed = draw(st.booleans())
    low = -(2 ** (bits - 1)) if signed else 0
    high = low + 2**bits - 1
    size = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    numbers = st.one_of(st.integers(low, high), st.sampled_from([low, high, low + 1, high - 1]))
    stored = draw(hnp.arrays(np.int64, size, elements=numbers))
    shared: dict[str, Any] = {
        "bits_allocated": allocated,
        "bits_stored": bits,
        "signed": signed,
        "transfer_syntax": draw(st.sampled_from(SYNTAXES)),
    }
    padding: int | None = None
    if draw(st.booleans()):
        first, last = max(low, -(2**15)), min(high, 2**15 - 1)
        some = int(stored.flat[0])
        ends = st.sampled_from([first, last, some if first <= some <= last else first])
        padding = draw(st.one_of(st.integers(first, last), ends))
    if draw(st.booleans()):
        slope = draw(st.sampled_from(["1", "0.5", "-1", "0.4882813", "3.7", "0.001"]))
        start = draw(st.sampled_from(["0", "-1024", "-8192", "0.25"]))
        image = ct_slice(stored=stored, slope=float(slope), intercept=float(start), **shared)
        line = Fraction(float(slope)), Fraction(float(start))
    elif draw(st.booleans()):
        image = dx_image(stored, kind="cr", photometric="MONOCHROME1", **shared)
        line = Fraction(-1), Fraction(high)
    else:
        image = dx_image(stored, kind="cr", photometric="MONOCHROME2", **shared)
        line = Fraction(1), Fraction(-low)
    if padding is not None:
        image.add_new("PixelPaddingValue", "SS" if signed else "US", padding)
    return Drawn(image, stored, low, high, padding, *line)


def through_a_file(image: Dataset) -> Source:
    with tempfile.TemporaryDirectory() as folder:
        return load(write(image, Path(folder)))


def stored_in(image: Dataset, cells: NDArray[Any]) -> NDArray[np.int64]:
    """The stored values in unsigned cells whose pixel starts at bit 0."""
    bits, signed = int(image.BitsStored), bool(image.PixelRepresentation)
    values = cells.astype(np.int64) & (2**bits - 1)
    return np.where(signed & (values >= 2 ** (bits - 1)), values - 2**bits, values)


def with_pixels_of(data: bytes) -> tuple[Dataset, NDArray[np.int64]]:
    """A result as pydicom reads it, and its stored values."""
    dataset = dcmread(BytesIO(data))
    kind = f"<u{dataset.BitsAllocated // 8}"
    count = dataset.Rows * dataset.Columns
    cells = np.frombuffer(dataset.PixelData, kind, count).reshape(dataset.Rows, dataset.Columns)
    return dataset, stored_in(dataset, cells)


@given(images())
def test_values_are_those_that_were_stored(drawn: Drawn) -> None:
    source = through_a_file(drawn.image)
    (frame,) = source.frames
    for stored, value, valid in zip(
        drawn.stored.flat, frame.values.flat, frame.valid.flat, strict=True
    ):
        exact = drawn.physical(int(stored))
        # float32 has 24 bits of a number, and of what the sum was made of
        parts = abs(int(stored) * drawn.slope) + abs(drawn.start)
        assert abs(Fraction(float(value)) - exact) <= parts / 2**23
        assert bool(valid) is not drawn.is_padding(int(stored))


@pytest.mark.holds(number=5)
@given(images())
def test_what_did_not_change_comes_back_bit_for_bit(drawn: Drawn) -> None:
    source = through_a_file(drawn.image)
    back = source.inverse(source.frames[0].values.copy(), 0)
    np.testing.assert_array_equal(stored_in(drawn.image, back), drawn.stored)


@given(images(), st.floats(-30, 30, width=32), st.floats(0.5, 1.5, width=32))
def test_what_changed_is_at_most_half_a_level_away(
    drawn: Drawn, offset: float, factor: float
) -> None:
    source = through_a_file(drawn.image)
    before = source.frames[0].values
    target = before * np.float32(factor) + np.float32(offset)
    made = stored_in(drawn.image, source.inverse(target, 0))
    for was, value, wanted, got in zip(
        drawn.stored.flat, before.flat, target.flat, made.flat, strict=True
    ):
        assert drawn.low <= got <= drawn.high
        if drawn.is_padding(int(was)) or value == wanted:
            assert got == was
            continue
        exact = (Fraction(float(wanted)) - drawn.start) / drawn.slope
        inside = min(max(exact, Fraction(drawn.low)), Fraction(drawn.high))
        half = Fraction(1, 2) + (abs(exact) + abs(drawn.start / drawn.slope)) / 2**22
        only = drawn.low == drawn.high  # no other value is there
        assert only or not drawn.is_padding(int(got))
        if drawn.padding is not None and abs(inside - drawn.padding) <= half:
            assert abs(int(got) - drawn.padding) <= 1
        else:
            assert abs(int(got) - inside) <= half


@settings(max_examples=50)
@given(images(), st.sampled_from(["secondary-capture", "derived"]))
def test_a_result_reads_back_as_what_was_denoised(drawn: Drawn, form: str) -> None:
    source = through_a_file(drawn.image)
    before = source.frames[0].values
    target = (before * np.float32(0.9)).astype(np.float32)
    data = encode(source, [target], result_spec(form=form)).data
    assert data == encode(through_a_file(drawn.image), [target], result_spec(form=form)).data
    result, made = with_pixels_of(data)
    for keyword in (
        "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
        "PhotometricInterpretation",
    ):  # fmt: skip
        assert result[keyword].value == drawn.image[keyword].value, keyword
    same = np.asarray(target == before) | (drawn.stored == drawn.padding)
    np.testing.assert_array_equal(made[same], drawn.stored[same])
    for wanted, got in zip(target[~same].flat, made[~same].flat, strict=True):
        exact = (Fraction(float(wanted)) - drawn.start) / drawn.slope
        inside = min(max(exact, Fraction(drawn.low)), Fraction(drawn.high))
        beside = 1 if drawn.padding is not None and abs(inside - drawn.padding) < 1 else 0
        tolerance = Fraction(1, 2) + (abs(exact) + abs(drawn.start / drawn.slope)) / 2**22
        assert abs(int(got) - inside) <= tolerance + beside
    if "RescaleSlope" in drawn.image:
        assert float(result.RescaleSlope) == float(drawn.image.RescaleSlope)
        assert float(result.RescaleIntercept) == float(drawn.image.RescaleIntercept)
    if drawn.padding is not None:
        assert result.PixelPaddingValue == drawn.padding
