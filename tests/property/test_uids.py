"""Derived UIDs: valid, stable, and different whenever anything that made the result is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dicom_node.dicom.uids import is_valid_uid, result_series_uid, result_sop_instance_uid

uids = st.from_regex(r"\A[12](\.(0|[1-9][0-9]{0,9})){1,5}\Z")
names = st.text(max_size=12)
hashes = st.from_regex(r"\A[0-9a-f]{64}\Z")
parameters = st.dictionaries(names, names, max_size=4)
inputs = st.tuples(uids, names, hashes, parameters)


@given(inputs)
def test_every_uid_is_valid_and_repeatable(
    given_inputs: tuple[str, str, str, dict[str, str]],
) -> None:
    source, route, model, settings = given_inputs
    uid = result_sop_instance_uid(source, route, model, settings)
    assert is_valid_uid(uid)
    backwards = dict(reversed(settings.items()))
    assert uid == result_sop_instance_uid(source, route, model, backwards)


@given(inputs, inputs)
def test_different_inputs_give_different_uids(
    one: tuple[str, str, str, dict[str, str]], other: tuple[str, str, str, dict[str, str]]
) -> None:
    same = one == other
    assert (result_sop_instance_uid(*one) == result_sop_instance_uid(*other)) is same
    assert (result_series_uid(*one) == result_series_uid(*other)) is same
    assert result_series_uid(*one) != result_sop_instance_uid(*one)
