"""Recipe files: TOML that may extend another file, or be a study with one arm for every weight.

``extends = "bases/ct.toml"`` takes every table of that file (its path is relative to the file that
names it; without the suffix it is a recipe that is shipped: ``extends = "drl-pairs"``) and lets the
own keys replace single ones. ``[study]`` holds ``factors`` and, in
``weights``, names of its arms with the key whose value an arm multiplies::

    [study]
    factors = [0.5, 2]
    weights = { content = "training.loss.perceptual", adversarial = "critic" }

makes the arms ``content-0.5``, ``content-2``, ``adversarial-0.5`` and ``adversarial-2``, and
``base`` with every factor 1.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from model_store.errors import RecipeError

RECIPES = Path(__file__).parent / "recipes"
"""Those that are shipped."""

_SUFFIX = ".toml"
_BASE = "base"
_DEEPEST = 4


def read_toml(path: Path, arm: str | None = None) -> dict[str, Any]:
    """Read a recipe file with all that it extends.

    Parameters
    ----------
    path : Path
        The file.
    arm : str, optional
        Arm of a study: its name is added to the recipe's.

    Raises
    ------
    RecipeError
        If a file cannot be read or is not TOML, if files extend each other in a circle, if a
        study lacks its arm or something that is none is given one.
    """
    content = _extended(path, _DEEPEST)
    if "study" not in content:
        if arm is not None:
            raise RecipeError(f"{path}: has no [study], so no arm {arm!r}")
        return content
    arms = study_arms(content, path)
    if arm not in arms:
        raise RecipeError(f"{path}: a study: name one of its arms by --arm: {', '.join(arms)}")
    key, factor = arms[arm]
    del content["study"]
    content["name"] = f"{content['name']}-{arm}"
    if key is not None:
        _multiply(content, key, factor, path)
    return content


def recipe_path(recipe: Path) -> Path:
    """A recipe's file: as it is named, or else the shipped one of that name."""
    own = RECIPES / f"{recipe}{_SUFFIX}"
    return own if not recipe.exists() and own.exists() else recipe


def study_arms(content: dict[str, Any], path: Path) -> dict[str, tuple[str | None, float]]:
    """Names of a study's arms, each with the key it multiplies and the factor.

    Raises
    ------
    RecipeError
        If ``[study]`` lacks ``weights`` or ``factors``.
    """
    study = content["study"]
    try:
        weights, factors = dict(study["weights"]), [float(value) for value in study["factors"]]
    except (KeyError, TypeError, ValueError) as error:
        raise RecipeError(f"{path}: [study] takes weights, a table, and factors") from error
    arms: dict[str, tuple[str | None, float]] = {_BASE: (None, 1.0)}
    arms |= {
        f"{name}-{factor:g}": (str(key), factor)
        for name, key in weights.items()
        for factor in factors
        if factor != 1
    }
    return arms


def parse_toml(text: str, origin: str) -> dict[str, Any]:
    """Parse TOML.

    Raises
    ------
    RecipeError
        If it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{origin}: not TOML: {error}") from error


def dump_toml(content: dict[str, Any]) -> str:
    """Write tables, lists, strings, numbers and booleans as TOML."""
    lines = [f"{key} = {_value(value)}" for key, value in content.items() if not _table(value)]
    for key, value in content.items():
        if _table(value):
            lines += ["", f"[{key}]"]
            lines += [f"{inner} = {_value(item)}" for inner, item in value.items()]
    return "\n".join(lines) + "\n"


def _extended(path: Path, depth: int) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: {error}") from error
    content = parse_toml(text, str(path))
    base = content.pop("extends", None)
    if base is None:
        return content
    if isinstance(base, str) and not base.endswith(_SUFFIX):
        base = str(RECIPES / f"{base}{_SUFFIX}")
    if depth == 0 or not isinstance(base, str):
        raise RecipeError(f"{path}: extends = {base!r}: not a file, or files extend in a circle")
    return _merged(_extended(path.parent / base, depth - 1), content)


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `own`; tables key by key, unless their kind or system changes."""
    merged = dict(base)
    for key, value in own.items():
        before = merged.get(key)
        if isinstance(value, dict) and isinstance(before, dict) and _alike(before, value):
            merged[key] = _merged(before, value)
        else:
            merged[key] = value
    return merged


def _alike(before: dict[str, Any], own: dict[str, Any]) -> bool:
    return all(own.get(tag, before.get(tag)) == before.get(tag) for tag in ("kind", "system"))


def _multiply(content: dict[str, Any], key: str, factor: float, path: Path) -> None:
    """Multiply the weight that `key` names: a table's, or that of a term in a list of terms."""
    found: Any = content
    for part in key.split("."):
        if isinstance(found, list):
            found = next((item for item in found if item.get("name") == part), None)
        else:
            found = found.get(part) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise RecipeError(f"{path}: [study] names {key}, which is not in the recipe")
    found["weight"] = found.get("weight", 1.0) * factor


def _table(value: object) -> bool:
    return isinstance(value, dict)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        if any(isinstance(item, dict) for item in value):
            return "[\n" + "".join(f"    {_value(item)},\n" for item in value) + "]"
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, str) and "\n" in value and '"""' not in value and "\\" not in value:
        return f'"""\n{value}"""'
    # TOML's basic strings escape as JSON's do; its floats and booleans are written alike
    return json.dumps(value, ensure_ascii=False)
