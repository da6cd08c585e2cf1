"""Why a route applies, or not, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.factories import ct_slice, to_bytes
from tests.unit.dicom_node.cli.shell import PATIENT, Shell


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({}, "matches"),
        ({"Modality": "MR"}, "Modality is 'CT'"),
        ({"SeriesDescription": "X"}, "not (SeriesDescription matches '[XYZ]|[/]')"),
    ],
)
def test_a_route_is_explained(
    shell: Shell, tmp_path: Path, attributes: dict[str, Any], words: str
) -> None:
    path = tmp_path / "image.dcm"
    path.write_bytes(to_bytes(ct_slice(size=(4, 4), **(PATIENT | attributes))))
    result = shell.run("route", "explain", str(path))
    assert result.exit_code == 0
    assert words in " ".join(result.stdout.split())


def test_what_is_no_dicom_is_explained_too(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "image.dcm"
    path.write_bytes(b"PHI^MARKER")
    result = shell.run("route", "explain", str(path))
    assert result.exit_code == 1
    assert "image.dcm" in result.stderr


def test_conditions_are_listed_as_they_are_written(shell: Shell) -> None:
    assert "'[XYZ]|[/]'" in shell.run("route", "list").stdout
