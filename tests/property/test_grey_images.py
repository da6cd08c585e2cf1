"""Any grey image at strength 0 comes back with every value that it had."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from model_store.ref import ModelName
from tests.support.direct import CT, XRAY, picture, service, values_of
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
