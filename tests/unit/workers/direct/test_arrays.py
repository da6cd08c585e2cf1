"""The library's function: shapes, dtypes and units as its documentation has them."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dicom_node import denoise
from dicom_node.errors import NotDenoised
from tests.support.direct import CT, XRAY, grey, node_toml
from tests.support.factories.parts import disc
from workers.direct.arrays import DenoisedArray

HU = disc((40, 48), 0).astype(np.float32)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return node_toml(tmp_path_factory.mktemp("site"))


def done(site: Path, image: Any, model: str, *arguments: Any, **options: Any) -> DenoisedArray:
    return denoise(image, model, *arguments, config=site, **options)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "i2", "i4", "i8", ">i2"])
def test_hounsfield_units_of_any_dtype_come_back_as_they_were_given(site: Path, dtype: str) -> None:
    image = np.rint(HU).astype(dtype)
    result = done(site, image, CT)
    assert (result.image.dtype, result.image.shape) == (image.dtype, image.shape)
    assert result.image is not image
    reference = done(site, np.rint(HU).astype("f4"), CT).image
    np.testing.assert_allclose(result.image.astype("f4"), reference, atol=1.0)
    assert (result.image != image).any()
    np.testing.assert_array_equal(done(site, image, CT, 0.0).image, image)


def test_several_images_are_denoised_each_for_itself(site: Path) -> None:
    stack = np.stack([HU, HU[::-1], HU + 10])
    result = done(site, stack, CT).image
    assert result.shape == stack.shape
    for one, alone in zip(result, stack, strict=True):
        np.testing.assert_array_equal(one, done(site, alone, CT).image)


def test_what_the_model_is_not_for_comes_through_to_the_last_bit(site: Path) -> None:
    image = HU.astype(np.float64)
    image[:5] = -2000.0000001
    result = done(site, image, CT).image
    np.testing.assert_array_equal(result[:5], image[:5])


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_grey_levels_and_parts_of_the_full_scale_are_the_same_image(site: Path, bits: int) -> None:
    levels = grey(bits)
    full = 2**bits - 1
    of_levels = done(site, levels, XRAY, bits=bits)
    of_parts = done(site, levels / full, XRAY)
    assert of_levels.image.dtype == levels.dtype
    np.testing.assert_allclose(of_levels.image, of_parts.image * full, atol=0.51)
    assert of_levels.how.noise.before == pytest.approx(of_parts.how.noise.before * full, rel=0.01)


def test_the_ends_of_the_scale_belong_to_it(site: Path) -> None:
    black_and_white = np.indices((8, 8)).sum(0) % 2
    assert done(site, black_and_white.astype(np.float32), XRAY).image.shape == (8, 8)


def test_how_it_was_made_is_told(site: Path) -> None:
    how = done(site, HU, CT, 0.25).how
    assert (str(how.model), how.strength, how.units) == (CT, 0.25, "HU")
    assert how.engine["engine"] == "onnxruntime"
    assert how.words == "toy-ct@1.0.0 at strength 0.25 (onnxruntime f32)"


def wrong() -> list[Any]:
    nan = HU.copy()
    nan[3, 4] = np.nan
    return [
        pytest.param(HU[0], CT, {}, (ValueError, "H x W"), id="a row"),
        pytest.param(HU[:0], CT, {}, (ValueError, "with pixels"), id="nothing"),
        pytest.param(nan, CT, {}, (ValueError, "1 values are not finite"), id="NaN"),
        pytest.param(HU.astype("f8") * 1e300, CT, {}, (ValueError, "not finite"), id="huge"),
        pytest.param(HU.astype("i8") << 40, CT, {}, (ValueError, "more than 32 bits"), id="wide"),
        pytest.param(np.ma.array(HU, mask=HU < 0), CT, {}, (TypeError, "masked"), id="masked"),
        pytest.param(HU > 0, CT, {}, (TypeError, "not bool"), id="bool"),
        pytest.param(
            grey(16),
            CT,
            {},
            (TypeError, "takes float16, float32, float64, int16"),
            id="unsigned HU",
        ),
        pytest.param(HU.astype(complex), XRAY, {}, (TypeError, "complex"), id="complex"),
        pytest.param(HU, XRAY, {}, (ValueError, "divide it by its full scale"), id="HU as grey"),
        pytest.param(HU * 0 - 0.1, XRAY, {}, (ValueError, "from -0.1 to -0.1"), id="negative"),
        pytest.param(grey(12), XRAY, {}, (ValueError, "perhaps 12"), id="bits not stated"),
        pytest.param(grey(8), XRAY, {"bits": 12}, (ValueError, "8 bits, not 12"), id="more bits"),
        pytest.param(HU, CT, {"strength": float("nan")}, (ValueError, "strength"), id="strength"),
        pytest.param(HU, "no model", {}, (ValueError, "not of the form"), id="no name"),
        pytest.param(HU, "nobody", {}, (NotDenoised, "no alias nobody@production"), id="unknown"),
        pytest.param(HU, "toy-ct@9.9.9", {}, (NotDenoised, "toy-ct@9.9.9"), id="no such version"),
    ]


@pytest.mark.parametrize(("image", "model", "options", "raised"), wrong())
def test_what_is_not_as_described_is_refused(
    site: Path, image: NDArray[Any], model: str, options: dict[str, Any], raised: tuple[Any, str]
) -> None:
    with pytest.raises(raised[0], match=raised[1]):
        done(site, image, model, **options)


def test_a_configuration_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotDenoised, match="config init"):
        denoise(HU, CT, config=tmp_path / "node.toml")


def test_threads_may_share_an_engine(site: Path) -> None:
    images = [HU + number for number in range(8)]
    alone = [done(site, image, CT).image for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: done(site, image, CT).image, images))
    np.testing.assert_array_equal(together, alone)


def test_nothing_is_printed(site: Path) -> None:
    code = (
        "import numpy as np; from dicom_node import denoise;"
        f"denoise(np.zeros((8, 8)), {CT!r}, config={str(site)!r})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert ran.stdout + ran.stderr == ""
