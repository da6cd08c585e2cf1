import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from model_store.engines.base import Engine, Images
from model_store.engines.equivalence import certify
from model_store.engines.golden import GOLDEN, Golden, golden_images, golden_outputs
from model_store.engines.openvino import OpenVinoEngine
from model_store.errors import EngineError, EngineUnavailableError, ModelIntegrityError
from model_store.manifest import InputSpec, TilingSpec
from model_store.store import ModelVersion, packaged_zoo
from tests.support.factories.models import HU, STORED, convolutions, drl_version, model_version

_PACKAGED = sorted(path.parent for path in packaged_zoo().glob("*/*/manifest.json"))


class Recorded(Engine):
    """Gives the recorded outputs of recorded images, and something beside."""

    def __init__(self, version: ModelVersion, golden: Golden, beside: float = 0.0) -> None:
        super().__init__(version.ref, name="recorded", precision="f32", device="here")
        self._golden = golden
        self._beside = np.float32(beside)

    def _run(self, images: Images) -> Images:
        index = int(np.argmax((self._golden.images == images).all(axis=(1, 2, 3))))
        made = self._golden.outputs[index : index + 1].copy()
        made[..., 0, 0] += self._beside
        return made

    def close(self) -> None:
        pass


def _golden(count: int = 2, side: int = 8) -> Golden:
    made = np.random.default_rng(1).random((2, count, 1, side, side), dtype=np.float32)
    return Golden(made[0], made[1])


def _with_golden(root: Path, data: bytes, **changes: Any) -> ModelVersion:
    network = convolutions().SerializeToString()
    files = {
        name: hashlib.sha256(held).hexdigest()
        for name, held in {"model.onnx": network, GOLDEN: data}.items()
    }
    version = model_version(root, network=network, files=files, **changes)
    (version.folder / GOLDEN).write_bytes(data)
    return version


def test_golden_outputs_are_read_as_they_were_written(tmp_path: Path) -> None:
    golden = _golden()
    found = golden_outputs(_with_golden(tmp_path, golden.encode()))
    assert found is not None
    np.testing.assert_array_equal(found.images, golden.images)
    np.testing.assert_array_equal(found.outputs, golden.outputs)


def test_a_version_may_have_none(tmp_path: Path) -> None:
    assert golden_outputs(model_version(tmp_path)) is None


def test_a_changed_golden_file_is_found(tmp_path: Path) -> None:
    version = _with_golden(tmp_path, _golden().encode())
    (version.folder / GOLDEN).write_bytes(_golden(side=16).encode())
    with pytest.raises(ModelIntegrityError, match="sha256"):
        golden_outputs(version)


@pytest.mark.parametrize(
    "tensors",
    [
        {"images": np.zeros((1, 1, 8, 8), np.float32)},
        {"images": np.zeros((1, 1, 8, 8)), "outputs": np.zeros((1, 1, 8, 8))},
        {name: np.zeros((0, 1, 8, 8), np.float32) for name in ("images", "outputs")},
        {name: np.zeros((1, 2, 8, 8), np.float32) for name in ("images", "outputs")},
        {name: np.zeros((8, 8), np.float32) for name in ("images", "outputs")},
        {name: np.zeros((1, 1, 8, 9), np.float32) for name in ("images", "outputs")},
        {name: np.full((1, 1, 8, 8), np.nan, np.float32) for name in ("images", "outputs")},
        {
            "images": np.zeros((1, 1, 8, 8), np.float32),
            "outputs": np.zeros((2, 1, 8, 8), np.float32),
        },
    ],
    ids=["one", "float64", "empty", "channels", "rank", "stride", "nan", "shapes"],
)
def test_a_golden_file_of_other_tensors_is_refused(tmp_path: Path, tensors: Any) -> None:
    version = _with_golden(tmp_path, save(tensors), tiling=TilingSpec(margin=2, stride=2))
    with pytest.raises(ModelIntegrityError, match=r"golden\.safetensors"):
        golden_outputs(version)


def test_a_golden_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    version = _with_golden(tmp_path, _golden().encode()[:-5])
    with pytest.raises(ModelIntegrityError, match="damaged"):
        golden_outputs(version)


@pytest.mark.parametrize(
    ("spec", "unit", "units"), [(HU, 4096, "HU"), (STORED, 4095, "grey levels of 12 bits")]
)
def test_a_certificate_is_in_units_of_the_image(
    tmp_path: Path, spec: InputSpec, unit: float, units: str
) -> None:
    golden = _golden(count=2, side=8)
    version = _with_golden(tmp_path, golden.encode(), input_spec=spec)
    exact = certify(version, Recorded(version, golden), 1.0)
    assert (exact.largest, exact.mean, exact.rms, exact.images) == (0, 0, 0, 2)
    assert exact.passed
    found = certify(version, Recorded(version, golden, -3 / unit), 2.5)
    assert (found.limit, found.units, found.images) == (2.5, units, 2)
    assert found.largest == pytest.approx(3, rel=1e-3)
    assert found.mean == pytest.approx(3 / 64, rel=1e-3)
    assert found.rms == pytest.approx(3 / 8, rel=1e-3)
    assert not found.passed
    assert units in str(found)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_never_certified(tmp_path: Path, value: float) -> None:
    golden = _golden()
    version = _with_golden(tmp_path, golden.encode())
    found = certify(version, Recorded(version, golden, value), np.finfo(np.float64).max)
    assert found.largest == found.mean == found.rms == np.inf
    assert not found.passed


def test_an_engine_of_another_version_is_not_certified(tmp_path: Path) -> None:
    version = _with_golden(tmp_path, _golden().encode())
    other = model_version(tmp_path, "other")
    with pytest.raises(EngineError, match="says nothing about"):
        certify(version, Recorded(other, _golden()))


def test_without_golden_outputs_torch_judges(tmp_path: Path) -> None:
    version = drl_version(tmp_path)
    zero = Golden(golden_images(version.manifest), np.zeros((3, 1, 256, 256), np.float32))
    assert certify(version, Recorded(version, zero)).images == 3


def test_without_golden_outputs_and_torch_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    version = model_version(tmp_path)
    with pytest.raises(EngineUnavailableError, match=r"golden.*train"):
        certify(version, Recorded(version, _golden()))


@pytest.mark.parametrize("folder", _PACKAGED, ids=lambda folder: folder.parent.name)
def test_packaged_versions_run_as_they_were_released(folder: Path) -> None:
    version = ModelVersion.open(folder)
    golden = golden_outputs(version)
    assert golden is not None
    assert golden.images.shape == (3, 1, 256, 256)
    np.testing.assert_allclose(golden.images, golden_images(version.manifest), atol=1e-5)
    with OpenVinoEngine(version) as engine:
        assert certify(version, engine, 0.1).passed
