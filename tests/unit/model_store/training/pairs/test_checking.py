from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from model_store.errors import DataError
from model_store.training.pairs.checking import CheckedPair, Tally, check_pairs
from model_store.training.pairs.finding import find_pairs
from model_store.training.pairs.section import PairsData
from tests.support.factories.pairs import Floats, noisy, scene, write_ct, write_nifti, write_png


def _section(**given: Any) -> PairsData:
    base = {"kind": "pairs", "noisy": "low", "partner": "full", "patient": "file"}
    return PairsData.model_validate(base | given)


def _checked(folder: Path, section: PairsData) -> tuple[list[CheckedPair], Tally]:
    tally = Tally()
    pairs = find_pairs(section, folder).pairs
    return list(check_pairs(section, "HU", pairs, tally)), tally


def _slices(folder: Path, name: str, low: Floats, full: Floats, **attributes: Any) -> None:
    write_ct(folder / "low" / name, low)
    write_ct(folder / "full" / name, full, **attributes)


def test_pairs_that_are_shifted_are_refused_by_name_and_the_rest_is_kept(tmp_path: Path) -> None:
    for number in range(6):
        moved = (3, -2) if number == 4 else (0, 0)
        low, full = noisy(scene(number), 30, 1), noisy(scene(number, shift=moved), 5, 2)
        _slices(tmp_path, f"{number}.dcm", low, full)
    found, tally = _checked(tmp_path, _section())
    assert len(found) == tally.kept == 5
    assert tally.largest_shift < 0.5
    (refused,) = tally.refused
    shifted = r"low/4\.dcm and full/4\.dcm \(shifted by [23]\.\d+ rows and -[12]\.\d+ columns\)"
    assert re.fullmatch(shifted, refused)
    tally.require(_section())
    with pytest.raises(DataError, match=r"1 of 6 pairs are refused: low/4\.dcm"):
        tally.require(_section(most_refused=0.1))
    assert len(_checked(tmp_path, _section(largest_shift=5))[0]) == 6


def test_two_scenes_are_no_pair(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for side in ("low", "full"):
        smooth = ndimage.gaussian_filter(generator.normal(0, 2000, (96, 96)), 4)
        write_ct(tmp_path / side / "1.dcm", noisy(smooth.astype(np.float32), 5, len(side)))
    found, tally = _checked(tmp_path, _section())
    assert not found
    assert tally.refused == ["low/1.dcm and full/1.dcm (no shift fits: two different scenes?)"]


def test_the_noise_is_that_of_one_image_in_soft_tissue(tmp_path: Path) -> None:
    clean = scene(1, 96)
    _slices(tmp_path, "clean", noisy(clean, 30, 1), clean)
    (against_clean,), _ = _checked(tmp_path, _section())
    assert against_clean.noise_sd == pytest.approx(30, rel=0.1)
    _slices(tmp_path, "clean", noisy(clean, 30, 1), noisy(clean, 30, 2))
    (exposures,), _ = _checked(tmp_path, _section(target="noisy"))
    assert exposures.noise_sd == pytest.approx(30, rel=0.1)


def test_volumes_are_pairs_of_their_slices_and_empty_ones_are_left_out(tmp_path: Path) -> None:
    air = np.full((64, 64), -1000, np.float32)
    volume = np.stack([air, scene(1), scene(2), air])
    low = np.stack([air, noisy(scene(1), 20, 1), noisy(scene(2), 20, 2), air])
    write_nifti(tmp_path / "low" / "p.nii.gz", low)
    write_nifti(tmp_path / "full" / "p.nii.gz", volume)
    found, tally = _checked(tmp_path, _section())
    assert [one.name.rpartition(", ")[2] for one in found] == ["slice 1", "slice 2"]
    assert (tally.kept, tally.empty) == (2, 2)
    assert np.array_equal(found[1].partner, scene(2))


@pytest.mark.parametrize(
    ("attributes", "size", "message"),
    [
        ({}, 80, "different sizes, 64 x 64 and 80 x 80"),
        ({"PixelSpacing": [0.8, 0.8]}, 64, "different pixel spacing, .* and 0.8 x 0.8 mm"),
        ({"position": 3.0}, 64, "lie at different places"),
    ],
)
def test_partners_that_cannot_show_the_same_are_errors_with_their_names(
    attributes: dict[str, Any], size: int, message: str, tmp_path: Path
) -> None:
    _slices(tmp_path, "1.dcm", noisy(scene(), 20, 1), scene(0, size), **attributes)
    with pytest.raises(DataError, match=rf"low/1\.dcm and full/1\.dcm: .*{message}") as told:
        _checked(tmp_path, _section())
    assert "\n" not in str(told.value)


def test_a_copy_on_the_other_side_is_an_error(tmp_path: Path) -> None:
    write_png(tmp_path / "low" / "a.png", scene())
    write_png(tmp_path / "full" / "a.png", scene())
    with pytest.raises(DataError, match="the same values on both sides"):
        _checked(tmp_path, _section(offset=-32768))


def test_volumes_at_other_places_are_errors(tmp_path: Path) -> None:
    write_nifti(tmp_path / "low" / "a.nii", noisy(scene(), 9, 1)[None], 0.7)
    write_nifti(tmp_path / "full" / "a.nii", scene()[None], 1.4)
    with pytest.raises(DataError, match="different pixel spacing"):
        _checked(tmp_path, _section())
