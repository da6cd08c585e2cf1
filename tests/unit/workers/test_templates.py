"""Series Number and Series Description of results hold in DICOM whatever the source says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicom_node.settings import RouteSettings
from model_store.ref import ModelRef
from workers.templates import series_labels

MODEL = ModelRef("drl-ct", "1.2.3", "0" * 64)
ROUTE = RouteSettings(name="ct", model="drl-ct@production", destinations=("pacs",))


def labels(dataset: Dataset, description: str = "", number: str = "") -> tuple[str, int]:
    plan = {
        "series_description": description or ROUTE.series_description,
        "series_number": number or ROUTE.series_number,
        "strength": 0.7,
    }
    return series_labels(dataset, plan, "ct", MODEL)


def header(description: Any = None, number: Any = None) -> Dataset:
    dataset = Dataset()
    dataset.Modality = "CT"
    if description is not None:
        dataset.SeriesDescription = description
    if number is not None:
        dataset.SeriesNumber = number
    return dataset


@pytest.mark.parametrize(
    ("number", "wanted"),
    [(3, 9003), (1234, 91234), (0, 9000), (None, 9000), (-5, 9000), (2**31 - 1, 9000)],
)
def test_the_default_number(number: int | None, wanted: int) -> None:
    assert labels(header("Axial", number))[1] == wanted


def test_the_default_description_names_the_source_and_the_model() -> None:
    assert labels(header("Axial 1.25mm", 3))[0] == "Axial 1.25mm denoised drl-ct"
    assert labels(header())[0] == "denoised drl-ct"


def test_every_field_can_be_used() -> None:
    template = "{SeriesDescription}|{SeriesNumber}|{Modality}|{model}|{version}|{route}|{strength}"
    assert labels(header("A", 3), template)[0] == "A|3|CT|drl-ct|1.2.3|ct|0.7"


@pytest.mark.parametrize(
    ("template", "number", "wanted"),
    [
        ("{SeriesNumber}", 0, 0), ("{SeriesNumber}", 1, 1), ("{SeriesNumber}", -1, 9000),
        ("{SeriesNumber}", 2**31 - 1, 2**31 - 1), ("1{SeriesNumber}", 2**31 - 1, 9000),
        ("2147483647", 3, 2147483647), ("2147483648", 3, 9000), ("{Modality}", 3, 9000),
        ("7 ", 3, 9000), ("{SeriesNumber:05d}", 3, 3), ("\u0667", 3, 9000),
    ],
)  # fmt: skip
def test_a_number_is_one_that_dicom_has_or_the_default(
    template: str, number: int, wanted: int
) -> None:
    assert labels(header("Axial", number), number=template)[1] == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("A\\B", "A B denoised drl-ct"),
        ("A\tB\nC", "A B C denoised drl-ct"),
        ("  A   B  ", "A B denoised drl-ct"),
        ("x" * 64, "x" * 64),
        ("x" * 63, "x" * 63),
        ("x" * 62, "x" * 62 + " d"),
    ],
)
def test_a_description_is_one_line_of_64_characters(text: str, wanted: str) -> None:
    dataset = header(number=3)
    dataset.add_new("SeriesDescription", "LT", text)
    assert labels(dataset)[0] == wanted


@given(st.text(max_size=80), st.integers(-(2**31), 2**31 - 1))
def test_labels_are_valid_whatever_the_source_holds(text: str, number: int) -> None:
    dataset = header(number=number)
    dataset.add_new("SeriesDescription", "LT", text)
    description, made = labels(dataset)
    assert len(description) <= 64
    assert "\\" not in description
    assert description.isprintable()
    assert 0 <= made < 2**31
