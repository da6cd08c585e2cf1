"""What is said of a model on pairs is true of pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model_store.errors import DataError, RecipeError
from model_store.evaluation.groups import Group
from model_store.evaluation.margins import margins
from model_store.evaluation.pairs import CLEAN, NOISY, pair_cases, read_section
from model_store.evaluation.papers import arm_of
from model_store.evaluation.trial import Trial, run_trial
from model_store.training.pairs.section import PairsData
from tests.support.factories.pairs import noisy, scene, write_ct, write_nifti
from tests.unit.model_store.evaluation.recipes import recipe

Floats = NDArray[np.float32]
_NOISE = 40.0


def _section(**given: Any) -> PairsData:
    base = {"kind": "pairs", "noisy": "low", "partner": "full", "validation": 0, "test": 1}
    return PairsData.model_validate(base | {"patient": "file"} | given)


def _exposures(folder: Path, count: int = 3) -> list[Floats]:
    clean = [scene(number, 128) for number in range(count)]
    for number, image in enumerate(clean):
        for side, name in enumerate(("low", "full")):
            write_ct(folder / name / f"{number}.dcm", noisy(image, _NOISE, 10 * number + side))
    return clean


def _means(section: PairsData, folder: Path, model: Any) -> dict[str, dict[str, float]]:
    cases, _ = pair_cases(section, "HU", folder)
    (group,) = Group.of([run_trial(case, model) for case in cases])
    return {
        method: {metric: group.mean(method, metric) or 0.0 for metric in group.metrics}
        for method in ("input", "model")
    }


def test_against_another_exposure_the_noise_said_is_that_of_the_result_alone(
    tmp_path: Path,
) -> None:
    clean = _exposures(tmp_path)

    def perfect(image: Floats) -> Floats:
        return min(clean, key=lambda one: float(np.square(one - image).mean()))

    section = _section(target="noisy")
    best, nothing = _means(section, tmp_path, perfect), _means(section, tmp_path, lambda x: x)
    assert best["input"]["noise HU"] == pytest.approx(_NOISE, rel=0.05)
    assert nothing["model"]["noise HU"] == pytest.approx(_NOISE, rel=0.05)
    assert best["model"]["noise HU"] < 0.15 * _NOISE
    gain = best["model"]["PSNR 4096 HU"] - best["input"]["PSNR 4096 HU"]
    assert gain == pytest.approx(3, abs=0.3), "half of the squared difference is the other's noise"


def test_each_exposure_is_measured_against_the_other_and_the_note_says_so(tmp_path: Path) -> None:
    _exposures(tmp_path)
    cases, measured = pair_cases(_section(target="noisy"), "HU", tmp_path)
    names = [(case.group, case.name) for case in cases]
    assert len(names) == 6
    assert names[:2] == [
        (NOISY, "patient 1, pair 1"),
        (NOISY, "patient 1, pair 1, other way"),
    ]
    assert measured.note.startswith("Pairs: 3; patients, all for the test: 3;")
    assert "its noise is in every score" in measured.note


def test_refused_pairs_are_counted_and_no_path_is_in_what_a_card_shows(tmp_path: Path) -> None:
    for number in range(6):
        write_ct(tmp_path / "low" / f"{number}.dcm", noisy(scene(number, 128), 30, 1))
        moved = scene(number, 128, (4, 4) if number == 2 else (0, 0))
        write_ct(tmp_path / "full" / f"{number}.dcm", noisy(moved, 3, 2))
    write_ct(tmp_path / "full" / "alone.dcm", scene())
    cases, measured = pair_cases(_section(), "HU", tmp_path)
    assert {case.group for case in cases} == {CLEAN}
    assert "Refused: 1. Files without a partner: 1." in measured.note
    assert ".dcm" not in measured.note
    assert "low/2.dcm" in measured.tally.refused[0]
    with pytest.raises(DataError, match="none is for test"):
        pair_cases(_section(test=0), "HU", tmp_path)


def test_every_patient_has_a_share_of_what_is_measured(tmp_path: Path) -> None:
    volume = np.stack([scene(number) for number in range(20)])
    for patient in ("a", "b", "c"):
        write_nifti(tmp_path / "low" / f"{patient}.nii", volume + 5)
        write_nifti(tmp_path / "full" / f"{patient}.nii", volume)
    cases, _ = pair_cases(_section(), "HU", tmp_path)
    patients = [case.name.partition(",")[0] for case in cases]
    assert [patients.count(f"patient {number}") for number in (1, 2, 3)] == [8, 8, 8]


def test_a_file_without_pairs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pairs.toml"
    path.write_text('[data]\nkind = "ct"\n')
    with pytest.raises(RecipeError, match=r"has no \[data\] of kind"):
        read_section(path)
    path.write_text('[data]\nkind = "pairs"\nnoisy = "a"\n')
    with pytest.raises(RecipeError, match=r"pairs\.toml: .*give both folders"):
        read_section(path)


def test_pairs_of_own_are_held_against_filters_and_against_no_publications_figures() -> None:
    content = {"kind": "pairs", "noisy": "a", "partner": "b"}
    own = recipe(data=content)
    scores = {name: {"PSNR": value} for name, value in (("model", 30.0), ("gaussian", 29.0))}
    settings = {"gaussian": {"1": {"PSNR": 29.0}}}
    trial = Trial(CLEAN, "patient 1, pair 1", "PSNR", scores, settings)
    result = margins(Group.of([trial]), own, {"iterations": 5})
    assert "+1.0 to +1.0 dB, ahead in 1 of 1" in result["statement"]
    assert "no publication shares" in result["statement"]
    found = arm_of(own)
    assert found is not None
    assert not CLEAN.startswith(found[0].condition or "?")
