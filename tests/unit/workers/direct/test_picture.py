"""Before, after and difference are drawn of every image, however small or narrow, by no name."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from dicom_node.errors import NotDenoised
from dicom_node.sheet import SheetRow, draw
from model_store.ref import ModelName
from tests.support.direct import CT, XRAY, grey, picture
from tests.support.factories import ct_slice, enhanced_ct, to_bytes
from workers.direct.picture import picture_of
from workers.direct.request import Request
from workers.direct.service import Service

SHAPES = [(1, 1), (1, 300), (15, 17), (31, 64), (32, 33), (500, 40), (300, 420)]


def drawn(toys: Service, data: bytes, model: str) -> Image.Image:
    made = toys.denoise(data, Request(model=ModelName.parse(model)))
    return Image.open(BytesIO(picture_of(made)))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_radiograph_of_any_size(toys: Service, shape: tuple[int, int]) -> None:
    values = grey(8, (40, 40))[:1, :1] if shape == (1, 1) else np.resize(grey(8), shape)
    sheet = drawn(toys, picture(values, "PNG"), XRAY)
    assert sheet.format == "PNG"
    assert sheet.width > sheet.height


@pytest.mark.parametrize("image", [ct_slice(size=(64, 80)), enhanced_ct(3), ct_slice(size=(8, 8))])
def test_a_slice(toys: Service, image: object) -> None:
    assert drawn(toys, to_bytes(image), CT).mode == "L"  # type: ignore[arg-type]


def test_an_image_of_one_value(toys: Service) -> None:
    assert drawn(toys, picture(np.full((64, 64), 200, np.uint8), "PNG"), XRAY).size


def test_a_picture_in_a_folder_of_images_is_not_denoised(toys: Service) -> None:
    made = toys.denoise(picture(grey(8), "PNG"), Request(model=ModelName.parse(XRAY)))
    with pytest.raises(NotDenoised, match="own result"):
        toys.denoise(picture_of(made), Request(model=ModelName.parse(XRAY)))


def test_both_rows_have_one_scale_of_the_difference_and_the_picture_states_it(
    toys: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheets: list[tuple[list[SheetRow], str]] = []

    def kept(rows: Sequence[SheetRow], foot: str, said: str = "") -> bytes:
        sheets.append((list(rows), foot))
        return draw(rows, foot, said)

    monkeypatch.setattr("workers.direct.picture.draw", kept)
    drawn(toys, picture(np.resize(grey(16), (900, 700)), "PNG"), XRAY)
    ((rows, foot),) = sheets
    (scale,) = {row.view.scale for row in rows}
    assert f"difference from {-scale:g} (black) to +{scale:g} grey levels (white)" in foot
