"""The page of every setting, and its schema."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from dicom_node.settings import Settings
from dicom_node.settings.source import USUAL
from docs.pages.note import NOTE

ENDPOINTS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}

WORDS = {
    "string": "text", "integer": "integer", "number": "number", "boolean": "true or false",
    "object": "table", "null": "null", "": "value",
}  # fmt: skip


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
        "that the environment variable `DICOM_NODE_CONFIG` names, else "
        f"`{USUAL}`; `dicom-node check` says which. On no file, and no key in the environment, "
        "nothing runs. Every key has a default or says "
        "that it is required; a key that is not listed here is an error, so that a slip of the pen "
        "is found when the node starts.", "",
        "A variable `DICOM_NODE_SECTION__KEY` overrides one key: `DICOM_NODE_DATABASE__URL` sets "
        "`[database] url`, `DICOM_NODE_NODE__PORT` sets `[node] port`. Keep passwords there, out "
        "of the file.", "",
        "`dicom-node config init` writes a commented file. [node.schema.json](node.schema.json) is "
        "the same reference for editors.", "",
    ]  # fmt: skip
    return "\n".join([*head, *single, *listed]).rstrip() + "\n"
