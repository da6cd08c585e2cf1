"""The model card of a version, rendered from its recipe, if it has one, and its measurements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_store.evaluation.physics.acceptance import kept_and_missed, strongest
from model_store.manifest import Manifest, TrainedNoise, Validity
from model_store.training.objective import objective
from model_store.training.pairs.facts import sentence
from model_store.training.recipe import Recipe


def render_card(manifest: Manifest, recipe: Recipe | None) -> str:
    """Render ``card.md``.

    Parameters
    ----------
    manifest : Manifest
        With the metrics of an evaluation, or without any yet.
    recipe : Recipe or None
        What the version was trained by; None if it was trained elsewhere and adopted.
    """
    unit = "HU in soft tissue" if manifest.input.units == "HU" else "of the full range"
    parts = [
        f"# {manifest.name} {manifest.version}",
        manifest.intended_use,
        "## What it is",
        _network(manifest),
        "## Trained on",
        manifest.training_data,
        f"{manifest.trained_noise.description} ({_range(manifest.trained_noise)} {unit})",
    ]
    if recipe is not None:
        parts.append(objective(recipe))
    training = manifest.metrics.get("training")
    if training and training.get("pairs"):
        parts.append(sentence(training["pairs"]))
    if training and recipe is not None:
        parts.append(
            f"{training['iterations']:,} iterations of {recipe.training.batch} patches of "
            f"{recipe.training.patch} x {recipe.training.patch} pixels in "
            f"{training['minutes']:.0f} minutes on "
            f"{training.get('hardware', '2 CPU cores')}, shared with other work "
            f"({recipe.training.precision}){_from(training.get('start'))}. "
            "The whole recipe is `recipe.toml` beside this card."
        )
    parts += ["## Measured", _measured(manifest.metrics)]
    if manifest.metrics.get("pairs"):
        parts += ["## On pairs of images", _measured(manifest.metrics["pairs"])]
    if manifest.metrics.get("physics"):
        parts += ["## On phantoms", _physics(manifest.metrics["physics"])]
    if manifest.validity is not None:
        parts += ["## Where it helps and where it harms", _validity(manifest.validity)]
    if recipe is None:
        parts += ["## Limits", str((manifest.adopted or {}).get("limits", "")).strip()]
    else:
        parts += ["## Limits", recipe.release.limits.strip()]
        parts += ["## What differs from the publication", recipe.release.differences.strip()]
    return "\n\n".join(parts) + "\n"


def _network(manifest: Manifest) -> str:
    gives = (
        "G(x) - x; the caller adds x in float32"
        if manifest.output == "residual"
        else "the denoised image G(x)"
    )
    parts = [
        f"System `{manifest.system}`, {manifest.parameters:,} parameters (moving statistics "
        f"counted), {manifest.macs_per_pixel:,} multiply-adds per pixel. The graph computes "
        f"{gives}. Tiles overlap by {manifest.tiling.margin} pixels; sizes are multiples of "
        f"{manifest.tiling.stride}. Licence of the weights: {manifest.licence}."
    ]
    adopted = manifest.adopted
    if adopted is not None:
        parts.append(
            f"Trained elsewhere and adopted from `{adopted['file']}`, with the input of "
            f"{adopted['like']}; there is no recipe. Margin and stride were measured. Its golden "
            f"outputs are what {adopted['reference']} gives: they show whether an engine runs the "
            "graph as it is, not whether the graph is what was trained."
        )
    return " ".join(parts)


def _range(noise: TrainedNoise) -> str:
    if noise.minimum_sd == noise.maximum_sd:
        return f"{noise.maximum_sd:g}"
    return f"{noise.minimum_sd:g} to {noise.maximum_sd:g}"


def _from(start: str | None) -> str:
    return f", beginning with the weights of {start}" if start else ""


def _measured(metrics: dict[str, Any]) -> str:
    tables = [table_of(table) for table in metrics.get("tables", [])]
    if not tables:
        return "Not measured yet."
    statement = metrics.get("margin")
    return "\n\n".join([statement, *tables] if statement else tables)


def physics_tables(physics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All tables of results on phantoms, the one over strengths last."""
    sweep = physics.get("sweep") or {}
    return [*physics.get("tables", []), *([sweep["table"]] if "table" in sweep else [])]


def _physics(physics: Mapping[str, Any]) -> str:
    sentences = [strongest(physics.get("sweep"))]
    if physics.get("gates"):
        sentences.insert(0, kept_and_missed(physics["gates"], physics.get("strength", 1)))
    if physics.get("quick"):
        sentences.append("Few images: a quick run.")
    said = " ".join(sentence for sentence in sentences if sentence)
    tables = [table_of(table) for table in physics_tables(physics)]
    return "\n\n".join([said, *tables] if said else tables)


def _validity(validity: Validity) -> str:
    low, high = validity.trained_psnr
    return (
        f"{validity.statement} In the sweep's measure ({validity.measure}) the training covers "
        f"inputs of {low:g} to {high:g} dB; the sweep is the table above, {validity.images} images "
        f"a level, strength {validity.strength:g}."
    )


def table_of(table: dict[str, Any]) -> str:
    """A table of an evaluation in Markdown: title, note, rows."""
    parts = [f"**{table['title']}**"] if table.get("title") else []
    if table.get("note"):
        parts.append(table["note"])
    columns = table["columns"]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in table["rows"]]
    return "\n\n".join([*parts, "\n".join(lines)])


def _cell(value: str | float | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:g}"
