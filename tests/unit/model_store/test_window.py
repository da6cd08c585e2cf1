"""A window says which values are black and which are white."""

from __future__ import annotations

import numpy as np
import pytest

from model_store.window import Window

SOFT_TISSUE, LUNG = Window("soft tissue", 40.0, 400.0), Window("lung", -600.0, 1500.0)


def test_the_linear_function_ends_where_viewers_end_it() -> None:
    image = np.array([[-1000, -160, 40, 239, 1000]], np.float32)
    assert SOFT_TISSUE.linear(image).tolist() == [[0, 0, 128, 255, 255]]


@pytest.mark.parametrize(
    ("window", "values", "expected"),
    [(SOFT_TISSUE, [-160, 40, 240], [0, 128, 255]), (LUNG, [-1350, -600, 150], [0, 128, 255])],
)
def test_the_exactly_linear_function_maps_the_ends_to_black_and_white(
    window: Window, values: list[float], expected: list[int]
) -> None:
    assert list(window.linear_exact(np.array(values, np.float32))) == expected
