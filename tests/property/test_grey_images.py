"""A grey image at strength 0 comes back with every value; a damaged file is a fault of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from dicom_node.errors import NotDenoised
from model_store.ref import ModelName
from tests.support.direct import CT, XRAY, grey, picture, service, values_of
from tests.support.factories import ct_slice, dx_image, to_bytes
from workers.direct.request import Request, hounsfield
from workers.direct.service import Service

SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=24)
NOTHING = Request(model=ModelName.parse(XRAY), strength=0.0, bits=16)


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Service:
    return service(tmp_path_factory.mktemp("toys"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    values=st.one_of(arrays(np.uint16, SHAPES), arrays(np.uint8, SHAPES)),
    kind=st.sampled_from(["PNG", "TIFF"]),
    how=st.sampled_from([{}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}]),
)
def test_radiographs(toys: Service, values: NDArray[Any], kind: str, how: dict[str, str]) -> None:
    data = picture(values, kind, **(how if kind == "TIFF" else {}))
    made = values_of(toys.denoise(data, NOTHING).data)
    assert made.dtype == values.dtype
    np.testing.assert_array_equal(made, values)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    values=arrays(np.uint16, SHAPES),
    slope=st.floats(0.01, 10).flatmap(lambda size: st.sampled_from([size, -size])),
    intercept=st.floats(-2000, 2000),
)
def test_slices(toys: Service, values: NDArray[Any], slope: float, intercept: float) -> None:
    line = hounsfield(f"0={intercept!r},1={intercept + slope!r}")
    asked = Request(model=ModelName.parse(CT), strength=0.0, hounsfield=line)
    made = toys.denoise(picture(values, "PNG"), asked)
    np.testing.assert_array_equal(values_of(made.data), values)


WHOLE = [
    picture(grey(8), "PNG"), picture(grey(16), "PNG"), picture(grey(8), "JPEG"),
    picture(grey(16), "TIFF"), picture(grey(16), "TIFF", compression="tiff_lzw"),
    to_bytes(ct_slice(size=(16, 16))), to_bytes(dx_image(size=(16, 16))),
]  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    whole=st.sampled_from(WHOLE),
    end=st.integers(0, 4000),
    changes=st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 255)), max_size=8),
)
def test_a_damaged_file_is_a_file_that_is_not_denoised_or_one_that_is(
    toys: Service, whole: bytes, end: int, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(whole[: end or None])
    for place, value in changes:
        if place < len(data):
            data[place] = value
    said = ""
    try:
        toys.denoise(bytes(data), NOTHING)
    except NotDenoised as error:
        said = str(error)
    assert "fault of this program" not in said
