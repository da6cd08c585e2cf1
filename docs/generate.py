"""Write the reference pages that are made from the code, or check that they are up to date.

Usage: ``python docs/generate.py [--check]``. With ``--check`` nothing is written; the exit status
is 1 if a page differs from what the code says now.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydicom.uid import UID
from typer.main import get_command

from dicom_node.cli import app
from dicom_node.dicom import syntaxes
from dicom_node.ledger import states as work
from dicom_node.network.request import negotiation, statuses
from dicom_node.routing import eligibility
from dicom_node.settings import Settings
from model_store.cli import app as store
from model_store.ref import ModelName
from model_store.store import ModelStore, ModelVersion

REFERENCE = Path(__file__).resolve().parent / "reference"
NOTE = "<!-- Made by docs/generate.py; `make docs-generate` writes it again. -->"
ENDPOINTS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}

WORDS = {
    "string": "text", "integer": "integer", "number": "number", "boolean": "true or false",
    "object": "table", "null": "null", "": "value",
}  # fmt: skip


# --- configuration -------------------------------------------------------------------------------


def schema() -> str:
    """JSON Schema of ``node.toml``, for editors that complete TOML."""
    return json.dumps(Settings.model_json_schema(mode="validation"), indent=2) + "\n"


def _kind(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[-1]
        return "condition" if name == "ConditionTable" else _kind(definitions[name], definitions)
    if "allOf" in field or "anyOf" in field:
        kinds = [_kind(each, definitions) for each in field.get("allOf", field.get("anyOf", ()))]
        return " or ".join(kind for kind in dict.fromkeys(kinds) if kind != "null")
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "array":
        return f"list of {_kind(field['items'], definitions)}" if "items" in field else "list"
    kind = "path" if field.get("format") == "path" else WORDS[field.get("type", "")]
    limits = [f"{sign} {field[key]:g}" for key, sign in ENDPOINTS.items() if key in field]
    return f"{kind} {', '.join(limits)}".strip()


def _default(field: dict[str, Any], *, required: bool) -> str:
    if required:
        return "*required*"
    default = field.get("default")
    if default is None:
        return "absent"
    return f"`{json.dumps(default)}`"


def _rows(model: dict[str, Any], definitions: dict[str, Any]) -> Iterable[str]:
    required = set(model.get("required", ()))
    yield "| key | kind | default | meaning |"
    yield "|---|---|---|---|"
    for key, field in model["properties"].items():
        meaning = field.get("description", "").replace("|", "\\|")
        kind = _kind(field, definitions).replace("|", "\\|")
        yield f"| `{key}` | {kind} | {_default(field, required=key in required)} | {meaning} |"


def _purpose(model: dict[str, Any]) -> str:
    return str(model.get("description", "")).split("\n\n", 1)[0].replace("\n", " ")


def configuration() -> str:
    """Reference page of every setting, one table a section."""
    tree = Settings.model_json_schema(mode="validation")
    definitions: dict[str, Any] = tree["$defs"]
    single: list[str] = []
    listed: list[str] = []
    for name, field in tree["properties"].items():
        reference = field.get("$ref") or field.get("items", {}).get("$ref")
        if reference is None:
            reference = field["allOf"][0]["$ref"]
        model = definitions[reference.rsplit("/", 1)[-1]]
        heading, target = (f"[[{name}]]", listed) if "items" in field else (f"[{name}]", single)
        target += [f"## {heading}", "", _purpose(model), "", *_rows(model, definitions), ""]
    condition = definitions["ConditionTable"]
    listed += [
        "### Conditions of a route", "",
        "`when` maps a DICOM keyword to what its value must be; all lines must hold. A plain value "
        "means *equals*, a list means *one of*, a table combines the keys below. "
        "[Write routes](../how-to/write-routes.md) shows examples.", "",
        *_rows(condition, definitions), "",
    ]  # fmt: skip
    single += [
        "### Rules of promotion.metrics", "", _purpose(definitions["MetricRule"]), "",
        *_rows(definitions["MetricRule"], definitions), "",
        "[Manage model versions](../how-to/manage-model-versions.md) shows examples.", "",
    ]  # fmt: skip
    head = [
        NOTE, "", "# Configuration", "",
        "The node reads one TOML file, `node.toml`: the one that `--config` names, else the one "
        "that the environment variable `DICOM_NODE_CONFIG` names. Every key has a default or says "
        "that it is required; a key that is not listed here is an error, so that a slip of the pen "
        "is found when the node starts.", "",
        "A variable `DICOM_NODE_SECTION__KEY` overrides one key: `DICOM_NODE_DATABASE__URL` sets "
        "`[database] url`, `DICOM_NODE_NODE__PORT` sets `[node] port`. Keep passwords there, out "
        "of the file.", "",
        "`dicom-node config init` writes a commented file. [node.schema.json](node.schema.json) is "
        "the same reference for editors.", "",
    ]  # fmt: skip
    return "\n".join([*head, *single, *listed]).rstrip() + "\n"


# --- states --------------------------------------------------------------------------------------

EVENTS = {
    work.WorkEvent.START: "a worker takes its batch",
    work.WorkEvent.RELEASE: "the worker gave no sign for too long, or met an error worth a retry",
    work.WorkEvent.PASS: "it must not be denoised; the reason is kept",
    work.WorkEvent.FAIL: "an error that a person has to look at; the reason is kept",
    work.WorkEvent.FINISH: "its result is written",
    work.WorkEvent.DELIVER: "every destination has answered with success or a warning",
    work.WorkEvent.RETRY: "a person asks for another try, from the pixels on",
    work.WorkEvent.REDELIVER: "a person asks that the stored result be sent again",
    work.WorkEvent.DISMISS: "a person discards an instance that was kept aside for a UID conflict",
}


def states() -> str:
    """Reference page of the life of a work item, as the transition table has it."""
    lines = [
        NOTE, "", "# States", "",
        "A work item is one instance under one route. The ledger shows exactly one state for it at "
        "all times, and every change leaves an audit event. A change that is not in this table "
        "does not happen.", "", "| from | event | to | when |", "|---|---|---|---|",
    ]  # fmt: skip
    for (state, event), result in work.TRANSITIONS.items():
        lines.append(f"| `{state}` | {event} | `{result}` | {EVENTS[event]} |")
    final = ", ".join(f"`{state}`" for state in work.WorkState if state.terminal)
    lines += ["", f"Terminal states: {final}."]
    for title, kind in (
        ("Instances", work.InstanceState), ("Batches", work.BatchState),
        ("Parcels", work.ParcelState), ("Deliveries", work.DeliveryState),
    ):  # fmt: skip
        values = ", ".join(f"`{value}`" for value in kind)
        lines += ["", f"## {title}", "", f"{(kind.__doc__ or '').strip()}", "", f"{values}."]
    return "\n".join(lines) + "\n"


# --- what is exchanged ---------------------------------------------------------------------------

STATUSES = (
    0x0000, 0xB000, 0xB006, 0xB007, 0x0107, 0x0111, 0x0116, 0xA700, 0x0110, 0x0213, 0x0211, 0x0122,
    0x0124, 0x0117, 0x0118, 0x0119, 0xA900, 0xC000,
)  # fmt: skip
WHOLE_RANGES = {0xA700: "A7xx", 0xA900: "A9xx", 0xC000: "Cxxx"}
OUTCOMES = {
    statuses.DeliveryOutcome.DELIVERED: "delivered",
    statuses.DeliveryOutcome.WARNING: "delivered; the warning is kept",
    statuses.DeliveryOutcome.RETRY: "tried again later",
    statuses.DeliveryOutcome.REFUSED: "dead letter: a person has to look",
}


def services() -> str:
    """Reference page of SOP classes, transfer syntaxes and statuses."""
    lines = [
        NOTE, "", "# SOP classes, transfer syntaxes, statuses", "",
        "Tables of the [conformance statement](conformance.md).", "",
        "## Images that can be denoised", "",
        "Every storage SOP class is received and kept; these are the ones whose images a route can "
        "have denoised. All others end `passed`.", "",
        "| SOP class | UID | values |", "|---|---|---|",
    ]  # fmt: skip
    for classes, values in (
        (eligibility.CT_CLASSES, "Hounsfield units"),
        (eligibility.PROJECTION_CLASSES, "stored values"),
    ):
        lines += [f"| {UID(uid).name} | `{uid}` | {values} |" for uid in sorted(classes)]
    lines += [
        "", "## Transfer syntaxes received", "",
        "For each presentation context the node accepts the first proposed syntax that it can "
        "decode and that loses nothing, else the first that it can decode, else the first of all: "
        "that object is kept as it came and ends `passed` or `failed`.", "",
        "| transfer syntax | UID | decoded |", "|---|---|---|",
    ]  # fmt: skip
    lines += [f"| {UID(uid).name} | `{uid}` | {word} |" for uid, word in _transfer_syntaxes()]
    lines += [
        "", "## Transfer syntaxes sent", "",
        "For each SOP class, each in a presentation context of its own: the syntax in which the "
        "result is stored; then the uncompressed ones; then the lossless ones. The result is sent "
        "in the first that the destination accepts.", "", "| transfer syntax | UID |", "|---|---|",
    ]  # fmt: skip
    sent = (*negotiation.UNCOMPRESSED, *negotiation.LOSSLESS)
    lines += [f"| {UID(uid).name} | `{uid}` |" for uid in sent]
    lines += [
        "", "## What a destination's answer leads to", "",
        "Statuses of C-STORE responses (PS3.4 B.2.3, PS3.7 Annex C). No answer at all, a refused "
        "connection, a rejected or an aborted association: tried again later.", "",
        "| status | meaning | the delivery is |", "|---|---|---|",
    ]  # fmt: skip
    for status in STATUSES:
        what = statuses.meaning(status)
        code = WHOLE_RANGES.get(status, f"{status:04X}")
        lines.append(f"| {code} | {what.words} | {OUTCOMES[what.outcome]} |")
    return "\n".join(lines) + "\n"


def _transfer_syntaxes() -> Iterable[tuple[str, str]]:
    for syntax in syntaxes.DECODED.values():
        yield syntax.uid, "lossless" if syntax.lossless else "lossy"


# --- command line --------------------------------------------------------------------------------


def command_line() -> str:
    """Reference page of every command, as its own help has it."""
    lines = [NOTE, "", "# Command line", "", "Every command explains itself with `--help`.", ""]

    def describe(command: Any, words: tuple[str, ...]) -> None:
        title = " ".join(words)
        children = getattr(command, "commands", {})
        if not children:
            lines.extend([f"## {title}", "", _paragraphs(command.help), ""])
            rows = [
                f"| `{names}` | {text} |"
                for names, text in filter(None, (_parameter(p) for p in command.params))
            ]
            if rows:
                lines.extend(["| option | meaning |", "|---|---|", *rows, ""])
        for name, child in children.items():
            if not child.hidden:
                describe(child, (*words, name))

    describe(get_command(app), ("dicom-node",))
    describe(get_command(store), ("model-store",))
    return "\n".join(lines).rstrip() + "\n"


def _paragraphs(text: str | None) -> str:
    plain = (text or "").replace("\b", "").replace("\\[", "[")
    return "\n".join(line.strip() for line in plain.splitlines()).strip()


def _parameter(parameter: Any) -> tuple[str, str] | None:
    text = getattr(parameter, "help", None)
    if parameter.name == "help" or getattr(parameter, "hidden", False):
        return None
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    if parameter.param_type_name == "argument":
        names = parameter.name.upper()
    default = parameter.default
    named = default not in (None, False, ()) and not callable(default)
    installed = isinstance(default, Path) and default.is_absolute()
    known = "what comes with the package" if installed else f"`{default}`"
    shown = f" Default: {known}." if named else ""
    return names, f"{text or ''}{shown}".replace("\\[", "[").replace("|", "\\|").replace("\n", " ")


# --- model versions ------------------------------------------------------------------------------

INTRODUCTION = """\
Every number here stands in a version's manifest, where `model-store evaluate NAME@VERSION
--write` and `model-store physics NAME@VERSION --write` put it; its model card has all tables,
and how long it was trained on what. `model-store report NAME@VERSION --data DATA` makes a page
with pictures of it.

PSNR in dB on images of patients and scanners that were not trained on, mean over the images of
a condition: a window of 400 HU for CT, the full range for radiographs. Beside each model stands
the filter (Gaussian, median, bilateral, BM3D) that is best for that image at its best setting,
which no user can know; and BM3D with the noise level estimated from the image, which a user can
have. Data and noise are not those of the publications, and most runs were short, on a
processor: these are figures of these weights, not of what the methods can do."""


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
    yield "| condition | images | input | model | best strength | best filter | BM3D, estimated |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for condition, found in metrics["headline"].items():
        yield f"| {condition} | {found['images']} | {_headline(found)} |"
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


def _version_name(version: ModelVersion) -> str:
    return f"{version.ref.name}@{version.ref.version}"


PAGES: dict[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "node.schema.json": schema,
    "states.md": states,
    "services.md": services,
    "command-line.md": command_line,
    "models.md": models,
}


def outdated() -> list[str]:
    """Return the names of pages that differ from what the code says."""
    return [
        name
        for name, make in PAGES.items()
        if not (REFERENCE / name).is_file()
        or (REFERENCE / name).read_text(encoding="utf-8") != make()
    ]


def main() -> int:
    """Write or check the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say which pages are outdated")
    if parser.parse_args().check:
        names = outdated()
        for name in names:
            sys.stderr.write(
                f"docs/reference/{name} is not what the code says: make docs-generate\n"
            )
        return 1 if names else 0
    REFERENCE.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        (REFERENCE / name).write_text(make(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
