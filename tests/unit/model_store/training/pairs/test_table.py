from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from model_store.errors import DataError
from model_store.training.pairs.finding import find_pairs
from model_store.training.pairs.section import PairsData
from tests.support.factories.pairs import scene, write_ct, write_png


def _section(**given: Any) -> PairsData:
    base = {"kind": "pairs", "table": "lists/pairs.csv", "patient": "column"}
    return PairsData.model_validate(base | given)


def _table(folder: Path, *lines: str) -> None:
    (folder / "lists").mkdir(exist_ok=True)
    (folder / "lists" / "pairs.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name in ("a", "b", "c", "d"):
        write_png(folder / "lists" / f"{name}.png", scene())


def test_a_line_is_a_pair_relative_to_the_table(tmp_path: Path) -> None:
    _table(
        tmp_path,
        "patient, noisy, partner, split, slice",
        "Ada Phantom, a.png, b.png, training, 0",
        "",
        'Ben Phantom, "c.png", d.png, test,',
    )
    first, second = find_pairs(_section(), tmp_path).pairs
    assert (first.name, first.slice, first.side) == ("a.png and b.png, slice 0", 0, "training")
    assert (second.noisy, second.slice, second.side) == (tmp_path / "lists/c.png", None, "test")
    assert "Phantom" not in first.patient + second.patient


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["noisy,partner", "a.png,b.png"], "has no column patient"),
        (["noisy,patient", "a.png,p"], "has no column partner"),
        (["noisy,partner,patient,dose", "a.png,b.png,p,1"], "not dose"),
        (["noisy,partner,patient"], "no line after"),
        (["noisy,partner,patient", "a.png,b.png"], "line 2: has 2 values for 3 columns"),
        (["noisy,partner,patient", "a.png,x.png,p"], r"line 2: x\.png is not there"),
        (["noisy,partner,patient", "a.png,,p"], "line 2: partner is empty"),
        (["noisy,partner,patient", "a.png,b.png,"], "line 2: patient is empty"),
        (["noisy,partner,patient", "a.png,a.png,p"], "line 2: a.png: the same file on both"),
        (["noisy,partner,patient,split", "a.png,b.png,p,train"], "split is none of training"),
        (["noisy,partner,patient,slice", "a.png,b.png,p,x"], "slice is not a number"),
        (
            [
                "noisy,partner,patient,split",
                "a.png,b.png,Ada,training",
                "c.png,d.png,Ada,test",
            ],
            "line 3: split is test, but training for the same patient in line 2",
        ),
        (
            ["noisy,partner,patient,split", "a.png,b.png,p,training", "c.png,d.png,q,"],
            "split is empty in some lines",
        ),
    ],
)
def test_what_is_wrong_in_a_table_is_named_by_its_line(
    lines: list[str], message: str, tmp_path: Path
) -> None:
    _table(tmp_path, *lines)
    with pytest.raises(DataError, match=message) as told:
        find_pairs(_section(), tmp_path)
    assert "pairs.csv" in str(told.value)
    assert "Ada" not in str(told.value)


def test_a_table_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"pairs\.csv: cannot be read"):
        find_pairs(_section(), tmp_path)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "pairs.csv").write_bytes(b"\xff\xfe\x00bad")
    with pytest.raises(DataError, match="not a CSV file in UTF-8"):
        find_pairs(_section(), tmp_path)


def test_patients_of_a_table_may_be_those_of_its_dicom_files(tmp_path: Path) -> None:
    _table(tmp_path, "noisy,partner", "1.dcm,2.dcm")
    write_ct(tmp_path / "lists" / "1.dcm", scene(), PatientID="P1")
    write_ct(tmp_path / "lists" / "2.dcm", scene(), PatientID="P1")
    assert len(find_pairs(_section(patient="dicom"), tmp_path).pairs) == 1
    write_ct(tmp_path / "lists" / "2.dcm", scene(), PatientID="P2")
    with pytest.raises(DataError, match="line 2: the two files have different Patient IDs"):
        find_pairs(_section(patient="dicom"), tmp_path)
