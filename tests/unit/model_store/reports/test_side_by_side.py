from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model_store.evaluation.filter_file import FilterFile
from model_store.evaluation.metrics import psnr
from model_store.evaluation.trial import Case
from model_store.reports.side_by_side import Tile, side_by_side, tiles_of

Floats = NDArray[np.float32]


def _case() -> Case:
    rng = np.random.default_rng(0)
    reference = np.zeros((96, 80), np.float32)
    reference[60:70, 50:60] = 1
    noisy = (reference + rng.normal(0, 0.1, reference.shape)).astype(np.float32)
    return Case(
        "noise",
        "one",
        noisy,
        reference,
        (48, 40),
        lambda image, wanted: {"PSNR": psnr(image, wanted)},
        "PSNR",
    )


def test_filters_stand_at_their_best_setting_between_input_and_reference() -> None:
    case = _case()
    tiles = tiles_of(case, (), FilterFile(None, quick=True))
    names = [tile.title for tile in tiles]
    assert names[:2] == ["input", "gaussian"]
    assert names[-1] == "reference"
    reference = tiles[-1].image
    before = psnr(tiles[0].image, reference)
    assert all(psnr(tile.image, reference) > before for tile in tiles[1:-1])


def test_every_tile_is_shown_whole_and_with_a_detail_where_there_is_structure() -> None:
    case = _case()
    reference = case.crop(case.reference)
    tiles = [Tile(f"arm {index}", reference) for index in range(7)]
    sheet = side_by_side(case, tiles, units="stored")
    assert sheet.width >= 6 * 80
    assert sheet.height >= 2 * (2 * 80), "the seventh begins a second row"
    pixels = np.asarray(sheet.convert("L"))
    assert (pixels[102:190, :90] > 250).sum() > 400, "the bright square is in the detail"
