"""Pairs by geometry and the split by patient, for every set of images and patients."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from model_store.training.pairs.geometry import POSITION_MM, Placement, match
from model_store.training.pairs.split import sides

_AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_PLACE = st.tuples(
    st.sampled_from(["p", "q"]), st.integers(-1, 1), st.integers(-2, 2), st.sampled_from("BD")
)
_PLACES = st.lists(_PLACE, max_size=30, unique=True)
_WOBBLE = st.floats(-0.99 * POSITION_MM, 0.99 * POSITION_MM)
_PATIENTS = st.sets(st.text(min_size=1, max_size=8), max_size=60)
_SHARE = st.floats(0, 0.5)


def _placed(place: tuple[str, int, int, str], wobble: float = 0.0) -> Placement:
    patient, row, slice_, kernel = place
    position = (row + wobble, -100.0, 3.0 * slice_ - wobble)
    return Placement(
        Path(f"{place}"), patient, "", position, _AXIAL, (0.7, 0.7), (512, 512), kernel
    )


@given(_PLACES, _PLACES, _WOBBLE, st.randoms())
def test_every_image_finds_the_one_at_its_place_in_any_order(
    noisy: list[tuple[str, int, int, str]],
    partner: list[tuple[str, int, int, str]],
    wobble: float,
    random: object,
) -> None:
    random.shuffle(partner)  # type: ignore[attr-defined]
    found = match([_placed(one) for one in noisy], [_placed(one, wobble) for one in partner])
    assert {noisy[index] for index, _ in found.pairs} == set(noisy) & set(partner)
    assert all(noisy[one] == partner[other] for one, other in found.pairs)
    assert {noisy[index] for index in found.alone[0]} == set(noisy) - set(partner)
    assert {partner[index] for index in found.alone[1]} == set(partner) - set(noisy)
    assert found.several == ((), ())


@example([("p", 0, 0, "B"), ("p", 0, 0, "D")], [("p", 0, 0, "B")])
@given(_PLACES, _PLACES)
def test_what_fits_several_has_no_partner_and_nothing_is_lost(
    noisy: list[tuple[str, int, int, str]], partner: list[tuple[str, int, int, str]]
) -> None:
    one = [replace(_placed(place), kernel="") for place in noisy]
    other = [replace(_placed(place), kernel="") for place in partner]
    found = match(one, other)
    for side, items in ((0, one), (1, other)):
        told = [pair[side] for pair in found.pairs]
        assert sorted([*told, *found.alone[side], *found.several[side]]) == list(range(len(items)))
        assert len(set(told)) == len(told)


@given(_PATIENTS, _PATIENTS, _SHARE, _SHARE, st.integers(0, 9))
def test_nobody_who_was_trained_on_comes_into_the_test_when_others_join(
    first: set[str], joining: set[str], validation: float, test: float, seed: int
) -> None:
    before = sides(first, validation, test, seed)
    after = sides(first | joining, validation, test, seed)
    assert before.keys() == first, "everybody on one side, so nobody on two"
    moved = {who for who in first if before[who] != "test" and after[who] == "test"}
    assert not moved
    for share, side in ((test, "test"), (validation, "validation")):
        assert share > 0 or side not in after.values()
    if test > 0 and first:
        assert "test" in before.values()
