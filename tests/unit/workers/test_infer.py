from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dicom_node.errors import FailItem, RetryLater
from model_store.engines.base import DeviceLostError, Engine, EngineMemoryError, Images
from model_store.engines.openvino import OpenVinoEngine
from model_store.errors import EngineError
from model_store.manifest import TilingSpec
from model_store.store import ModelVersion
from tests.support.factories.models import STORED, convolutions, model_version, small_unet
from workers.frame import Frame
from workers.infer import Denoiser

Function = Callable[[Images], Images]


class FakeEngine(Engine):
    """Applies a function, remembers what it was given, and can run out of memory."""

    def __init__(
        self, version: ModelVersion, function: Function, *, most: int = 99, batch: int = 1
    ) -> None:
        super().__init__(
            version.ref, name="fake", precision="f32", device="here", preferred_batch=batch
        )
        self._function = function
        self._most = most
        self.shapes: list[tuple[int, ...]] = []

    def _run(self, images: Images) -> Images:
        if len(images) > self._most:
            raise EngineMemoryError("bad allocation")
        self.shapes.append(images.shape)
        return self._function(images)

    def close(self) -> None:
        pass


def _lower(by: float) -> Function:
    return lambda x: np.full_like(x, -by / 4096)


def _frame(values: object, valid: object = None, full_scale: float = 1.0) -> Frame:
    array = np.asarray(values, dtype=np.float32)
    mask = np.ones(array.shape, bool) if valid is None else np.asarray(valid, dtype=bool)
    return Frame(array, full_scale, mask)


def _noisy(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(40, 30, shape).astype(np.float32)


@pytest.fixture
def version(tmp_path: Path) -> ModelVersion:
    return model_version(tmp_path)


def test_the_residual_is_added_in_the_images_own_unit(version: ModelVersion) -> None:
    (got,) = Denoiser(version, FakeEngine(version, _lower(10))).denoise([_frame([[40.0, -900.0]])])
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, [[30.0, -910.0]], atol=1e-3)


def test_a_network_that_gives_the_image_comes_to_the_same(tmp_path: Path) -> None:
    version = model_version(tmp_path, output="image")
    engine = FakeEngine(version, lambda x: x - np.float32(10 / 4096))
    (got,) = Denoiser(version, engine).denoise([_frame([[40.0, -900.0]])])
    np.testing.assert_allclose(got, [[30.0, -910.0]], atol=1e-3)


def test_radiographs_are_scaled_by_their_bit_depth(tmp_path: Path) -> None:
    version = model_version(tmp_path, input_spec=STORED)
    seen: list[Images] = []

    def half(x: Images) -> Images:
        seen.append(x)
        return -x / np.float32(2)

    frames = [_frame([[4095.0, 100.0]], full_scale=4095), _frame([[65535.0]], full_scale=65535)]
    small, large = Denoiser(version, FakeEngine(version, half)).denoise(frames)
    np.testing.assert_allclose(small, [[2047.5, 50]], rtol=1e-6)
    np.testing.assert_allclose(large, [[32767.5]], rtol=1e-6)
    assert [float(x.max()) for x in seen] == [1.0, 1.0]


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.7, 1.0])
def test_strength_blends(version: ModelVersion, strength: float) -> None:
    values = _noisy(5, 7)
    denoiser = Denoiser(version, FakeEngine(version, _lower(10)))
    (got,) = denoiser.denoise([_frame(values)], strength=strength)
    np.testing.assert_allclose(got, values - strength * 10, atol=1e-3)
    if strength == 0:
        np.testing.assert_array_equal(got, values)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_outside_0_to_1_is_refused(version: ModelVersion, strength: float) -> None:
    with pytest.raises(ValueError, match="strength"):
        Denoiser(version, FakeEngine(version, _lower(1))).denoise([], strength=strength)


def test_padding_and_values_that_the_model_does_not_know_come_through_bit_for_bit(
    version: ModelVersion,
) -> None:
    values = np.array([[-32768, -2000, -1024.5, -1024, 0, 3071, 3071.25, 20000]], np.float32)
    valid = np.array([[True, True, True, True, False, True, True, True]])
    (got,) = Denoiser(version, FakeEngine(version, _lower(1))).denoise([_frame(values, valid)])
    changed = got != values
    np.testing.assert_array_equal(changed, [[False] * 5 + [True, False, False]])
    assert got[0, 3] == -1024, "a changed pixel stays within the model's range"
    assert got[0, 5] == pytest.approx(3070, abs=1e-3)


@pytest.mark.parametrize(
    ("by", "values", "expected"),
    [
        # the toy model knows -1024 to 3071 HU, both ends included
        (1.0, [-1025.0, -1024.0, -1023.0, 3070.0, 3071.0, 3072.0],
              [-1025.0, -1024.0, -1024.0, 3069.0, 3070.0, 3072.0]),
        (-1.0, [-1025.0, -1024.0, -1023.0, 3070.0, 3071.0, 3072.0],
               [-1025.0, -1023.0, -1022.0, 3071.0, 3071.0, 3072.0]),
        (-1.0, [-1024.0625, 3071.0625, -32768.0, 32767.0],
               [-1024.0625, 3071.0625, -32768.0, 32767.0]),
    ],
)  # fmt: skip
def test_the_ends_of_what_the_model_knows(
    version: ModelVersion, by: float, values: list[float], expected: list[float]
) -> None:
    (got,) = Denoiser(version, FakeEngine(version, _lower(by))).denoise([_frame([values])])
    np.testing.assert_allclose(got, [expected], atol=1e-3)
    unknown = [not -1024 <= value <= 3071 for value in values]
    np.testing.assert_array_equal(got[0][unknown], np.array(values, np.float32)[unknown])


def test_the_ends_of_what_a_model_of_radiographs_knows(tmp_path: Path) -> None:
    version = model_version(tmp_path, input_spec=STORED)  # 0 to 1 of the full scale
    frame = _frame([[0.0, 1.0, 1022.0, 1023.0]], full_scale=1023)
    brighter = FakeEngine(version, lambda x: np.full_like(x, 2 / 1023))
    (up,) = Denoiser(version, brighter).denoise([frame])
    np.testing.assert_allclose(up, [[2, 3, 1023, 1023]], atol=1e-3)
    darker = FakeEngine(version, lambda x: np.full_like(x, -2 / 1023))
    (down,) = Denoiser(version, darker).denoise([frame])
    np.testing.assert_allclose(down, [[0, 0, 1020, 1021]], atol=1e-3)


def test_what_the_network_sees(version: ModelVersion) -> None:
    """HU plus 1024, over 4096; what the toy model does not know is clipped to what it does."""
    seen: list[Images] = []

    def look(x: Images) -> Images:
        seen.append(x.copy())
        return np.zeros_like(x)

    values = [[-32768.0, -1024.0, 0.0, 1024.0, 3071.0, 9999.0]]
    Denoiser(version, FakeEngine(version, look)).denoise([_frame(values)])
    expected = [[0.0, 0.0, 0.25, 0.5, 4095 / 4096, 4095 / 4096]]
    np.testing.assert_array_equal(seen[0][0, 0], np.array(expected, np.float32))


def test_padding_does_not_poison_its_neighbours(version: ModelVersion) -> None:
    values = _noisy(24, 24)
    air, padded = values.copy(), values.copy()
    air[:, :8], padded[:, :8] = -1024, -32768
    valid = np.ones(values.shape, bool)
    valid[:, :8] = False
    with OpenVinoEngine(version) as engine:
        denoiser = Denoiser(version, engine)
        expected, got = denoiser.denoise([_frame(air, valid), _frame(padded, valid)])
    np.testing.assert_array_equal(got[:, 8:], expected[:, 8:])
    np.testing.assert_array_equal(got[:, :8], padded[:, :8])


def test_the_callers_pixels_are_left_alone(version: ModelVersion) -> None:
    values = _noisy(6, 6)
    before = values.copy()
    Denoiser(version, FakeEngine(version, _lower(10))).denoise([_frame(values)])
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_frames_that_hold_no_numbers_fail(version: ModelVersion, value: float) -> None:
    with pytest.raises(FailItem, match="frame 2"):
        Denoiser(version, FakeEngine(version, _lower(1))).denoise(
            [_frame([[1.0]]), _frame([[1.0, value]])]
        )


def test_a_network_that_gives_no_numbers_fails(version: ModelVersion) -> None:
    engine = FakeEngine(version, lambda x: np.full_like(x, np.nan))
    with pytest.raises(FailItem, match=r"toy-ct@1\.0\.0"):
        Denoiser(version, engine).denoise([_frame([[1.0]])])


def test_a_failing_engine_fails_the_item(version: ModelVersion) -> None:
    def broken(x: Images) -> Images:
        raise EngineError("it broke")

    with pytest.raises(FailItem, match="it broke"):
        Denoiser(version, FakeEngine(version, broken)).denoise([_frame([[1.0]])])


@pytest.mark.parametrize(("most", "expected"), [(99, [8, 1]), (3, [2, 2, 2, 2, 1]), (1, [1] * 9)])
def test_out_of_memory_halves_the_batch_and_goes_on(
    version: ModelVersion, most: int, expected: list[int]
) -> None:
    engine = FakeEngine(version, _lower(10), most=most)
    frames = [_frame(_noisy(4, 4, seed=seed)) for seed in range(9)]
    got = Denoiser(version, engine, batch=8).denoise(frames)
    assert [shape[0] for shape in engine.shapes] == expected
    for frame, result in zip(frames, got, strict=True):
        np.testing.assert_allclose(result, frame.values - 10, atol=1e-3)


def test_no_memory_for_a_single_tile_is_tried_again_later(version: ModelVersion) -> None:
    with pytest.raises(RetryLater):
        Denoiser(version, FakeEngine(version, _lower(1), most=0)).denoise([_frame([[1.0]])])


def test_a_lost_device_is_not_the_images_fault(version: ModelVersion) -> None:
    def lost(x: Images) -> Images:
        raise DeviceLostError("gone")

    with pytest.raises(DeviceLostError):
        Denoiser(version, FakeEngine(version, lost)).denoise([_frame([[1.0]])])


def test_an_engine_that_prefers_batches_gets_slices_together(version: ModelVersion) -> None:
    engine = FakeEngine(version, _lower(10), batch=3)
    Denoiser(version, engine).denoise([_frame(_noisy(512, 512))] * 4)
    assert [shape[0] for shape in engine.shapes] == [3, 1]


def test_results_keep_the_order_of_frames_of_many_sizes(version: ModelVersion) -> None:
    shapes = [(4, 4), (4, 4), (2, 9), (4, 4), (1, 1), (1, 30), (30, 1)]
    frames = [_frame(_noisy(*shape, seed=seed)) for seed, shape in enumerate(shapes)]
    engine = FakeEngine(version, _lower(10), batch=4)
    got = Denoiser(version, engine).denoise(frames)
    for frame, result in zip(frames, got, strict=True):
        np.testing.assert_allclose(result, frame.values - 10, atol=1e-3)
    assert engine.shapes[0] == (2, 1, 4, 4), "neighbours of one size share a call"


@pytest.mark.parametrize("shape", [(1, 1), (1, 37), (37, 1), (3, 2), (33, 31), (64, 64)])
def test_sizes_are_padded_to_the_stride_and_cropped_again(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    version = model_version(tmp_path, tiling=TilingSpec(margin=32, stride=32))
    engine = FakeEngine(version, _lower(10))
    frame = _frame(_noisy(*shape))
    (got,) = Denoiser(version, engine).denoise([frame])
    np.testing.assert_allclose(got, frame.values - 10, atol=1e-3)
    assert all(side % 32 == 0 for side in engine.shapes[0][2:])


def test_padding_to_the_stride_reflects(tmp_path: Path) -> None:
    version = model_version(tmp_path, tiling=TilingSpec(margin=4, stride=4))
    seen: list[Images] = []

    def look(x: Images) -> Images:
        seen.append(x * 4096 - 1024)
        return np.zeros_like(x)

    Denoiser(version, FakeEngine(version, look)).denoise([_frame([[1, 2, 3, 4, 5, 6]])])
    np.testing.assert_allclose(seen[0][0, 0], [[1, 2, 3, 4, 5, 6, 5, 4]] * 4, atol=1e-3)


def test_progress_is_told_after_every_call(version: ModelVersion) -> None:
    told: list[int] = []
    Denoiser(version, FakeEngine(version, _lower(1)), tile=8).denoise(
        [_frame(_noisy(20, 8)), _frame(_noisy(3, 3))], on_progress=told.append
    )
    assert told == list(range(1, len(told) + 1))
    assert len(told) > 3


def test_of_a_large_image_it_is_told_how_many_of_its_tiles_are_done(version: ModelVersion) -> None:
    told: list[tuple[int, int]] = []
    Denoiser(version, FakeEngine(version, _lower(1)), tile=8).denoise(
        [_frame(_noisy(20, 8)), _frame(_noisy(3, 3))],
        on_tiles=lambda done, of: told.append((done, of)),
    )
    (total,) = {of for _, of in told}
    assert total > 3
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert (told[0], told[-1]) == ((0, total), (total, total))


@pytest.mark.parametrize("shape", [(20000, 3), (3, 20000), (1500, 1700)])
def test_no_call_has_more_pixels_than_a_tile(tmp_path: Path, shape: tuple[int, int]) -> None:
    version = model_version(tmp_path, tiling=TilingSpec(margin=32, stride=32))
    engine = FakeEngine(version, _lower(10))
    frame = _frame(_noisy(*shape))
    (got,) = Denoiser(version, engine, tile=512, batch=16).denoise([frame])
    np.testing.assert_allclose(got, frame.values - 10, atol=1e-3)
    assert max(n * rows * columns for n, _, rows, columns in engine.shapes) <= 512**2
    assert len(set(shape[2:] for shape in engine.shapes)) == 1, "tiles have one shape"


@pytest.mark.parametrize("network", ["convolutions", "small_unet"])
def test_tiles_leave_no_seam_in_a_real_engine(tmp_path: Path, network: str) -> None:
    model, spec = {
        "convolutions": (convolutions(), TilingSpec(margin=2, stride=1)),
        "small_unet": (small_unet(), TilingSpec(margin=6, stride=2)),
    }[network]
    version = model_version(tmp_path, network=model, tiling=spec)
    frame = _frame(_noisy(97, 61))
    with OpenVinoEngine(version) as engine:
        (whole,) = Denoiser(version, engine, tile=512).denoise([frame])
        (tiled,) = Denoiser(version, engine, tile=32).denoise([frame])
    assert np.abs(whole - frame.values).max() > 1
    np.testing.assert_allclose(tiled, whole, atol=5e-3)


def test_an_engine_of_another_model_is_refused(version: ModelVersion, tmp_path: Path) -> None:
    other = model_version(tmp_path, "other", network=convolutions(5))
    with pytest.raises(ValueError, match="other"):
        Denoiser(version, FakeEngine(other, _lower(1)))


def test_a_tile_is_at_least_what_the_model_needs(version: ModelVersion) -> None:
    denoiser = Denoiser(version, FakeEngine(version, _lower(1)), tile=2)
    assert denoiser.describe()["tile"] == "5", "two margins of 2 and a core of 1"


def test_negative_tiles_and_batches_are_refused(version: ModelVersion) -> None:
    with pytest.raises(ValueError, match="tile"):
        Denoiser(version, FakeEngine(version, _lower(1)), tile=-1)
    with pytest.raises(ValueError, match="batch"):
        Denoiser(version, FakeEngine(version, _lower(1)), batch=-1)


def test_the_record_tells_how_images_were_cut(version: ModelVersion) -> None:
    said = Denoiser(version, FakeEngine(version, _lower(1)), tile=99, batch=3).describe()
    assert (said["tile"], said["batch"], said["engine"]) == ("99", "3", "fake")


@pytest.mark.parametrize(
    ("values", "full_scale", "valid"),
    [
        (np.zeros((2, 2)), 1.0, np.ones((2, 2), bool)),
        (np.zeros(4, np.float32), 1.0, np.ones(4, bool)),
        (np.zeros((0, 4), np.float32), 1.0, np.ones((0, 4), bool)),
        (np.zeros((2, 2), np.float32), 0.0, np.ones((2, 2), bool)),
        (np.zeros((2, 2), np.float32), 1.0, np.ones((2, 3), bool)),
        (np.zeros((2, 2), np.float32), 1.0, np.ones((2, 2), np.uint8)),
    ],
)
def test_malformed_frames_are_refused(values: object, full_scale: float, valid: object) -> None:
    with pytest.raises(ValueError, match=r"frame|mask|full_scale"):
        Frame(values, full_scale, valid)  # type: ignore[arg-type]
