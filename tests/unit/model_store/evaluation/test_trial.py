from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model_store.evaluation.metrics import psnr
from model_store.evaluation.session import ReleasedModel
from model_store.evaluation.trial import Case, run_filters, run_trial
from model_store.export import export_onnx
from model_store.generators.n2n_unet import N2nUnet, N2nUnetConfig
from model_store.hashing import file_sha256
from model_store.manifest import InputSpec, Manifest, TilingSpec, TrainedNoise

Floats = NDArray[np.float32]


def _score(image: Floats, reference: Floats) -> dict[str, float]:
    return {"PSNR": psnr(image, reference)}


def _case(centre: tuple[int, int], shape: tuple[int, int] = (100, 80), size: int = 40) -> Case:
    reference: Floats = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)
    reference /= 8000
    noise = np.random.default_rng(0).normal(0, 0.05, shape).astype(np.float32)
    noisy: Floats = reference + noise
    return Case("group", "name", noisy, reference, centre, _score, "PSNR", size=size)


@pytest.mark.parametrize("centre", [(50, 40), (0, 0), (99, 79)])
def test_crops_stay_inside_the_image(centre: tuple[int, int]) -> None:
    case = _case(centre)
    assert case.crop(case.reference).shape == (40, 40)


@pytest.mark.parametrize("centre", [(50, 40), (0, 0), (99, 79), (10, 79)])
def test_a_crop_with_a_margin_holds_the_crop(centre: tuple[int, int]) -> None:
    case = _case(centre)
    wide = case.crop(case.reference, 16)
    np.testing.assert_array_equal(case.inner(wide, 16), case.crop(case.reference))


def test_scores_of_the_filters_refer_to_the_same_pixels_as_the_model() -> None:
    case = _case((50, 40))
    trial = run_trial(case, lambda _image: case.reference, run_filters(case, quick=True))
    assert trial.scores["model"]["PSNR"] == np.inf
    assert trial.scores["gaussian"]["PSNR"] > trial.scores["input"]["PSNR"] + 3


def test_the_model_sees_no_more_than_the_margin_around_the_crop() -> None:
    case, seen = _case((50, 40)), []

    def model(image: Floats) -> Floats:
        seen.append(image.shape)
        return image

    trial = run_trial(case, model, margin=10)
    assert seen == [(60, 60)]
    assert trial.scores["model"] == trial.scores["input"]


def test_filter_scores_are_taken_over() -> None:
    settings = {"gaussian": {"1": {"PSNR": 12.5}}}
    trial = run_trial(_case((50, 40)), lambda image: image, settings)
    assert trial.scores["gaussian"] == {"PSNR": 12.5}
    assert set(trial.scores) == {"input", "gaussian", "model", "model-strength"}


def test_a_released_model_pads_to_its_stride_and_copies_values_out_of_range(tmp_path: Path) -> None:
    generator = N2nUnet(N2nUnetConfig(residual=True))
    torch.nn.init.constant_(generator.last.bias, 0.25)  # type: ignore[arg-type]
    export_onnx(generator, tmp_path / "model.onnx")
    Manifest(
        name="shift",
        version="1.0.0",
        system="n2n-unet",
        modality=("CT",),
        input=InputSpec(units="HU", offset=0, scale=1000, minimum=-1024, maximum=3071),
        output="residual",
        tiling=TilingSpec(margin=160, stride=32),
        trained_noise=TrainedNoise(minimum_sd=0, maximum_sd=1, description="none"),
        files={"model.onnx": file_sha256(tmp_path / "model.onnx")},
        parameters=988_609,
        macs_per_pixel=171_353,
        intended_use="Tests.",
        training_data="None.",
        licence="Apache-2.0",
    ).write(tmp_path / "manifest.json")
    image = np.full((40, 50), 10.0, np.float32)
    image[0, 0], image[5, 5] = -3024, 4000
    got = ReleasedModel(tmp_path)(image)
    assert got.shape == image.shape
    assert (got[0, 0], got[5, 5]) == (-3024, 4000)
    assert got[20, 20] == pytest.approx(260)
