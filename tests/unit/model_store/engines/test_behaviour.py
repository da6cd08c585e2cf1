from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from model_store.engines.behaviour import check_behaviour
from model_store.engines.golden import Golden, golden_images
from model_store.engines.openvino import OpenVinoEngine
from model_store.errors import BehaviourError
from model_store.manifest import InputSpec, TilingSpec
from model_store.store import ModelVersion, packaged_zoo
from tests.support.factories.models import STORED, convolutions, model_version, small_unet

WIDE = TilingSpec(margin=6, stride=2)


def _check(root: Path, network: onnx.ModelProto, **manifest: Any) -> None:
    version = model_version(root, network=network, **manifest)
    with OpenVinoEngine(version, threads=1) as engine:
        check_behaviour(engine, version.manifest)


@pytest.mark.parametrize("units", [{}, {"input_spec": STORED}])
def test_a_truthful_manifest_passes(tmp_path: Path, units: dict[str, Any]) -> None:
    _check(tmp_path, small_unet(amplitude=0.002), tiling=WIDE, **units)


def test_a_stride_that_is_none_shows(tmp_path: Path) -> None:
    with pytest.raises(BehaviourError, match="stride 1"):
        _check(tmp_path, small_unet(amplitude=0.002), tiling=TilingSpec(margin=6, stride=1))


def test_a_margin_that_is_too_small_shows(tmp_path: Path) -> None:
    with pytest.raises(BehaviourError, match="margin of 1 "):
        _check(tmp_path, convolutions(amplitude=0.01), tiling=TilingSpec(margin=1, stride=1))


def test_a_released_version_whose_margin_is_one_too_small_shows() -> None:
    version = ModelVersion.open(packaged_zoo() / "drl-ct" / "1.0.0")
    assert version.manifest.tiling == TilingSpec(margin=17, stride=1)
    lying = version.manifest.model_copy(update={"tiling": TilingSpec(margin=16, stride=1)})
    with OpenVinoEngine(version, threads=2) as engine:
        check_behaviour(engine, version.manifest)
        with pytest.raises(BehaviourError, match=r"margin of 16 .* 0\.05 at most"):
            check_behaviour(engine, lying)


def test_reduced_precision_may_round_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faint = convolutions(amplitude=1e-5)
    version = model_version(tmp_path, network=faint, tiling=TilingSpec(margin=1, stride=1))
    with OpenVinoEngine(version, threads=1) as engine:
        with pytest.raises(BehaviourError, match="margin of 1 "):
            check_behaviour(engine, version.manifest)
        monkeypatch.setattr(engine, "_precision", "bf16")
        check_behaviour(engine, version.manifest)


def test_a_residual_that_calls_itself_an_image_shows(tmp_path: Path) -> None:
    with pytest.raises(BehaviourError, match="output = 'image'"):
        _check(tmp_path, small_unet(amplitude=0.002), tiling=WIDE, output="image")


def test_an_image_that_calls_itself_a_residual_shows(tmp_path: Path) -> None:
    network = small_unet(amplitude=0.002)
    network.graph.node[-1].output[0] = "r"
    network.graph.node.append(helper.make_node("Add", ["r", "x"], ["y"]))
    _check(tmp_path / "true", network, tiling=WIDE, output="image")
    with pytest.raises(BehaviourError, match="output = 'residual'"):
        _check(tmp_path / "false", network, tiling=WIDE)


def test_values_that_are_not_finite_show(tmp_path: Path) -> None:
    with pytest.raises(BehaviourError, match="not finite"):
        _check(tmp_path, convolutions(amplitude=5e37))


LUNG = InputSpec(units="HU", offset=0.0, scale=1024.0, minimum=-1024.0, maximum=3071.0)


@pytest.mark.parametrize(
    "said",
    [
        {"minimum": -10.0, "maximum": 10.0},
        {"scale": 1.0},
        {"offset": 100_000.0},
        {"units": "stored", "minimum": 0.0, "maximum": 1.0, "scale": 1.0},
    ],
    ids=["range", "scale", "offset", "units"],
)
def test_units_and_normalisation_other_than_those_it_was_released_with_show(
    tmp_path: Path, said: dict[str, Any]
) -> None:
    true = model_version(tmp_path / "true", input_spec=LUNG)
    images = golden_images(true.manifest)
    released = Golden(images, np.zeros_like(images))
    false = model_version(tmp_path / "false", input_spec=LUNG.model_copy(update=said))
    with OpenVinoEngine(true, threads=1) as engine:
        check_behaviour(engine, true.manifest, released)
    with (
        OpenVinoEngine(false, threads=1) as engine,
        pytest.raises(BehaviourError, match="images that it was released with"),
    ):
        check_behaviour(engine, false.manifest, released)
