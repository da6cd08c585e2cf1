from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from model_store.cli import app
from model_store.errors import RecipeError
from model_store.training.pairs.inspection import inspect_pairs
from model_store.training.recipe_file import recipe_path
from tests.support.factories.pairs import noisy, scene, write_ct


def _recipe(folder: Path, more: str = "") -> Path:
    for number in range(9):
        for side, level in (("quarter", 40), ("full", 5)):
            moved = (0, 5) if (number, side) == (2, "full") else (0, 0)
            image = noisy(scene(number, shift=moved), level, number)
            path = folder / side / f"L{number}" / f"{side}.IMA"
            write_ct(path, image, position=3.0 * number, PatientID="Anonymous")
    write_ct(folder / "full" / "L1" / "other.IMA", scene(), position=99.0)
    path = folder / "own.toml"
    path.write_text(f'extends = "drl-pairs"\nname = "own"\n[data]\nsplit_seed = 1\n{more}')
    return path


def test_what_would_be_trained_on_is_said_by_side(tmp_path: Path) -> None:
    found = inspect_pairs(_recipe(tmp_path), tmp_path)
    patients = {row[0]: int(row[1]) for row in found.rows}
    pairs = {row[0]: int(row[2]) for row in found.rows}
    assert sum(patients.values()) == 9
    assert sum(pairs.values()) == 8
    assert all(number > 0 for number in patients.values())
    text = "\n".join(found.lines)
    assert "refused: 1 (quarter/L2/quarter.IMA and full/L2/full.IMA (shifted by" in text
    assert "without a partner: 1 (full/L1/other.IMA)" in text


def test_a_side_that_is_far_from_its_share_is_pointed_out(tmp_path: Path) -> None:
    recipe = _recipe(tmp_path, "validation = 0.1\ntest = 0.1\n")
    rough = [
        line
        for seed in range(20)
        for line in inspect_pairs(_seeded(recipe, seed), tmp_path).lines
        if "another data.split_seed" in line
    ]
    assert 0 < len(rough) < 20


def _seeded(recipe: Path, seed: int) -> Path:
    path = recipe.with_name(f"seed-{seed}.toml")
    path.write_text(recipe.read_text().replace("split_seed = 1", f"split_seed = {seed}"))
    return path


def test_the_command_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["pairs", str(_recipe(tmp_path)), "--data", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "training" in done.output
    (tmp_path / "full" / "L1" / "other.IMA").write_text("no image at all, but a text")
    done = CliRunner().invoke(app, ["pairs", str(tmp_path / "own.toml"), "--data", str(tmp_path)])
    assert done.exit_code == 1
    (line,) = [line for line in done.output.splitlines() if line.startswith("DataError: ")]
    assert line.endswith("take it out, or let a pattern leave it out")


def test_a_recipe_of_another_kind_has_no_pairs(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="is not trained on pairs"):
        inspect_pairs(recipe_path(Path("drl-ct")), tmp_path)
