from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model_store.errors import DataError
from model_store.evaluation.physics.edge import transfer
from model_store.evaluation.physics.fidelity import compare_with_repeats, fidelity_table
from model_store.evaluation.physics.measure import disc_mean
from model_store.evaluation.physics.repeats import (
    CTP404_PIXEL_MM,
    ctp404,
    ctp404_rods,
    low_contrast_repeats,
    low_contrast_rods,
    scanner_slices,
    uniform_repeats,
)


@pytest.mark.parametrize(
    ("kernel", "half", "tenth"), [("sharp", 0.56, 0.99), ("smooth", 0.34, 0.575)]
)
def test_rods_of_the_ctp404_module_lie_where_they_are_looked_for(
    shared_data: Path, kernel: str, half: float, tenth: float
) -> None:
    image = ctp404(shared_data, kernel)
    for rod, place in ctp404_rods():
        assert disc_mean(image, place, 6) == pytest.approx(rod.contrast, abs=1)
        if abs(rod.contrast) >= 100:
            found = transfer(image, place, 6 / CTP404_PIXEL_MM, CTP404_PIXEL_MM)
            assert found.at_level(0.5) == pytest.approx(half, rel=0.04)
            assert found.at_level(0.1) == pytest.approx(tenth, rel=0.04)


def test_rods_of_the_low_contrast_phantom_lie_where_they_are_looked_for(shared_data: Path) -> None:
    stored = np.fromfile(
        shared_data / "ct_physics" / "ct_lcd_repeats_DIDSR" / "fbp" / "ground_truth.raw", "<i2"
    )
    truth = stored.reshape(256, 256).astype(np.float32) - 1000
    for rod, (row, column) in low_contrast_rods():
        window = truth[round(row) - 16 : round(row) + 17, round(column) - 16 : round(column) + 17]
        assert window.max() == rod.contrast
        rows, columns = np.nonzero(window)
        assert rows.mean() + round(row) - 16 == pytest.approx(row, abs=0.3)
        assert columns.mean() + round(column) - 16 == pytest.approx(column, abs=0.3)


def test_repeats_are_in_hounsfield_units(shared_data: Path) -> None:
    repeats = low_contrast_repeats(shared_data, "100")
    assert repeats.absent.shape == repeats.present.shape == (10, 256, 256)
    assert repeats.absent[:, 96:160, 96:160].mean() == pytest.approx(0, abs=1)
    assert uniform_repeats(shared_data, 3)[:, 64:192, 64:192].mean() == pytest.approx(0, abs=1)


def test_the_middle_of_the_scanner_slices_is_uniform(shared_data: Path) -> None:
    for _, pixel_mm, images in scanner_slices(shared_data):
        middle = images[:, 96:160, 96:160]
        assert pixel_mm == pytest.approx(0.451, abs=0.001)
        assert middle.mean() == pytest.approx(93, abs=2)
        assert np.abs(middle - middle.mean((1, 2), keepdims=True)).max() < 6 * middle.std()


def test_simulated_noise_is_that_of_repeated_acquisitions(shared_data: Path) -> None:
    agreements = compare_with_repeats(shared_data, realisations=4)
    doses = [item for item in agreements if item.fitted == "nothing"]
    assert len(doses) == 2
    for item in doses:  # noise against dose, predicted
        assert item.deviation == pytest.approx(0, abs=0.07)
    for item in agreements:
        assert item.mean_frequency == pytest.approx(0, abs=0.06)
        assert item.peak_frequency == pytest.approx(0, abs=0.2)
        assert item.profile < 0.08
        assert item.simulated_edge == pytest.approx(item.real_edge, rel=0.1)
    table = fidelity_table(agreements)
    assert {len(row) for row in table["rows"]} == {len(table["columns"])}


def test_missing_phantoms_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="ct_physics"):
        uniform_repeats(tmp_path, 1)
    folder = tmp_path / "ct_physics" / "ct_phantom_ctrecon" / "ctp404"
    folder.mkdir(parents=True)
    (folder / "ctp404_fbp_sharp_256.raw").write_bytes(b"1234")
    with pytest.raises(DataError, match="2 values"):
        ctp404(tmp_path, "sharp")
