"""Pictures show what the window says, and the difference on a scale that is stated."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image as Picture
from pydicom import Dataset

from dicom_node.pictures import (
    LUNG,
    SOFT_TISSUE,
    common_scale,
    detailed_box,
    difference_scale,
    display_window,
    lung_box,
    soft_tissue_box,
    view,
)
from model_store.window import Window


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Picture.open(BytesIO(png)))


@pytest.mark.parametrize(("spread", "scale"), [(1.0, 5), (4.0, 20), (1e6, 2000)])
def test_the_scale_is_a_round_number_that_holds_most(spread: float, scale: float) -> None:
    difference = np.random.default_rng(0).normal(0, spread, (100, 100)).astype(np.float32)
    assert difference_scale(difference) == scale


def test_no_difference_is_middle_grey_and_more_is_brighter() -> None:
    before = np.zeros((64, 64), np.float32)
    after = before.copy()
    after[:8] = 30
    shown = opened(view("t", before, after, SOFT_TISSUE, "HU", side=64).difference)
    assert shown[40, 40] == 128
    assert shown[2, 2] > 200


def test_rows_of_one_image_are_drawn_on_the_scale_of_the_one_that_needs_most() -> None:
    before = np.zeros((64, 64), np.float32)
    after = np.random.default_rng(0).normal(0, 1, (64, 64)).astype(np.float32)
    after[:8, :8] *= 20
    rows = ((before, after), (before[:8, :8], after[:8, :8]))
    own = [view("t", *row, SOFT_TISSUE, "HU", side=64).scale for row in rows]
    scale = common_scale(rows, 64)
    assert scale == max(own) > min(own)
    alike = [view("t", *row, SOFT_TISSUE, "HU", side=64, scale=scale) for row in rows]
    assert {each.scale for each in alike} == {scale}
    assert opened(alike[0].difference)[20:].std() < 0.3 * opened(alike[1].difference).std()


@pytest.mark.parametrize("side", [32, 64, 128])
def test_pictures_have_the_size_asked_for(side: int) -> None:
    image = np.zeros((64, 48), np.float32)
    made = view("t", image, image, LUNG, "HU", side=side)
    assert opened(made.before).shape == (side, side * 3 // 4)
    assert all(uri.startswith("data:image/png;base64,") for uri in made.uris)


def header(**attributes: object) -> Dataset:
    dataset = Dataset()
    dataset.BitsStored = 12
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def test_the_window_of_the_object_is_used_when_it_says_something() -> None:
    image = np.linspace(0, 4095, 10_000, dtype=np.float32).reshape(100, 100)
    chosen = display_window(header(WindowCenter=[500, 1], WindowWidth=[200, 2]), image)
    assert (chosen.centre, chosen.width) == (500, 200)
    for useless in (header(), header(WindowCenter=2048, WindowWidth=4096), header(WindowWidth="")):
        assert "percentile" in display_window(useless, image).name


def test_a_uniform_image_still_has_a_window() -> None:
    assert display_window(header(), np.zeros((8, 8), np.float32)).width == 4096


def test_the_box_with_soft_tissue_is_found() -> None:
    image = np.full((512, 512), -1000, np.float32)
    image[200:300, 320:420] = 40
    box, part = soft_tissue_box(image, 96)
    assert part > 0.9
    assert float(np.mean(box.of(image) == 40)) > 0.9


def test_the_lung_box_is_in_the_lung_not_at_the_table() -> None:
    random = np.random.default_rng(0)
    image = np.full((512, 512), -1000, np.float32)
    image[440:444] = 300  # a table in air
    image[100:260, 100:260] = -850
    image[100:260, 100:260][random.random((160, 160)) < 0.1] = 40
    box = lung_box(image, 144)
    assert float(np.mean(box.of(image) > -900)) > 0.8


def test_the_detailed_box_is_where_structure_is() -> None:
    image = np.full((800, 800), 1000, np.float32)
    image[400:700, 300:600] += (np.arange(300) // 40 % 2)[None, :] * 400
    box = detailed_box(image, Window("w", 1200, 2000), 256)
    assert 330 <= box.row <= 480
    assert 250 <= box.column <= 400


def test_images_smaller_than_the_box_are_shown_whole() -> None:
    image = np.full((100, 60), 50, np.float32)
    for box in (soft_tissue_box(image, 192)[0], detailed_box(image, SOFT_TISSUE, 384)):
        assert box.of(image).shape == image.shape
