from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from model_store.training.pairs.section import PairsData

_PAGE = Path(__file__).parents[5] / "docs" / "how-to" / "train-on-your-own-pairs.md"
_FOLDERS = {"kind": "pairs", "noisy": "a", "partner": "b"}


def test_one_folder_may_hold_both_sides() -> None:
    both = _FOLDERS | {"partner": "a", "noisy_pattern": "*_low*", "partner_pattern": "*_full*"}
    assert PairsData.model_validate(both).match == "name"


def test_every_key_is_explained_where_people_look_for_it() -> None:
    page = _PAGE.read_text(encoding="utf-8")
    table = page.partition("All keys of `[data]`:")[2].partition("## ")[0]
    explained = {
        key
        for line in table.splitlines()
        for key in re.findall(r"`(\w+)`", line.split("|")[1] if line.startswith("|") else "")
    }
    assert explained == set(PairsData.model_fields)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"partner": "a"}, "the same files"),
        ({"partner": None}, "give both folders"),
        ({"table": "pairs.csv", "patient": "folder"}, 'with a table patient is "column"'),
        ({"patient": "column"}, "is a column of a table"),
        ({"patient": "dicom", "patient_pattern": "(.)"}, 'takes patient = "folder" or "file"'),
        ({"patient": "folder", "patient_pattern": "("}, "patient_pattern: "),
        ({"patient": "folder", "patient_pattern": "L"}, "needs a group"),
        ({"test": 0.7, "validation": 0.5}, "together at most 1"),
        ({"slope": 0}, "slope is 0"),
        ({"largest_shift": 0}, "greater than 0"),
        ({"paths": 1}, "Extra inputs"),
    ],
)
def test_what_contradicts_itself_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PairsData.model_validate(_FOLDERS | change)
