from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from model_store.errors import DataError
from model_store.training.pairs.patients import bare_name, patient_of
from model_store.training.pairs.section import PairsData
from tests.support.factories.pairs import scene, write_ct, write_png


def _section(**given: Any) -> PairsData:
    return PairsData.model_validate({"kind": "pairs", "noisy": "a", "partner": "b"} | given)


def test_a_pattern_finds_one_patient_in_several_folders() -> None:
    section = _section(patient="folder", patient_pattern=r"^(\d+)_")
    root = Path("deep")
    one, same, other = (
        patient_of(section, root / name / "109.png", root)
        for name in ("000001_01_01", "000001_02_03", "000002_01_01")
    )
    assert one == same != other
    with pytest.raises(DataError, match="finds no patient in the folder's name"):
        patient_of(section, root / "x" / "1.png", root)


def test_a_file_may_be_a_patient() -> None:
    section, root = _section(patient="file"), Path("r")
    found = [patient_of(section, root / name, root) for name in ("p1.nii.gz", "x/p1.nii", "p2.nii")]
    assert found[0] == found[1] != found[2]
    assert bare_name("1.2.840.3") == "1.2.840.3"


@pytest.mark.parametrize("identifier", ["", "Anonymous", "ANON ", "de-identified"])
def test_a_patient_id_of_everybody_tells_nobody_apart(identifier: str, tmp_path: Path) -> None:
    path = write_ct(tmp_path / "a", scene(), PatientID=identifier)
    with pytest.raises(DataError, match="what anonymising gives to everybody"):
        patient_of(_section(), path, tmp_path)


def test_a_picture_has_no_patient_id(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'PNG holds no Patient ID; state data\.patient = "folder"'):
        patient_of(_section(), write_png(tmp_path / "a.png", scene()), tmp_path)


def test_no_identifier_is_in_what_stands_for_a_patient(tmp_path: Path) -> None:
    found = patient_of(_section(), write_ct(tmp_path / "a", scene(), PatientID="Q77"), tmp_path)
    assert "Q77" not in found
    assert found != patient_of(_section(), write_ct(tmp_path / "b", scene()), tmp_path)
