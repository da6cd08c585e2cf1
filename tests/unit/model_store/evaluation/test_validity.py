from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError
from scipy import ndimage

from model_store.evaluation.validity import Level, measure_validity, zero_crossing
from model_store.manifest import Manifest, Validity
from tests.support.factories.models import model_version
from tests.unit.model_store.evaluation.recipes import XRAY, recipe

Floats = NDArray[np.float32]


def _levels(*gains: float) -> list[Level]:
    """Input PSNR of 20, 30, 40 ... dB, noise 0.1, 0.0316, 0.01 ..."""
    return [
        Level(10 ** (-1 - index / 2), (20.0 + 10 * index,), (20.0 + 10 * index + gain,))
        for index, gain in enumerate(gains)
    ]


def test_the_zero_crossing_lies_between_the_levels_where_the_sign_changes() -> None:
    psnr, deviation = zero_crossing(_levels(8, 3, -1)) or (0, 0)
    assert psnr == pytest.approx(37.5)
    assert deviation == pytest.approx(10**-1.875)


def test_without_a_loss_there_is_no_crossing() -> None:
    assert zero_crossing(_levels(8, 3, 0)) is None


def test_a_model_that_always_harms_crosses_at_the_noisiest_level() -> None:
    assert zero_crossing(_levels(-1, -2, -5)) == (20.0, pytest.approx(0.1))


def test_a_gap_in_the_middle_does_not_hide_the_last_crossing() -> None:
    assert (zero_crossing(_levels(-2, 3, -3)) or (0, 0))[0] == pytest.approx(35)


@pytest.fixture
def radiographs(tmp_path: Path) -> Path:
    """One smooth 16-bit image, held out."""
    y, x = np.mgrid[0:120, 0:120]
    image = 0.5 + 0.3 * np.sin(x / 30) * np.cos(y / 40)
    (tmp_path / "xray").mkdir()
    Image.fromarray((image * 65535).astype(np.uint16)).save(tmp_path / "xray" / "a.png")
    return tmp_path


def test_a_blur_helps_noisy_images_and_harms_quiet_ones(radiographs: Path) -> None:
    def blur(image: Floats) -> Floats:
        return np.asarray(ndimage.gaussian_filter(image, 3.0), dtype=np.float32)

    validity, table = measure_validity(blur, recipe(data=XRAY), radiographs)
    assert validity.gain_curve[0][1] > 8
    assert validity.gain_curve[-1][1] < 0
    assert validity.zero_crossing_psnr is not None
    before = [level for level, gain in validity.gain_curve if gain >= 0]
    after = [level for level, gain in validity.gain_curve if gain < 0]
    assert before[-1] <= validity.zero_crossing_psnr <= after[0]
    assert "return them as they are" in validity.statement
    assert validity.trained_sd == (0, 0.12)
    assert validity.trained_psnr[0] == pytest.approx(18.4, abs=0.5)
    assert len(table["rows"]) == len(validity.gain_curve)
    marked = [row[0] for row in table["rows"] if row[-1] == "yes"]
    assert marked
    assert max(marked) <= 0.13


def test_the_input_itself_has_no_gain(radiographs: Path) -> None:
    validity, _ = measure_validity(lambda image: image, recipe(data=XRAY), radiographs, quick=True)
    assert [gain for _, gain in validity.gain_curve] == [0] * len(validity.gain_curve)
    assert validity.zero_crossing_psnr is None


def _validity(**changes: object) -> Validity:
    return Validity.model_validate(
        {
            "measure": "PSNR",
            "noise": "white",
            "images": 4,
            "gain_curve": [(20, 3), (40, -1)],
            "noise_sd": [0.1, 0.01],
            "trained_sd": (0.01, 0.1),
            "trained_psnr": (20, 40),
            "zero_crossing_psnr": 35,
            "zero_crossing_sd": 0.02,
            "statement": "Words.",
            **changes,
        }
    )


def test_the_manifest_keeps_it_and_does_without_it(tmp_path: Path) -> None:
    path = model_version(tmp_path).folder / "manifest.json"
    manifest = Manifest.read(path)
    assert manifest.validity is None
    content = json.loads(path.read_text())
    content.pop("validity", None)
    path.write_text(json.dumps(content))
    assert Manifest.read(path) == manifest
    changed = manifest.model_copy(update={"validity": _validity()})
    changed.write(path)
    assert Manifest.read(path) == changed


@pytest.mark.parametrize(
    "changes",
    [
        {"noise_sd": [0.1]},
        {"gain_curve": [(40, -1), (20, 3)]},
        {"zero_crossing_sd": None},
        {"strength": 0},
    ],
)
def test_what_contradicts_itself_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        _validity(**changes)
