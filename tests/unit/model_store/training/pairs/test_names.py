from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from model_store.errors import DataError
from model_store.training.pairs.finding import find_pairs
from model_store.training.pairs.section import PairsData
from tests.support.factories.pairs import scene, write_ct, write_png


def _section(**given: Any) -> PairsData:
    return PairsData.model_validate(
        {"kind": "pairs", "noisy": "low", "partner": "full", "patient": "folder"} | given
    )


def _write(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        if name.endswith(".txt"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("no image")
        else:
            write_png(folder / name, scene(number))


def test_partners_have_the_same_path_whatever_their_suffix(tmp_path: Path) -> None:
    _write(tmp_path, "low/p1/a.png", "low/p1/b.png", "low/p2/a.png", "full/p1/a.tif")
    _write(tmp_path, "full/p2/a.png", "full/p3/a.png", "full/p1/notes.txt")
    found = find_pairs(_section(), tmp_path)
    assert [pair.name for pair in found.pairs] == [
        "low/p1/a.png and full/p1/a.tif",
        "low/p2/a.png and full/p2/a.png",
    ]
    assert found.alone == ("full/p3/a.png", "low/p1/b.png")
    assert len({pair.patient for pair in found.pairs}) == 2


def test_wildcards_tell_partners_in_one_folder(tmp_path: Path) -> None:
    _write(tmp_path, "all/p/07_quarter.IMA.png", "all/p/07_full.IMA.png", "all/p/08_full.IMA.png")
    both = {"noisy": "all", "partner": "all"}
    patterns = {"noisy_pattern": "*_quarter*", "partner_pattern": "*_full*"}
    found = find_pairs(_section(**both, **patterns), tmp_path)
    assert [pair.name for pair in found.pairs] == [
        "all/p/07_quarter.IMA.png and all/p/07_full.IMA.png"
    ]
    assert found.alone == ("all/p/08_full.IMA.png",)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["low/p/a.png"], "full: no such folder"),
        (["low/p/a.png", "full/readme.txt"], r"full: no image file matches '\*'.*side.*is empty"),
        (["low/p/a.png", "full/p/b.png"], "no file of one has a partner"),
        (["low/p/a.png", "low/p/a.tif", "full/p/a.png"], "files of one side with the same name"),
        (["low/a.png", "full/a.png"], "lies in no folder of a patient"),
    ],
)
def test_sides_that_do_not_fit_are_named(names: list[str], message: str, tmp_path: Path) -> None:
    _write(tmp_path, *names)
    with pytest.raises(DataError, match=message):
        find_pairs(_section(), tmp_path)


def test_one_file_on_both_sides_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, "low/p/a.png")
    (tmp_path / "full" / "p").mkdir(parents=True)
    (tmp_path / "full" / "p" / "a.png").symlink_to(tmp_path / "low" / "p" / "a.png")
    with pytest.raises(DataError, match=r"a\.png: the same file on both sides"):
        find_pairs(_section(), tmp_path)


def test_partners_by_name_of_two_patients_are_refused(tmp_path: Path) -> None:
    write_ct(tmp_path / "low" / "1.dcm", scene(), PatientID="P1")
    write_ct(tmp_path / "full" / "1.dcm", scene(), PatientID="P2")
    with pytest.raises(DataError, match="but of two patients") as told:
        find_pairs(_section(patient="dicom"), tmp_path)
    assert "P1" not in str(told.value)
