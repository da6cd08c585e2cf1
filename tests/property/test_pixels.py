"""Pixels survive the way in and back, whatever their layout."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from tests.factories import ct_slice, dx_image, write
from tests.factories.results import result_spec
from workers.encode import encode
from workers.load import Source, load

SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")


@st.composite
def images(draw: st.DrawFn) -> Dataset:
    """CT slices and radiographs of every depth, sign, rescale, padding and syntax."""
    allocated = draw(st.sampled_from([8, 16, 32]))
    stored = draw(st.integers(max(1, allocated // 2), min(allocated, 24)))
    signed = draw(st.booleans())
    low = -(2 ** (stored - 1)) if signed else 0
    size = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    values = draw(hnp.arrays(np.int64, size, elements=st.integers(low, low + 2**stored - 1)))
    shared: dict[str, Any] = {
        "bits_allocated": allocated,
        "bits_stored": stored,
        "signed": signed,
        "transfer_syntax": draw(st.sampled_from(SYNTAXES)),
    }
    if draw(st.booleans()):
        padding = draw(st.integers(max(low, -(2**15)), min(low + 2**stored, 2**15) - 1))
        vr = "SS" if signed else "US"
    else:
        padding, vr = None, ""
    if draw(st.booleans()):
        slope = draw(st.sampled_from([1.0, 0.5, -1.0, 0.4882813, 3.7, 1e-3]))
        intercept = draw(st.sampled_from([0.0, -1024.0, -8192.0, 0.25]))
        image = ct_slice(stored=values, slope=slope, intercept=intercept, **shared)
    else:
        grey = draw(st.sampled_from(["MONOCHROME1", "MONOCHROME2"]))
        image = dx_image(values, kind="cr", photometric=grey, **shared)
    if padding is not None:
        image.add_new("PixelPaddingValue", vr, padding)
    return image


def through_a_file(image: Dataset) -> Source:
    with tempfile.TemporaryDirectory() as folder:
        return load(write(image, Path(folder)))


@settings(deadline=None)
@given(images())
def test_what_did_not_change_comes_back_bit_for_bit(image: Dataset) -> None:
    source = through_a_file(image)
    back = source.inverse(source.frames[0].values, 0)
    np.testing.assert_array_equal(back, source.cells[0])
    dtype = f"{'i' if source.layout.signed else 'u'}{source.layout.allocated // 8}"
    assert source.stored_values(source.cells).dtype.kind == np.dtype(dtype).kind


@settings(deadline=None)
@given(images(), st.floats(-30, 30, width=32), st.floats(0.5, 1.5, width=32))
def test_what_changed_is_at_most_half_a_level_away(
    image: Dataset, offset: float, factor: float
) -> None:
    source = through_a_file(image)
    frame, layout = source.frames[0], source.layout
    target = frame.values * np.float32(factor) + np.float32(offset)
    cells = source.inverse(target, 0)
    stored = source.stored_values(cells).astype(np.float64)
    wanted = to_stored(source, target)
    clipped = wanted.clip(layout.minimum, layout.maximum)
    # float32 carries about 7 digits: what it cannot tell apart counts as equal
    tolerance = 0.5 + np.abs(wanted) * 2**-22 + resolution(source)
    beside = near_padding(source, clipped)
    close = np.abs(stored - clipped) <= tolerance
    assert (close | beside | ~frame.valid).all()
    np.testing.assert_array_equal(cells[~frame.valid], source.cells[0][~frame.valid])


@settings(deadline=None, max_examples=50)
@given(images(), st.sampled_from(["secondary-capture", "derived"]))
def test_a_result_reads_back_as_the_same_values(image: Dataset, form: str) -> None:
    source = through_a_file(image)
    target = (source.frames[0].values * np.float32(0.9)).astype(np.float32)
    data = encode(source, [target], result_spec(form=form))
    assert data == encode(source, [target], result_spec(form=form))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.dcm"
        path.write_bytes(data)
        again = load(path)
    np.testing.assert_array_equal(again.cells[0], source.inverse(target, 0))
    assert again.layout == source.layout
    if form == "derived":
        assert again.rescales == source.rescales
        np.testing.assert_array_equal(again.frames[0].valid[~source.frames[0].valid], False)


def to_stored(source: Source, values: NDArray[np.float32]) -> NDArray[np.float64]:
    if source.units == "HU":
        rescale = source.rescales[0]
        return (values.astype(np.float64) - rescale.intercept) / rescale.slope
    if source.layout.inverted:
        return source.layout.maximum - values.astype(np.float64)
    return values.astype(np.float64) + source.layout.minimum


def resolution(source: Source) -> float:
    if not source.rescales:
        return 2.0**-6
    rescale = source.rescales[0]
    return abs(rescale.intercept / rescale.slope) * 2**-22 + 2**-6


def near_padding(source: Source, stored: NDArray[np.float64]) -> NDArray[np.bool_]:
    if source.padding is None:
        return np.zeros(stored.shape, np.bool_)
    return (stored >= source.padding[0] - 0.51) & (stored <= source.padding[1] + 0.51)
