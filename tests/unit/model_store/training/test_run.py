from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner

from model_store.cli import app
from model_store.errors import DataError, RecipeError, TrainingDivergedError
from model_store.export import export_onnx
from model_store.generators.drl import Drl, DrlConfig
from model_store.training.checkpoint import AVERAGE, Checkpoint, Plateau
from model_store.training.loop import Trainer
from model_store.training.losses import Loss, Unit
from model_store.training.patches import Batch
from model_store.training.precision import arithmetic_of, resolve_precision
from model_store.training.recipe import InputSection, LossTerm, Recipe
from model_store.training.release import release
from model_store.training.run import load_average, train
from model_store.training.start import load_start
from model_store.training.validation import Floats, Validation

_RECIPE = """
name = "tiny"
version = "0.1.0"
[generator]
system = "drl"
width = 4
[input]
units = "stored"
[data]
kind = "xray"
held_out = ["held.png"]
sources = [{ folder = "images", pattern = "*.png", scales = [1] }]
[training]
iterations = 10
batch = 2
patch = 16
warmup = 2
freeze_norm_at = 0.7
[release]
modality = ["DX"]
intended_use = "Tests."
training_data = "Random."
licence = "Apache-2.0"
noise = "Any."
limits = "- none"
differences = "- none"
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "images"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 255, (48, 40)).astype(np.uint8)
    for name in ("a.png", "held.png"):
        Image.fromarray(pixels).save(folder / name)
    return tmp_path / "data"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(_RECIPE)
    return path


class _Constant:
    """Patches of a constant: the noisy one plus whatever the test puts in."""

    def __init__(self, bad_step: int | None = None) -> None:
        self._bad_step = bad_step

    def batch(self, step: int) -> Batch:
        generator = np.random.default_rng(step)
        clean = np.full((4, 1, 16, 16), 0.5, np.float32)
        noisy = clean + generator.normal(0, 0.1, clean.shape).astype(np.float32)
        if step == self._bad_step:
            noisy[0] = np.nan
        return Batch(noisy, clean, np.ones((4, 1, 1, 1), np.float32))

    def validation(self, index: int) -> Batch:
        return self.batch(1000 + index)


def test_a_resumed_run_ends_at_the_same_weights(data: Path, recipe: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    train(recipe, data, whole)
    parsed, halves = Recipe.read(recipe), tmp_path / "halves"
    # the first half as a run that was stopped after four iterations
    from model_store.training.run import build_generator, open_source  # noqa: PLC0415

    first = Trainer(build_generator(parsed), open_source(parsed, data, tmp_path), parsed.training)
    first.run(halves, until=4)
    assert Checkpoint.read(halves).progress.step == 4
    done = train(recipe, data, halves, resume=True)
    assert done.step == 10
    expected, got = load_file(whole / AVERAGE), load_file(halves / AVERAGE)
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    _, generator = load_average(halves)
    assert not generator.training


def test_the_precision_of_the_command_is_recorded_and_outlives_a_resumption(
    data: Path, recipe: Path, tmp_path: Path
) -> None:
    run, longer = tmp_path / "run", tmp_path / "longer.toml"
    longer.write_text(f'extends = "{recipe}"\n[training]\niterations = 12\n')
    arguments = ["train", str(recipe), "--data", str(data), "--out", str(run)]
    trained = CliRunner().invoke(app, [*arguments, "--precision", "bf16"])
    assert trained.exit_code == 0, trained.output
    assert Recipe.read(run / "recipe.toml").training.precision == "bfloat16"

    train(longer, data, run, resume=True)
    assert Recipe.read(run / "recipe.toml").training.precision == "bfloat16"
    train(longer, data, run, resume=True, precision="f32")
    assert Recipe.read(run / "recipe.toml").training.precision == "float32"


def test_auto_takes_bfloat16_where_the_machine_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for native, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda found=native: found)
        assert resolve_precision("auto") == expected
    assert (resolve_precision("f32"), resolve_precision("bf16")) == ("float32", "bfloat16")


def test_bfloat16_trains_alone_what_is_kept_validated_and_exported_is_float32(
    data: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    residual = Drl.residual

    def spied(self: Drl, x: Tensor) -> Tensor:
        seen.append(torch.is_autocast_enabled("cpu"))
        return residual(self, x)

    monkeypatch.setattr(Drl, "residual", spied)
    section = Recipe.parse(_RECIPE).training.model_copy(update={"precision": "bfloat16"})
    trainer = Trainer(Drl(DrlConfig(4)), _Constant(), section)
    trainer.run(tmp_path / "alone", until=2)
    assert seen.count(True) == 2, "validation before and after is float32"
    assert seen.count(False) == 32

    train(recipe, data, tmp_path / "run", precision="bf16")
    _, generator = load_average(tmp_path / "run")
    assert all(value.dtype == torch.float32 for value in generator.parameters())
    seen.clear()
    export_onnx(generator, tmp_path / "model.onnx")
    assert seen
    assert not any(seen)


def test_training_reduces_the_loss() -> None:
    section = Recipe.parse(_RECIPE).training.model_copy(update={"iterations": 100})
    torch.manual_seed(20)  # how far 100 steps get depends on where they start
    trainer = Trainer(Drl(DrlConfig(4)), _Constant(), section)
    x = torch.from_numpy(_Constant().batch(999).noisy)
    before = float(((trainer.generator.eval()(x) - 0.5) ** 2).mean().detach())
    for step in range(100):
        trainer._iterate(step)
    after = float(((trainer.generator.eval()(x) - 0.5) ** 2).mean().detach())
    assert after < 0.8 * before


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    section = Recipe.parse(_RECIPE).training
    trainer = Trainer(Drl(DrlConfig(4)), _Constant(bad_step=5), section)
    trainer.run(tmp_path, until=4)
    with pytest.raises(TrainingDivergedError, match="iteration 5"):
        trainer.run(tmp_path)
    kept = Checkpoint.read(tmp_path)
    assert kept.progress.step == 4
    assert all(torch.isfinite(value).all() for value in kept.average.values())


def test_a_budget_plans_the_iterations(tmp_path: Path) -> None:
    section = Recipe.parse(_RECIPE).training.model_copy(update={"iterations": 1_000_000})
    done = Trainer(Drl(DrlConfig(4)), _Constant(), section).run(tmp_path, budget=0.02)
    assert 20 <= done.step == done.iterations < 100_000


def test_a_run_is_not_overwritten_unasked(data: Path, recipe: Path, tmp_path: Path) -> None:
    train(recipe, data, tmp_path / "run")
    with pytest.raises(RecipeError, match="holds a run already"):
        train(recipe, data, tmp_path / "run")


def test_missing_data_and_missing_checkpoints_are_named(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="images"):
        train(recipe, tmp_path, tmp_path / "run")


def test_resuming_nothing_is_a_recipe_error(data: Path, recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no readable checkpoint"):
        train(recipe, data, tmp_path / "nothing", resume=True)


def test_no_checkpoint_file_is_a_pickle(data: Path, recipe: Path, tmp_path: Path) -> None:
    train(recipe, data, tmp_path / "run")
    suffixes = {path.suffix for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert suffixes == {".safetensors", ".json", ".jsonl", ".toml"}


def test_the_command_trains_and_exports(data: Path, recipe: Path, tmp_path: Path) -> None:
    run, zoo = tmp_path / "run", tmp_path / "zoo"
    arguments = ["train", str(recipe), "--data", str(data), "--out", str(run)]
    trained = CliRunner().invoke(app, arguments)
    assert trained.exit_code == 0, trained.output
    assert "10 iterations" in trained.output
    exported = CliRunner().invoke(app, ["export", str(run), "--zoo", str(zoo)])
    assert exported.exit_code == 0, exported.output
    names = {path.name for path in (zoo / "tiny" / "0.1.0").iterdir()}
    written = {"model.onnx", "weights.safetensors", "golden.safetensors", "card.md", "recipe.toml"}
    assert names == {"manifest.json", *written}


def test_the_command_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    arguments = ["train", "absent.toml", "--data", str(tmp_path), "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "RecipeError" in result.output


def test_an_arm_starts_from_the_run_beside_it(data: Path, recipe: Path, tmp_path: Path) -> None:
    train(recipe, data, tmp_path / "runs" / "tiny")
    second = tmp_path / "second.toml"
    second.write_text(f'extends = "{recipe}"\n[training]\nstart = "tiny"\niterations = 0\n')
    train(second, data, tmp_path / "runs" / "second", budget=1)
    first = load_file(tmp_path / "runs" / "tiny" / AVERAGE)
    got = load_file(tmp_path / "runs" / "second" / AVERAGE)
    assert all(torch.equal(first[key], got[key]) for key in first)
    assert Recipe.read(tmp_path / "runs" / "second" / "recipe.toml").generator.system == "drl"


@pytest.mark.parametrize("system", ["drl", "wgan-vgg"])  # the first has norms to fold
def test_a_run_starts_from_a_released_version(
    data: Path, recipe: Path, tmp_path: Path, system: str
) -> None:
    text = recipe.read_text(encoding="utf-8").replace('system = "drl"', f'system = "{system}"')
    recipe.write_text(text, encoding="utf-8")
    train(recipe, data, tmp_path / "run")
    folder = release(tmp_path / "run", tmp_path / "zoo")
    kept = folder / "weights.safetensors"
    assert kept.exists() is (system == "drl")
    second = tmp_path / "second.toml"
    second.write_text(f'extends = "{recipe}"\n[training]\nstart = "tiny@0.1.0"\n')
    found = load_start(Recipe.read(second), tmp_path / "next", tmp_path / "zoo")
    trained = load_file(tmp_path / "run" / AVERAGE)
    assert found.keys() == trained.keys()
    assert all(torch.equal(found[key], trained[key]) for key in trained)
    (kept if kept.exists() else folder / "model.onnx").write_bytes(b"changed")
    with pytest.raises(RecipeError, match="as released"):
        load_start(Recipe.read(second), tmp_path / "next", tmp_path / "zoo")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("[generator]\nwidth = 5", "do not fit Drl"),
        ("[input]\noffset = 0.5", r"whose \[input\] is"),
    ],
)
def test_a_start_of_another_kind_is_a_recipe_error(
    data: Path, recipe: Path, tmp_path: Path, change: str, message: str
) -> None:
    train(recipe, data, tmp_path / "runs" / "tiny")
    second = tmp_path / "second.toml"
    second.write_text(f'extends = "{recipe}"\n[training]\nstart = "tiny"\n{change}\n')
    with pytest.raises(RecipeError, match=message):
        train(second, data, tmp_path / "runs" / "second")


def test_a_checkpoint_of_another_architecture_is_a_recipe_error(
    data: Path, recipe: Path, tmp_path: Path
) -> None:
    train(recipe, data, tmp_path / "run")
    other = tmp_path / "other.toml"
    other.write_text(_RECIPE.replace("width = 4", "width = 5"))
    with pytest.raises(RecipeError, match="do not fit Drl"):
        train(other, data, tmp_path / "run", resume=True)


def test_a_corrupt_image_is_named_with_what_to_do(data: Path, recipe: Path, tmp_path: Path) -> None:
    (data / "images" / "b.png").write_bytes((data / "images" / "a.png").read_bytes()[:200])
    with pytest.raises(DataError, match=r"b\.png: not a readable image: .*take it out"):
        train(recipe, data, tmp_path / "run")


def test_the_log_has_no_lines_of_a_part_that_was_lost(tmp_path: Path) -> None:
    section = Recipe.parse(_RECIPE).training.model_copy(update={"iterations": 60})
    trainer = Trainer(Drl(DrlConfig(4)), _Constant(), section)
    trainer.run(tmp_path, until=40)
    kept = trainer.snapshot()
    trainer.run(tmp_path)
    trainer.restore(kept)
    trainer.run(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    trained = [line for line in lines if "loss" in line]
    assert [line["step"] for line in trained] == [20, 40, 60]
    assert all(line["loss"] > 0 and line["mse"] > 0 and line["rate"] > 0 for line in trained)
    measured = [line["step"] for line in lines if "validation" in line]
    assert measured == [0, 40, 60]


def test_a_plateau_halves_the_rate_after_two_epochs_without_a_gain(tmp_path: Path) -> None:
    state = Plateau().after(30.0).after(30.1).after(30.0)
    assert (state.rate, state.best, state.idle) == (1.0, 30.1, 1)
    assert state.after(30.05) == Plateau(0.5, 30.1, 0)
    section = Recipe.parse(_RECIPE).training
    section = section.model_copy(update={"schedule": "plateau", "epoch": 2})
    trainer = Trainer(Drl(DrlConfig(4)), _Constant(), section)
    trainer.run(tmp_path)
    found = Checkpoint.read(tmp_path).progress
    assert found.plateau.best == pytest.approx(20, abs=3)  # of noise of 0.1
    assert found.hardware == "1 processor thread"


def test_every_run_is_measured_on_patches_that_it_does_not_draw(tmp_path: Path) -> None:
    section = Recipe.parse(_RECIPE).training
    section = section.model_copy(update={"iterations": 10, "validate_every": 4})
    Trainer(Drl(DrlConfig(4)), _Constant(), section).run(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    found = {line["step"]: line["validation"] for line in lines if "validation" in line}
    assert list(found) == [0, 4, 8, 10]
    for values in found.values():
        assert values["mse"] == pytest.approx(10 ** (-values["PSNR"] / 10), rel=1e-4)
        assert 0 < values["SSIM"] < 1


def test_ct_is_shown_to_the_perceptual_distance_as_soft_tissue() -> None:
    seen: list[Floats] = []

    def distance(image: Floats, reference: Floats) -> float:
        seen.extend((image, reference))
        return 0.25

    section = InputSection(units="HU", offset=0.0, scale=1024.0)
    loss = Loss([LossTerm(name="mse")], Unit.of(section))
    patch = torch.full((1, 1, 32, 32), 40 / 1024)
    found = Validation(loss, None, distance, section).measure(
        lambda noisy: noisy + 100 / 1024, [(patch, patch, torch.ones(1, 1, 1, 1))]
    )
    assert found["PDR"] == 0.25
    assert [float(image.mean()) for image in seen] == pytest.approx([0.75, 0.5], abs=1e-5)


def test_float32_on_a_gpu_is_float32() -> None:
    before = torch.backends.cudnn.allow_tf32
    with arithmetic_of("float32"):
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.allow_tf32 == before


def test_a_budget_counts_what_was_prepared(data: Path, recipe: Path, tmp_path: Path) -> None:
    said: list[str] = []
    begin = time.monotonic()
    recipe.write_text(_RECIPE.replace("iterations = 10", "iterations = 100000"))
    done = train(recipe, data, tmp_path / "run", budget=1e-4, said=said.append)
    assert done.step < 100, "no time is left after reading the images"
    assert time.monotonic() - begin < 60
    assert any("of the budget" in text for text in said)


def test_state_of_earlier_versions_is_read(data: Path, recipe: Path, tmp_path: Path) -> None:
    train(recipe, data, tmp_path / "run")
    path = tmp_path / "run" / "state.json"
    state = json.loads(path.read_text())
    del state["hardware"], state["plateau"]
    path.write_text(json.dumps(state))
    assert Checkpoint.read(tmp_path / "run").progress.step == 10
