"""Places of exceptions say where, and nothing of what."""

from __future__ import annotations

import re

import pytest
from pydicom.uid import UID
from pydicom.valuerep import DSfloat

from dicom_node.domain.condition import Condition
from dicom_node.ledger.plans import plan_sha256
from dicom_node.ledger.tables import BatchRow
from dicom_node.places import place_of


def test_our_own_place_is_named_by_its_file_line_and_function() -> None:
    with pytest.raises(ValueError, match="not a regular expression") as caught:
        Condition("Modality", regex="[PHI")
    assert re.fullmatch(
        r"ValueError at dicom_node/domain/condition\.py:\d+ in __post_init__",
        place_of(caught.value),
    )


def test_a_foreign_place_is_named_with_ours_that_called_it() -> None:
    with pytest.raises(TypeError) as caught:
        plan_sha256(BatchRow(plan={"strength": object()}))
    place = place_of(caught.value)
    assert re.search(r"TypeError at [^ ]+:\d+ in \w+, called from dicom_node/ledger/plans", place)


def test_the_text_of_an_exception_is_never_repeated() -> None:
    with pytest.raises(ValueError, match="PHI") as caught:
        DSfloat("PHI^MARKER")
    assert "PHI" not in place_of(caught.value)
    assert place_of(ValueError(UID("1.2.3"))) == "ValueError"
