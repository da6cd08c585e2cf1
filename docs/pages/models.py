"""The page of the model versions in the package."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from docs.pages.note import NOTE
from model_store.evaluation.filters import FAMILIES
from model_store.ref import ModelName
from model_store.store import ModelStore, ModelVersion

INTRODUCTION = """\
Every number here stands in a version's manifest, where `model-store evaluate NAME@VERSION
--write` and `model-store physics NAME@VERSION --write` put it; its model card has all tables,
and how long it was trained on what. `model-store report NAME@VERSION --data DATA` makes a page
with pictures of it.

PSNR in dB on images of patients and scanners that were not trained on, mean over the images of
a condition: a window of 400 HU for CT, the full range for radiographs. Beside each model stands
the filter (Gaussian, median, bilateral, BM3D) that is best for that image at its best setting,
which no user can know; and BM3D with the noise level estimated from the image, which a user can
have. PDR, the perceptual distance that DNGAN's publication reports (LPIPS; lower is better), stands
beside it: a network that aims at it pays in PSNR. Data and noise are not those of the
publications, and most runs were short, on a processor: these are figures of these weights, not of
what the methods can do."""


def models() -> str:
    """Reference page of every version in the package."""
    zoo = ModelStore()
    versions = zoo.versions()
    aliases: dict[str, list[ModelName]] = {}
    for alias, target in zoo.aliases().items():
        aliases.setdefault(str(target), []).append(alias)
    lines = [NOTE, "", "# Model versions", "", INTRODUCTION, "", *_models_table(versions, aliases)]
    for version in versions:
        lines += ["", *_model(version)]
    return "\n".join(lines) + "\n"


def _models_table(
    versions: tuple[ModelVersion, ...], aliases: dict[str, list[ModelName]]
) -> Iterable[str]:
    yield "| version | system | for | default of | strength | multiply-adds a pixel | trained |"
    yield "|---|---|---|---|---:|---:|---|"
    for version in versions:
        manifest = version.manifest
        name = _version_name(version)
        default = [f"`{each}`" for each in aliases.get(name, ()) if each.name != manifest.name]
        training = manifest.metrics["training"]
        start = f", beginning with `{training['start']}`" if training.get("start") else ""
        trained = f"{training['iterations']:,} iterations, {training['minutes']:.0f} min{start}"
        yield (
            f"| `{name}` | {manifest.system} | {', '.join(manifest.modality)} "
            f"| {', '.join(sorted(default))} | {manifest.strength:g} "
            f"| {manifest.macs_per_pixel:,} | {trained} |"
        )


def _model(version: ModelVersion) -> Iterable[str]:
    manifest = version.manifest
    metrics = manifest.metrics
    yield f"## {_version_name(version)}"
    yield ""
    yield manifest.intended_use
    yield ""
    yield (
        "| condition | images | PSNR of the input | model | best strength | best filter "
        "| BM3D, estimated | PDR of the input | model | best filter |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    distances = _distances(metrics.get("tables", []))
    for number, (condition, found) in enumerate(metrics.get("headline", {}).items()):
        distance = distances[number] if distances else "| | "
        yield f"| {condition} | {found['images']} | {_headline(found)} | {distance} |"
    if metrics.get("margin"):
        yield ""
        yield metrics["margin"]
    if manifest.validity is not None:
        yield ""
        yield f"*Where it helps:* {manifest.validity.statement}"
    physics = metrics.get("physics")
    if physics is not None:
        yield ""
        yield (
            f"On phantoms at strength {physics['strength']:g}, the worst of these: "
            f"{'; '.join(physics['conditions'])}. What else was measured, such as a scanner's "
            "iterative reconstructions, stands in the card and counts for no limit."
        )
        yield ""
        yield "| limit | | measured | |"
        yield "|---|---:|---:|---|"
        for gate in physics["gates"]:
            unit = f" {gate['unit']}" if gate["unit"] else ""
            kept = "kept" if gate["passed"] else "**missed**"
            yield f"| {gate['name']} | {gate['limit']:g}{unit} | {gate['value']:.3g} | {kept} |"


def _headline(found: dict[str, Any]) -> str:
    keys = ("input", "model", "model_best_strength", "best_filter_setting", "bm3d_estimated_noise")
    numbers = (found.get(key) for key in keys)
    return " | ".join("" if number is None else f"{number:.2f}" for number in numbers)


def _distances(tables: list[dict[str, Any]]) -> list[str]:
    """PDR of input, model and best filter, a cell group a condition; none if not measured."""
    table = next((each for each in tables if each.get("title", "").startswith("PDR")), None)
    if table is None:
        return []
    rows = {row[0]: row[1:] for row in table["rows"]}
    filters = [rows[name] for name in FAMILIES if name in rows]
    found = []
    for number, (before, after) in enumerate(zip(rows["input"], rows["model"], strict=True)):
        best = [row[number] for row in filters if row[number] is not None]
        values = (before, after, min(best) if best else None)
        found.append(" | ".join("" if value is None else f"{value:.3f}" for value in values))
    return found


def _version_name(version: ModelVersion) -> str:
    return f"{version.ref.name}@{version.ref.version}"
