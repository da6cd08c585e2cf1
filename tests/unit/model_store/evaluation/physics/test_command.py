from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from model_store.cli import app

ZOO = Path(__file__).parents[5] / "model_store" / "zoo"


def test_a_model_of_radiographs_is_refused() -> None:
    version = sorted(path.name for path in (ZOO / "n2n-unet-xray").iterdir())[-1]
    result = CliRunner().invoke(app, ["physics", f"n2n-unet-xray@{version}"])
    assert result.exit_code == 1
    assert "no CT model" in result.output


@pytest.mark.parametrize("model", ["none@1.0.0", "none"])
def test_a_version_that_is_not_there_ends_with_an_error(tmp_path: Path, model: str) -> None:
    result = CliRunner().invoke(app, ["physics", model, "--zoo", str(tmp_path)])
    assert result.exit_code == 1
    assert "Error" in result.output


def test_a_strength_above_one_is_refused() -> None:
    result = CliRunner().invoke(app, ["physics", "none@1.0.0", "--strength", "1.5"])
    assert result.exit_code == 2
