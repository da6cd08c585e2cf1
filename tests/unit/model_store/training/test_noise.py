from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from model_store.evaluation.metrics import psnr
from model_store.training.ct_patches import CtPatches, NoisySlice
from model_store.training.noise import (
    AwgnNoise,
    PoissonGaussianNoise,
    PoissonNoise,
    WhiteNoise,
    ordered_pairs,
    white_noise,
)
from model_store.training.recipe import CtData, CtSource, InputSection, XrayData, XraySource
from model_store.training.xray_patches import XrayPatches

_UNIT_HU = InputSection(units="HU", offset=1024, scale=4096)


def _image(size: int = 512) -> NDArray[np.float32]:
    return np.random.default_rng(0).uniform(0.1, 0.9, (size, size)).astype(np.float32)


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (AwgnNoise(kind="awgn", psnr=24.44), 24.44),
        (AwgnNoise(kind="awgn", psnr=18.66), 18.66),
        (AwgnNoise(kind="awgn", minimum_sd=0.06, maximum_sd=0.06), 24.44),
        (PoissonNoise(kind="poisson", psnr=29.91), 29.91),
        (PoissonNoise(kind="poisson", psnr=24.15), 24.15),
        (PoissonNoise(kind="poisson", psnr=24.15, electronic_share=0.1), 24.15),
    ],
)
def test_noise_has_the_level_that_its_section_states(section: WhiteNoise, expected: float) -> None:
    clean = _image()
    draw = white_noise(section, float(clean.mean()), np.random.default_rng(1))
    assert psnr(draw(clean), clean) == pytest.approx(expected, abs=0.05)


def test_levels_are_those_of_the_publications() -> None:
    assert AwgnNoise(kind="awgn", psnr=24.44).range_sd[0] == pytest.approx(0.0600, abs=5e-5)
    assert AwgnNoise(kind="awgn", psnr=18.66).range_sd[0] == pytest.approx(0.1167, abs=5e-5)


def test_two_draws_of_one_patch_share_their_level_and_nothing_else() -> None:
    clean = np.full((128, 128), 0.5, np.float32)
    section = PoissonGaussianNoise(kind="poisson-gaussian")
    draw = white_noise(section, 0.5, np.random.default_rng(2))
    one, other = draw(clean) - clean, draw(clean) - clean
    assert one.std() == pytest.approx(other.std(), rel=0.05)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.05
    assert section.range_sd[0] * 0.95 < one.std() < section.range_sd[1] * 1.05


def test_three_realisations_make_six_ordered_pairs() -> None:
    assert ordered_pairs(3) == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    assert ordered_pairs(1) == []


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"psnr": 20, "minimum_sd": 0.1, "maximum_sd": 0.2},
        {"minimum_sd": 0.1},
        {"minimum_sd": 0.2, "maximum_sd": 0.1},
    ],
)
def test_white_noise_is_stated_in_one_way(content: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        AwgnNoise(kind="awgn", **content)


def _ct(**content: object) -> CtPatches:
    # a flat slice whose three realisations tell themselves apart
    noise = np.stack([np.full((64, 64), value, np.float16) for value in (1, 2, 3)])
    data = CtData.model_validate(
        {"kind": "ct", "sources": [CtSource(folder="a")], "realisations": 3, **content}
    )
    slices = [NoisySlice(np.full((64, 64), 40, np.float32), noise)]
    return CtPatches(slices, data, _UNIT_HU, batch=16, patch=32, seed=5)


def test_noisy_targets_of_ct_are_another_realisation_of_the_same_level() -> None:
    source = _ct(target="noisy", minimum_sd=10, maximum_sd=10.001, quiet_share=0)
    found = set()
    for step in range(8):
        batch = source.batch(step)
        for noisy, target in zip(batch.noisy, batch.target, strict=True):
            levels = [round(float(part.mean() * 4096 - 1024 - 40) / 10) for part in (noisy, target)]
            found.add((levels[0] - 1, levels[1] - 1))
    assert found == set(ordered_pairs(3))


def test_white_noise_of_ct_is_stated_on_4096_hounsfield_units() -> None:
    source = _ct(noise={"kind": "awgn", "psnr": 24.44}, target="noisy")
    batch = source.batch(0)
    clean = (40 + 1024) / 4096
    assert psnr(batch.noisy, np.full_like(batch.noisy, clean)) == pytest.approx(24.44, abs=0.2)
    assert psnr(batch.target, batch.noisy) == pytest.approx(24.44 - 10 * np.log10(2), abs=0.2)
    assert np.allclose(source.validation(0).target, clean)
    assert source.batch(1).noisy.max() != source.validation(1).noisy.max()


def test_radiographs_are_as_stored_without_curves_and_poisson_refers_to_the_whole_image() -> None:
    image = np.full((128, 128), 0.4, np.float32)
    image[:, 64:] = 0.8
    data = XrayData.model_validate(
        {
            "kind": "xray",
            "sources": [XraySource(folder="a")],
            "noise": {"kind": "poisson", "psnr": 29.91},
            "curves": False,
        }
    )
    batch = XrayPatches([image], data, batch=32, patch=32, seed=0).batch(0)
    assert set(np.unique(batch.target)) <= {np.float32(0.4), np.float32(0.8)}
    assert (batch.weight == 1).all()
    noise = batch.noisy - batch.target
    quanta = 0.6 * 10**2.991  # counts at a value of 1 that give 29.91 dB over a mean of 0.6
    for value in (0.4, 0.8):
        found = noise[batch.target == np.float32(value)].std()
        assert found == pytest.approx((value / quanta) ** 0.5, rel=0.05)


def test_a_noisy_target_takes_two_realisations() -> None:
    with pytest.raises(ValidationError, match="two realisations"):
        CtData(kind="ct", sources=(CtSource(folder="a"),), realisations=1, target="noisy")
