"""Tiled equals whole: for every size, tile, margin and stride, and for the released models."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from model_store.engines.base import Engine, Images
from model_store.engines.openvino import OpenVinoEngine
from model_store.manifest import TilingSpec
from model_store.store import ModelStore, ModelVersion
from tests.support.factories.models import model_version
from workers.frame import Frame
from workers.infer import Denoiser
from workers.tiling import default_tile, reflected, smallest_tile, spans

SPECS = st.builds(TilingSpec, margin=st.integers(0, 40), stride=st.sampled_from([1, 2, 3, 8, 32]))


@given(size=st.integers(1, 3000), extra=st.integers(0, 300), spec=SPECS)
def test_cores_cover_every_pixel_once_and_lie_a_margin_inside(
    size: int, extra: int, spec: TilingSpec
) -> None:
    longest = smallest_tile(spec) + extra
    laid = spans(size, longest, spec)
    padded = math.ceil(size / spec.stride) * spec.stride
    assert laid[0].first == 0
    assert laid[-1].last == size
    assert all(one.last == two.first for one, two in itertools.pairwise(laid))
    assert len({span.stop - span.start for span in laid}) == 1
    for span in laid:
        assert 0 <= span.start < span.stop <= padded
        assert span.stop - span.start <= longest
        assert span.start % spec.stride == span.stop % spec.stride == 0
        assert span.first < span.last
        assert span.start == 0 or span.first - span.start >= spec.margin
        assert span.stop == padded or span.stop - span.last >= spec.margin


@given(size=st.integers(1, 3000), spec=SPECS)
def test_the_default_tile_always_works(size: int, spec: TilingSpec) -> None:
    assert default_tile(spec) % spec.stride == 0
    assert spans(size, default_tile(spec), spec)


@given(size=st.integers(1, 100), stride=st.integers(1, 40))
def test_padding_reflects_where_it_can(size: int, stride: int) -> None:
    index = reflected(size, stride)
    extra = len(index) - size
    assert len(index) == math.ceil(size / stride) * stride
    if extra < size:
        expected = np.pad(np.arange(size), (0, extra), mode="reflect")
    else:
        expected = np.pad(np.arange(size), (0, extra), mode="edge")
    np.testing.assert_array_equal(index, expected)


class ToyEngine(Engine):
    """In float64: a box filter, plus a box filter of the image pooled by the stride.

    Zero padding at the border, as in a convolution. Its influence reaches `reach` pixels.
    """

    def __init__(self, version: ModelVersion, radius: int, stride: int) -> None:
        super().__init__(version.ref, name="toy", precision="f64", device="here")
        self._radius, self._stride = radius, stride

    @staticmethod
    def reach(radius: int, stride: int) -> int:
        return max(radius, stride * radius + stride - 1)

    def _run(self, images: Images) -> Images:
        x = images.astype(np.float64)
        n, _, rows, columns = x.shape
        step = self._stride
        pooled = x.reshape(n, 1, rows // step, step, columns // step, step).max(axis=(3, 5))
        deep = _box(pooled, self._radius).repeat(step, axis=2).repeat(step, axis=3)
        result: NDArray[np.float64] = 0.1 * np.sin(9 * _box(x, self._radius)) + 0.1 * np.cos(deep)
        return result  # type: ignore[return-value]

    def close(self) -> None:
        pass


def _box(x: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    padded = np.pad(x, ((0, 0), (0, 0), (radius, radius), (radius, radius)))
    rows, columns = x.shape[2:]
    width = 2 * radius + 1
    total = np.zeros_like(x)
    for down in range(width):
        for right in range(width):
            total += padded[:, :, down : down + rows, right : right + columns] / (
                1 + down + 2 * right
            )
    return total


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], ModelVersion]:
    return {
        (radius, stride): model_version(
            tmp_path_factory.mktemp("toy"),
            tiling=TilingSpec(margin=ToyEngine.reach(radius, stride), stride=stride),
        )
        for radius in (0, 1, 2)
        for stride in (1, 2, 4)
    }


@given(data=st.data())
def test_tiled_equals_whole(toy: dict[tuple[int, int], ModelVersion], data: st.DataObject) -> None:
    radius, stride = data.draw(st.sampled_from(sorted(toy)))
    version = toy[radius, stride]
    shape = data.draw(st.tuples(st.integers(1, 90), st.integers(1, 90)))
    tile = smallest_tile(version.manifest.tiling) + data.draw(st.integers(0, 20))
    values = np.random.default_rng(data.draw(st.integers(0, 99))).normal(40, 300, shape)
    frame = Frame(values.astype(np.float32), 1.0, np.ones(shape, bool))
    engine = ToyEngine(version, radius, stride)
    (whole,) = Denoiser(version, engine, tile=512).denoise([frame])
    (tiled,) = Denoiser(version, engine, tile=tile, batch=3).denoise([frame])
    np.testing.assert_array_equal(tiled, whole)


def test_a_margin_that_is_too_small_would_be_noticed(tmp_path: Path) -> None:
    version = model_version(tmp_path, tiling=TilingSpec(margin=1, stride=1))
    frame = Frame(
        np.random.default_rng(0).normal(40, 300, (60, 60)).astype(np.float32),
        1.0,
        np.ones((60, 60), bool),
    )
    engine = ToyEngine(version, radius=2, stride=1)
    (whole,) = Denoiser(version, engine, tile=512).denoise([frame])
    (tiled,) = Denoiser(version, engine, tile=16).denoise([frame])
    assert np.abs(tiled - whole).max() > 1


def test_released_models_leave_no_seam() -> None:
    versions = ModelStore().versions()
    assert versions, "the package carries released models"
    for version in versions:
        spec, hu = version.manifest.tiling, version.manifest.input.units == "HU"
        tile = smallest_tile(spec) + spec.stride
        shape = (tile + 3 * spec.stride + 1, tile + 2 * spec.stride + 5)
        rng = np.random.default_rng(0)
        values = rng.normal(40, 60, shape) if hu else rng.normal(2000, 200, shape)
        frame = Frame(values.astype(np.float32), 4095.0, np.ones(shape, bool))
        with OpenVinoEngine(version) as engine:
            (whole,) = Denoiser(version, engine, tile=4096).denoise([frame])
            (tiled,) = Denoiser(version, engine, tile=tile).denoise([frame])
        np.testing.assert_allclose(tiled, whole, atol=0.05, err_msg=str(version.ref))
