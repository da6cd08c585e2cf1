"""Where tiles lie, counted by hand; tests/property/test_tiling.py has every size."""

from __future__ import annotations

import pytest

from model_store.manifest import TilingSpec
from workers.tiling import Span, default_tile, reflected, round_up, smallest_tile, spans


@pytest.mark.parametrize(
    ("size", "multiple", "rounded"),
    [(1, 1, 1), (7, 1, 7), (1, 8, 8), (8, 8, 8), (9, 8, 16), (0, 8, 0)],
)
def test_sizes_are_rounded_up(size: int, multiple: int, rounded: int) -> None:
    assert round_up(size, multiple) == rounded


@pytest.mark.parametrize(
    ("margin", "stride", "shortest", "usual"),
    [
        (0, 1, 1, 512), (2, 1, 5, 512), (17, 1, 35, 512), (6, 2, 14, 512), (32, 32, 96, 512),
        (5, 4, 20, 512), (60, 8, 136, 600), (153, 1, 307, 1530), (154, 1, 309, 1536),
        (100, 3, 207, 1002), (1000, 16, 2032, 2032),
    ],
)  # fmt: skip
def test_the_shortest_tile_and_the_usual_one(
    margin: int, stride: int, shortest: int, usual: int
) -> None:
    spec = TilingSpec(margin=margin, stride=stride)
    assert smallest_tile(spec) == shortest
    assert default_tile(spec) == usual


def test_an_image_that_fits_is_one_tile() -> None:
    spec = TilingSpec(margin=2, stride=1)
    assert spans(9, 9, spec) == (Span(0, 9, 0, 9),)
    assert spans(9, 100, spec) == (Span(0, 9, 0, 9),)
    strided = TilingSpec(margin=4, stride=4)
    assert spans(9, 12, strided) == (Span(0, 12, 0, 9),), "the network sees what was added"


def test_tiles_overlap_by_twice_the_margin() -> None:
    found = spans(12, 8, TilingSpec(margin=2, stride=1))
    # each tile but the first and the last keeps what is 2 from its ends
    assert found[0].start == 0
    assert found[-1].stop == 12
    assert [(one.first, one.last) for one in found] == [(0, 6), (6, 12)]
    assert [(one.start, one.stop) for one in found] == [(0, 8), (4, 12)]
    assert [(one.core, one.core_in_tile) for one in found] == [
        (slice(0, 6), slice(0, 6)), (slice(6, 12), slice(2, 8)),
    ]  # fmt: skip


def test_a_tile_too_short_for_the_model_is_refused() -> None:
    with pytest.raises(ValueError, match="5"):
        spans(12, 4, TilingSpec(margin=2, stride=1))


@pytest.mark.parametrize(
    ("size", "stride", "index"),
    [
        (4, 1, [0, 1, 2, 3]), (4, 4, [0, 1, 2, 3]), (5, 4, [0, 1, 2, 3, 4, 3, 2, 1]),
        (3, 4, [0, 1, 2, 1]), (2, 4, [0, 1, 1, 1]), (1, 3, [0, 0, 0]),
    ],
)  # fmt: skip
def test_what_is_added_is_reflected_or_repeated(size: int, stride: int, index: list[int]) -> None:
    assert reflected(size, stride).tolist() == index
