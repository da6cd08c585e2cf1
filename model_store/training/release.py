"""From a training run to a model version: graph, weights, golden outputs, manifest and card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from model_store.engines.golden import GOLDEN, Golden, golden_images, golden_outputs
from model_store.engines.torch_reference import TorchEngine
from model_store.errors import ExportError
from model_store.evaluation.card import physics_tables, render_card
from model_store.export import export_onnx
from model_store.file_names import CARD, MANIFEST, ONNX, RECIPE
from model_store.generators.build import count_parameters, macs_per_pixel
from model_store.hashing import file_sha256
from model_store.manifest import InputSpec, Manifest, TilingSpec, TrainedNoise, Validity
from model_store.store import ModelVersion
from model_store.training.checkpoint import STATE
from model_store.training.objective import NOT_FIDELITY, for_fidelity
from model_store.training.pairs.facts import Facts
from model_store.training.pairs.section import PairsData
from model_store.training.recipe import Recipe
from model_store.training.recipe_of import own_recipe
from model_store.training.references import HIGHEST_HU, LOWEST_HU
from model_store.training.run import load_average
from model_store.trust.signature import SIGNATURE
from model_store.weights import WEIGHTS, Weights, same_weights, weights_in_graph


def release(run: Path, zoo: Path, *, version: str | None = None) -> Path:
    """Write the averaged weights of a training run as a model version.

    Parameters
    ----------
    run : Path
        Folder of the training run.
    zoo : Path
        Folder of model versions; ``<name>/<version>`` below it is written anew.
    version : str, optional
        Another version than the recipe's.

    Returns
    -------
    Path
        Folder of the version.

    Raises
    ------
    RecipeError
        If `run` holds no readable run.
    ExportError
        If the exported graph differs from the trained network.
    """
    recipe, generator = load_average(run)
    version = version or recipe.version
    folder = zoo / recipe.name / version
    folder.mkdir(parents=True, exist_ok=True)
    for stale in (SIGNATURE, GOLDEN, WEIGHTS):
        (folder / stale).unlink(missing_ok=True)
    parameters, macs = count_parameters(generator), macs_per_pixel(generator)
    state = {key: value.numpy().copy() for key, value in generator.state_dict().items()}
    difference = export_onnx(generator, folder / ONNX)
    _keep_weights(folder, state)
    shutil.copyfile(run / RECIPE, folder / RECIPE)
    progress = json.loads((run / STATE).read_text(encoding="utf-8"))
    metrics: dict[str, Any] = {
        "training": {
            "iterations": progress["step"],
            "minutes": round(progress["seconds"] / 60, 1),
            "hardware": progress.get("hardware") or "1 processor thread",
            "start": recipe.training.start,
        },
        "onnx_largest_difference": float(f"{difference:.2e}"),
    }
    hounsfield = recipe.input.units == "HU"
    if isinstance(recipe.data, PairsData):
        facts = Facts.read(run)
        metrics["training"]["pairs"] = facts.numbers()
        least, greatest = facts.noise_sd
    else:
        least, greatest = recipe.data.noise_range
    use = recipe.release.intended_use
    manifest = Manifest(
        name=recipe.name,
        version=version,
        system=recipe.generator.system,
        modality=recipe.release.modality,
        body_parts=recipe.release.body_parts,
        input=InputSpec(
            units=recipe.input.units,
            offset=recipe.input.offset,
            scale=recipe.input.scale,
            minimum=LOWEST_HU if hounsfield else 0.0,
            maximum=HIGHEST_HU if hounsfield else 1.0,
        ),
        output="residual",
        tiling=TilingSpec(margin=generator.margin, stride=generator.stride),
        trained_noise=TrainedNoise(
            minimum_sd=float(f"{least:.4g}"),
            maximum_sd=float(f"{greatest:.4g}"),
            description=recipe.release.noise,
        ),
        onnx=ONNX,
        files={ONNX: file_sha256(folder / ONNX)},
        parameters=parameters,
        macs_per_pixel=macs,
        intended_use=use if for_fidelity(recipe) else f"{use} {NOT_FIDELITY}",
        training_data=recipe.release.training_data,
        licence=recipe.release.licence,
        metrics=metrics,
    )
    _write(folder, manifest, recipe)
    add_golden(folder)
    return folder


def _keep_weights(folder: Path, state: Weights) -> None:
    """Write what was trained beside the graph, unless the graph has it."""
    if not same_weights(state, weights_in_graph((folder / ONNX).read_bytes())):
        (folder / WEIGHTS).write_bytes(save(dict(state)))


def add_golden(folder: Path) -> bool:
    """Write the golden outputs of a version that has none; all else in the manifest stays.

    The torch reference runs the golden images one by one; `model_store.engines.golden` says what is
    kept of it.

    Parameters
    ----------
    folder : Path
        ``<zoo>/<name>/<version>``.

    Returns
    -------
    bool
        False if the version had its golden outputs already.

    Raises
    ------
    ManifestError, ModelIntegrityError
        If the folder holds no whole version.
    ExportError
        If the version is signed: its manifest may not change any more.
    EngineUnavailableError
        If the version has no weights or no recipe to run by torch.
    """
    version = ModelVersion.open(folder)
    version.verify()
    if golden_outputs(version) is not None:
        return False
    refuse_signed(folder)
    images = golden_images(version.manifest)
    with TorchEngine(version) as engine:
        outputs = np.concatenate([engine.infer(image) for image in images[:, np.newaxis]])
    (folder / GOLDEN).write_bytes(Golden(images, outputs).encode())
    text = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    text["files"][GOLDEN] = file_sha256(folder / GOLDEN)
    written = folder / f".{MANIFEST}"
    written.write_text(json.dumps(text, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    written.replace(folder / MANIFEST)
    return True


def refuse_signed(folder: Path) -> None:
    """Make sure that the manifest of a version may still change.

    Raises
    ------
    ExportError
        If the version is signed.
    """
    if (folder / SIGNATURE).exists():
        raise ExportError(
            f"{folder.parent.name}@{folder.name} is signed, so its manifest may not change: "
            "release a new version, and sign it when everything is in it"
        )


def write_metrics(folder: Path, results: dict[str, Any], *, beside: bool = False) -> None:
    """Put the summary of an evaluation into a version's manifest and card.

    Parameters
    ----------
    folder : Path
        ``<zoo>/<name>/<version>``.
    results : dict
        As of `model_store.evaluation.report.evaluate_version`.
    beside : bool
        Beside the version's own evaluation, as what was measured on somebody's pairs.

    Raises
    ------
    ManifestError, RecipeError
        If the folder holds no version.
    ExportError
        If the version is signed.
    """
    manifest, recipe = _changeable(folder)
    summary = {"pairs": results["summary"]} if beside else results["summary"]
    changes: dict[str, Any] = {"metrics": {**manifest.metrics, **summary}}
    if results["validity"] is not None:
        changes["validity"] = Validity.model_validate(results["validity"])
    _write(folder, manifest.model_copy(update=changes), recipe)


def write_physics(folder: Path, results: dict[str, Any]) -> None:
    """Put results on phantoms into a version's manifest and card, in place of earlier ones.

    What an evaluation wrote stays, but for tables of the same title. The strength that was measured
    becomes that of routes that state none.

    Parameters
    ----------
    folder : Path
        ``<zoo>/<name>/<version>``.
    results : dict
        As of `model_store.evaluation.physics.report.for_manifest`.

    Raises
    ------
    ManifestError, RecipeError
        If the folder holds no version.
    ExportError
        If the version is signed.
    """
    manifest, recipe = _changeable(folder)
    metrics = {**manifest.metrics, "physics": results}
    own = {table["title"] for table in physics_tables(results)}
    if "tables" in metrics:
        metrics["tables"] = [table for table in metrics["tables"] if table["title"] not in own]
    changes = {"metrics": metrics, "strength": results["strength"]}
    _write(folder, manifest.model_copy(update=changes), recipe)


def _changeable(folder: Path) -> tuple[Manifest, Recipe | None]:
    """Manifest and recipe of a version that is not signed."""
    refuse_signed(folder)
    manifest = Manifest.read(folder / MANIFEST)
    return manifest, own_recipe(folder, manifest)


def _write(folder: Path, manifest: Manifest, recipe: Recipe | None) -> None:
    card = render_card(manifest, recipe)
    Manifest.model_validate(manifest.model_dump())  # nothing is written unless all of it can be
    (folder / CARD).write_text(card, encoding="utf-8")
    beside = [name for name in (RECIPE, WEIGHTS, GOLDEN) if (folder / name).exists()]
    names = [ONNX, CARD, *beside]
    files = {name: file_sha256(folder / name) for name in names}
    Manifest.model_validate({**manifest.model_dump(), "files": files}).write(folder / MANIFEST)
