from __future__ import annotations

import base64
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model_store.evaluation.metrics import psnr
from model_store.evaluation.trial import Case
from model_store.reports.pictures import (
    SIDE,
    difference_scale,
    lung_place,
    picture_cases,
    pictures_of,
)

Floats = NDArray[np.float32]


class _Half:
    """Halves the values and counts its calls."""

    margin = 0

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, image: Floats, *, beyond: bool = False) -> Floats:
        self.calls += 1
        return image / np.float32(2)


def _score(image: Floats, reference: Floats) -> dict[str, float]:
    return {"PSNR": psnr(image, reference, 400.0), "nothing": float("nan")}


def _case(group: str = "group", name: str = "name", side: int = 320) -> Case:
    reference = np.zeros((side, side), np.float32)
    noisy = np.random.default_rng(0).normal(0, 20, (side, side)).astype(np.float32)
    return Case(group, name, noisy, reference, (side // 2, side // 2), _score, "PSNR")


def _pixels(uri: str) -> NDArray[np.uint8]:
    data = uri.removeprefix("data:image/png;base64,")
    return np.asarray(Image.open(BytesIO(base64.b64decode(data))))


def test_a_case_is_shown_as_input_denoised_reference_and_difference() -> None:
    case = _case()
    shown = pictures_of(case, case.noisy / np.float32(2), units="HU")
    wide, detail = shown.rows
    titles = [panel.title for panel in wide.panels]
    assert titles == ["Input", "Denoised", "Reference", "Denoised less input"]
    assert "PSNR 26." in wide.panels[0].note
    assert "nothing" not in wide.panels[0].note
    assert wide.panels[3].note == "black \N{MINUS SIGN}50, white +50 HU"
    assert "1 : 1" in wide.title
    assert "2 : 1" in detail.title
    assert _pixels(wide.panels[0].uri).shape == (SIDE, SIDE)


def test_enlarged_pixels_are_repeated_not_interpolated() -> None:
    case = _case()
    pixels = _pixels(pictures_of(case, case.noisy, units="HU").rows[1].panels[0].uri)
    assert pixels.shape == (SIDE, SIDE)
    assert np.array_equal(pixels[::2, ::2], pixels[1::2, 1::2])


def test_small_images_are_shown_whole() -> None:
    case = _case(side=96)
    row = pictures_of(case, case.noisy, units="stored").rows[0]
    assert "96 x 96 pixels, 2 : 1" in row.title
    assert row.panels[3].note.endswith("of the range")


def test_lung_is_found_where_it_is() -> None:
    image = np.zeros((320, 320), np.float32)
    assert lung_place(image, 64) is None
    image[160:256, 32:128] = -850
    place = lung_place(image, 64)
    assert place is not None
    assert 176 <= place[0] <= 240
    assert 48 <= place[1] <= 112


@pytest.mark.parametrize(("deviation", "scale"), [(1.5, 5.0), (16.0, 50.0), (0.02, 0.1)])
def test_differences_are_shown_at_round_scales(deviation: float, scale: float) -> None:
    signs = np.resize(np.array([1, -1], np.float32), 100) * np.float32(deviation)
    assert difference_scale(signs) == pytest.approx(scale)


def test_other_groups_and_images_come_first_and_no_more_are_denoised() -> None:
    def cases() -> Iterator[Case]:
        for group in "ab":
            for name in "xyz":
                yield _case(group, name, 64)

    model = _Half()
    shown = picture_cases(cases(), model, units="HU", limit=3)
    assert [item.title for item in shown] == ["a: x", "b: y", "a: z"]
    assert model.calls == 3
