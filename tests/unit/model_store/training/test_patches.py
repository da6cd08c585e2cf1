from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_store.errors import DataError
from model_store.training.ct_patches import CtPatches, NoisySlice, prepare_ct, simulate
from model_store.training.patches import Batch, PatchSource
from model_store.training.recipe import CtData, CtSource, InputSection, XrayData, XraySource
from model_store.training.references import CtSlice, block_mean, read_ct_folder
from model_store.training.xray_patches import XrayPatches, prepare_xray

_CT = CtData(kind="ct", sources=(CtSource(folder="a"),), realisations=2)
_XRAY = XrayData(
    kind="xray",
    sources=(XraySource(folder="images", pattern="*.png", scales=(1,)),),
    held_out=("held.png",),
)
_HU = InputSection(units="HU", offset=0, scale=1024)


def _slice(size: int = 96) -> CtSlice:
    y, x = np.mgrid[:size, :size] - size // 2
    body = np.where(x * x + y * y < (0.42 * size) ** 2, 40.0, -1000.0).astype(np.float32)
    valid = x * x + y * y < (0.5 * size) ** 2
    return CtSlice(np.where(valid, body, -1024).astype(np.float32), valid, 2.0)


def _ct(seed: int = 0) -> CtPatches:
    slices = [simulate(_slice(), 2, np.random.default_rng(1))]
    return CtPatches(slices, _CT, _HU, batch=4, patch=32, seed=seed)


def _xray(seed: int = 0) -> XrayPatches:
    image = np.random.default_rng(2).random((64, 48)).astype(np.float32)
    return XrayPatches([image], _XRAY, batch=4, patch=32, seed=seed)


def _equal(one: Batch, other: Batch) -> bool:
    return np.array_equal(one.noisy, other.noisy) and np.array_equal(one.target, other.target)


@pytest.mark.parametrize("make", [_ct, _xray])
def test_a_batch_depends_on_seed_and_step_alone(make: type[PatchSource]) -> None:
    one, other = make(), make()
    one.batch(0)
    assert _equal(one.batch(7), other.batch(7))
    assert not _equal(one.batch(8), other.batch(7))
    assert not _equal(make(1).batch(7), other.batch(7))  # type: ignore[call-arg]


@pytest.mark.parametrize("make", [_ct, _xray])
def test_batches_are_float32_planes_with_a_weight_each(make: type[PatchSource]) -> None:
    batch = make().batch(0)
    assert batch.noisy.shape == batch.target.shape == (4, 1, 32, 32)
    assert batch.weight.shape == (4, 1, 1, 1)
    assert {part.dtype for part in (batch.noisy, batch.target, batch.weight)} == {
        np.dtype(np.float32)
    }
    assert ((batch.weight > 0) & (batch.weight <= 1)).all()


def test_antithetic_patches_differ_in_the_sign_of_their_noise_alone() -> None:
    slices = [simulate(_slice(), 2, np.random.default_rng(1))]
    data = _CT.model_copy(update={"antithetic": True})
    batch = CtPatches(slices, data, _HU, batch=4, patch=32, seed=0).batch(3)
    one, other = batch.noisy[::2] - batch.target[::2], batch.noisy[1::2] - batch.target[1::2]
    assert np.array_equal(batch.target[::2], batch.target[1::2])
    assert np.array_equal(batch.weight[::2], batch.weight[1::2])
    body = batch.target[::2] > -0.5  # air is cut off at the lowest value now and then
    assert np.allclose(one[body], -other[body], atol=1e-4)
    assert one[body].std() > 0.001


def test_simulated_noise_has_unit_deviation_in_tissue_and_none_in_padding() -> None:
    item = _slice()
    noise = simulate(item, 2, np.random.default_rng(3)).noise.astype(np.float32)
    assert noise[:, 32:64, 32:64].std() == pytest.approx(1, rel=0.3)
    assert not noise[:, ~item.valid].any()
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.2


def test_quiet_patches_are_drawn_too_and_the_range_is_kept() -> None:
    source = _ct()
    levels = []
    for step in range(40):
        batch = source.batch(step)
        levels += list(10 * np.sqrt(1 / batch.weight.ravel() - 1))
    assert min(levels) < _CT.minimum_sd
    assert 0.6 * _CT.maximum_sd < max(levels) <= _CT.maximum_sd * 1.001


def test_a_patch_larger_than_an_image_is_refused() -> None:
    item = NoisySlice(np.zeros((16, 64), np.float32), np.zeros((1, 16, 64), np.float16))
    with pytest.raises(DataError, match="at least 32 rows"):
        CtPatches([item], _CT, _HU, batch=1, patch=32, seed=0)


def test_held_out_radiographs_are_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    Image.fromarray(np.full((40, 40), 51, np.uint8)).save(folder / "a.png")
    (folder / "held.png").write_bytes(b"not an image: reading it would fail")
    (image,) = prepare_xray(_XRAY, tmp_path)
    assert np.allclose(image, 0.2)


def test_block_mean_averages_and_drops_what_is_left_over() -> None:
    image = np.arange(20, dtype=np.float32).reshape(4, 5)
    assert block_mean(image, 2).tolist() == [[3, 5], [13, 15]]


def test_folders_without_images_are_data_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file matches \*\.dcm"):
        read_ct_folder(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "broken.dcm").write_bytes(b"\0" * 200)
    with pytest.raises(DataError, match="not a readable CT image"):
        prepare_ct(_CT, tmp_path, tmp_path / "cache", 0)


def test_the_noise_of_a_scanned_phantom_is_of_the_kernel_that_made_its_edges(
    tmp_path: Path,
) -> None:
    data = _CT.model_copy(update={"scanned_phantoms": 2, "sources": ()})
    phantoms = prepare_ct(data, tmp_path, tmp_path / "cache", 6)
    assert len(phantoms) == 2
    first = phantoms[0]
    ends = [_band(noise) for noise in first.noise]
    assert ends[0] == ends[1] < 0.5, "a soft kernel, which ends its band before the pixels do"
    frequency, power = _spectrum(first.clean)
    beyond = power[frequency > ends[0] + 0.04].sum()
    assert beyond < 1e-4 * power.sum(), "but for overshoot that is clipped at -1024 HU"


def _spectrum(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequency in cycles per pixel, and power, without the mean."""
    values = np.asarray(image, np.float64)
    window = np.hanning(len(values))
    power = np.abs(np.fft.rfft2((values - values.mean()) * window[:, None] * window)) ** 2
    return np.hypot(np.fft.fftfreq(len(values))[:, None], np.fft.rfftfreq(len(values))[None]), power


def _band(image: np.ndarray) -> float:
    """Frequency beyond which there is next to nothing."""
    frequency, power = _spectrum(image)
    rings = np.bincount((frequency * 50).astype(int).ravel(), power.ravel())
    return float(np.flatnonzero(rings > 1e-7 * rings.max())[-1] / 50)


def test_a_zoomed_radiograph_keeps_its_size_and_values() -> None:
    image = np.tile(np.linspace(0, 1, 96, dtype=np.float32), (96, 1))
    data = XrayData.model_validate(
        {
            "kind": "xray",
            "sources": [{"folder": "a"}],
            "curves": False,
            "zoom": [0.5, 2.0],
            "noise": {"kind": "awgn", "psnr": 200.0},
        }
    )
    source = XrayPatches([image], data, batch=16, patch=32, seed=0)
    patches = source.batch(0).target
    assert patches.shape == (16, 1, 32, 32)
    steps = [float(np.ptp(patch)) * 95 / 31 for patch in patches[:, 0]]
    assert 0.45 < min(steps) < 0.8, "some are enlarged"
    assert 1.25 < max(steps) < 2.1, "some are reduced"
    assert patches.min() >= -1e-6
    with pytest.raises(ValueError, match="the least and the greatest"):
        XrayData.model_validate({"kind": "xray", "sources": [{"folder": "a"}], "zoom": [2, 0.5]})
