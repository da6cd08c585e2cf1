"""What lies in a broker is a ring, or is told from one, whatever it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.bell import rings

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
LIKE_A_RING = st.fixed_dictionaries(
    {}, optional={"headers": st.fixed_dictionaries({"task": JSON | st.just("infer")}), "body": JSON}
)


@given(st.integers(), st.sampled_from(["infer", "deliver"]))
def test_a_ring_is_read_back(number: int, queue: str) -> None:
    data = json.dumps(rings.message(queue, number)).encode()
    assert rings.ledger_id_of(data, queue) == number
    assert rings.ledger_id_of(data, "another") is None


@given(st.binary() | JSON.map(json.dumps).map(str.encode)
       | LIKE_A_RING.map(json.dumps).map(str.encode))  # fmt: skip
def test_whatever_is_no_ring_has_no_number(data: bytes) -> None:
    assert rings.ledger_id_of(data, "infer") is None


@pytest.mark.parametrize(
    "arguments", [[], [[]], [[1, 2]], [["1"]], [[1.5]], [[True]], [[None]], [{"a": 1}], {}, 7, None]
)
def test_arguments_of_another_shape_are_no_ring(arguments: Any) -> None:
    whole = rings.message("infer", 1) | {"body": rings.encoded(arguments)}
    assert rings.ledger_id_of(json.dumps(whole).encode(), "infer") is None


def test_what_is_larger_or_deeper_than_a_ring_is_none() -> None:
    whole = json.dumps(rings.message("infer", 1)) + " " * rings.MOST_BYTES
    assert rings.ledger_id_of(whole.encode(), "infer") is None
    assert rings.ledger_id_of(b"[" * 60_000, "infer") is None
