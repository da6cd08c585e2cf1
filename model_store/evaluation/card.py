"""The model card of a version, rendered from its recipe and its measurements."""

from __future__ import annotations

from typing import Any

from model_store.manifest import Manifest
from model_store.training.recipe import Recipe


def render_card(manifest: Manifest, recipe: Recipe) -> str:
    """Render ``card.md``.

    Parameters
    ----------
    manifest : Manifest
        With the metrics of an evaluation, or without any yet.
    recipe : Recipe
        What the version was trained by.
    """
    unit = "HU in soft tissue" if manifest.input.units == "HU" else "of the full range"
    parts = [
        f"# {manifest.name} {manifest.version}",
        manifest.intended_use,
        "## What it is",
        f"System `{manifest.system}`, {manifest.parameters:,} parameters (moving statistics "
        f"counted), {manifest.macs_per_pixel:,} multiply-adds per pixel. The graph computes "
        "G(x) - x; the caller adds x in float32. Tiles overlap by "
        f"{manifest.tiling.margin} pixels; sizes are multiples of {manifest.tiling.stride}. "
        f"Licence of the weights: {manifest.licence}.",
        "## Trained on",
        manifest.training_data,
        f"{manifest.trained_noise.description} (0 to {manifest.trained_noise.maximum_sd:g} {unit})",
    ]
    training = manifest.metrics.get("training")
    if training:
        parts.append(
            f"{training['iterations']:,} iterations of {recipe.training.batch} patches of "
            f"{recipe.training.patch} x {recipe.training.patch} pixels in "
            f"{training['minutes']:.0f} minutes on 2 CPU cores shared with other work "
            f"({recipe.training.precision}). "
            "The whole recipe is `recipe.toml` beside this card."
        )
    parts += ["## Measured", _measured(manifest.metrics)]
    parts += ["## Limits", recipe.release.limits.strip()]
    parts += ["## What differs from the publication", recipe.release.differences.strip()]
    return "\n\n".join(parts) + "\n"


def _measured(metrics: dict[str, Any]) -> str:
    tables = metrics.get("tables", [])
    if not tables:
        return "Not measured yet."
    return "\n\n".join(_table(table) for table in tables)


def _table(table: dict[str, Any]) -> str:
    columns = table["columns"]
    lines = [f"**{table['title']}**", ""] if table.get("title") else []
    if table.get("note"):
        lines = [*lines[:1], "", table["note"], ""]
    lines += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in table["rows"]]
    return "\n".join(lines)


def _cell(value: str | float | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:g}"
