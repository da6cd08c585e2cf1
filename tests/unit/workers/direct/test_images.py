"""What grey values mean is known or said, and never guessed; what must not change does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicom_node.errors import Next, NotDenoised
from model_store.ref import ModelName
from tests.support.direct import CT, XRAY, grey, picture, values_of
from tests.support.factories import dx_image, to_bytes
from workers.direct.images import bits_used
from workers.direct.request import Request, hounsfield
from workers.direct.service import Service


def asked(model: str = XRAY, **changes: Any) -> Request:
    return Request(model=ModelName.parse(model), **changes)


def test_a_radiograph_is_denoised_as_the_same_pixels_in_dicom_are(toys: Service) -> None:
    values = grey(12)
    image = to_bytes(dx_image(values, bits_stored=12))
    of_dicom = toys.denoise(image, asked())
    of_png = toys.denoise(picture(values, "PNG"), asked(bits=12))
    np.testing.assert_array_equal(of_png.after, of_dicom.after)
    np.testing.assert_array_equal(values_of(of_png.data), of_png.after)
    assert (values_of(of_png.data) != values).any()
    assert of_png.how.noise == of_dicom.how.noise
    assert of_png.how.model == of_dicom.how.model


def test_a_slice_in_hu_is_denoised_by_what_two_values_mean(toys: Service) -> None:
    stored = (grey(12).astype(np.int64) + 24).clip(0, 4095).astype(np.uint16)
    made = toys.denoise(
        picture(stored, "TIFF"), asked(CT, hounsfield=hounsfield("1024=0,2024=1000"))
    )
    assert made.how.units == "HU"
    np.testing.assert_array_equal(made.before, stored.astype(np.float32) - 1024)
    np.testing.assert_array_equal(values_of(made.data), made.after + 1024)


def test_white_that_is_zero_is_the_brightest(toys: Service) -> None:
    values = grey(16)
    upright = toys.denoise(picture(values, "TIFF"), asked())
    turned = toys.denoise(picture(65535 - values, "TIFF", tiffinfo={262: 0}), asked())
    np.testing.assert_array_equal(turned.before, upright.before)
    np.testing.assert_array_equal(turned.after, upright.after)
    np.testing.assert_array_equal(values_of(turned.data), 65535 - values_of(upright.data))


@pytest.mark.parametrize(
    ("data", "how", "why", "then"),
    [
        (picture(grey(8), "JPEG"), asked(CT), "a JPEG does not say what its grey", Next.PASS),
        (picture(grey(16), "PNG"), asked(XRAY, hounsfield=hounsfield("0=0,1=1")),
         "for radiographs, not for Hounsfield units", Next.PASS),
        (picture(grey(8), "PNG"), asked(CT, hounsfield=hounsfield("0=0,1=1")),
         "8 bits stored: too coarse", Next.PASS),
        (picture(grey(12), "PNG"), asked(), r"perhaps 12, or 16 \(--bits\)", Next.FAIL),
        (picture(grey(16), "PNG"), asked(bits=12), "more than 12 bits hold", Next.FAIL),
        (b"GIF89a", asked(), "is no DICOM, PNG, JPEG or TIFF", Next.FAIL),
        (b"", asked(), "is no DICOM, PNG, JPEG or TIFF", Next.FAIL),
    ],
)  # fmt: skip
def test_what_cannot_be_done_says_why(
    toys: Service, data: bytes, how: Request, why: str, then: Next
) -> None:
    with pytest.raises(NotDenoised, match=why) as raised:
        toys.denoise(data, how)
    assert raised.value.next is then


def test_a_result_is_not_denoised_again(toys: Service) -> None:
    once = toys.denoise(picture(grey(8), "PNG"), asked())
    with pytest.raises(NotDenoised, match="own result") as raised:
        toys.denoise(once.data, asked())
    assert raised.value.next is Next.PASS


def test_bits_that_somebody_states_are_for_images_of_16(toys: Service) -> None:
    made = toys.denoise(picture(grey(8), "PNG"), asked(bits=12))
    assert made.source.layout.stored == 8


def test_the_bits_of_an_image_are_all_that_it_has_or_what_is_stated() -> None:
    assert bits_used(255, 8, None) == 8
    assert bits_used(65535, 16, None) == bits_used(32768, 16, None) == 16
    assert bits_used(0, 16, None) == 16
    assert bits_used(4095, 16, 12) == bits_used(0, 16, 12) == 12
    for largest, guess in ((1, 8), (255, 8), (256, 10), (4095, 12), (4096, 14), (32767, 16)):
        with pytest.raises(ValueError, match=f"perhaps {guess}, or 16"):
            bits_used(largest, 16, None)
    with pytest.raises(ValueError, match="it has 8 bits, not 12"):
        bits_used(9, 8, 12)


def test_the_recommended_strength_counts_where_none_is_stated(
    toys: Service, tmp_path: Path
) -> None:
    data = picture(grey(8), "PNG")
    assert toys.denoise(data, asked()).how.strength == 1.0
    assert "strength 0.123457, engine onnxruntime f32" in str(
        toys.denoise(data, asked(strength=0.1234567)).data
    )
