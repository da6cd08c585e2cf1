"""Recipe files: TOML that may extend another file, or hold several arms.

``extends = "bases/ct.toml"`` takes every table of that file (its path is relative to the file that
names it; without the suffix it is a recipe that is shipped: ``extends = "drl-pairs"``) and lets the
own keys replace single ones. ``[study]`` holds ``factors`` and, in
``weights``, names of its arms with the key whose value an arm multiplies::

    [study]
    factors = [0.5, 2]
    weights = { content = "training.loss.perceptual", adversarial = "critic" }

makes the arms ``content-0.5``, ``content-2``, ``adversarial-0.5`` and ``adversarial-2``, and
``base`` with every factor 1. Arms that differ in more than a weight are tables of their own, whose
keys replace the file's; ``false`` for a table takes the table away::

    [arms.mae]
    critic = false
    training.loss = [{ name = "mae" }]

The name of an arm is added to the recipe's; ``{recipe}`` in a string stands for the file's name
without it, so that one arm can start from another.
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
_SELF = "{recipe}"


def read_toml(path: Path, arm: str | None = None) -> dict[str, Any]:
    """Read a recipe file with all that it extends.

    Parameters
    ----------
    path : Path
        The file.
    arm : str, optional
        Arm of a file that has several.

    Raises
    ------
    RecipeError
        If a file cannot be read or is not TOML, if files extend each other in a circle, if none
        of a file's arms is named, or one that it does not have.
    """
    content = _extended(path, ())
    names = _arm_names(content, path)
    if arm not in (names or (None,)):
        if arm is not None and not names:
            raise RecipeError(f"{path}: has no arms, so no arm {arm!r}")
        raise RecipeError(f"{path}: has several arms; name one by --arm: {', '.join(names)}")
    own, study = content.pop("arms", {}), content.pop("study", None)
    if arm is None:
        return content
    if study is not None:
        key, factor = _factors(study, path)[arm]
        if key is not None:
            _multiply(content, key, factor, path)
    name = content.get("name", path.stem)
    content = {
        key: _replaced(value, str(name)) for key, value in merged(content, own.get(arm, {})).items()
    }
    content["name"] = f"{name}-{arm}"
    return content


def shipped(name: str) -> tuple[Path, str | None] | None:
    """File and arm of the shipped recipe that has this name; None if none has."""
    own = RECIPES / f"{name}{_SUFFIX}"
    if own.exists():
        return own, None
    for path in sorted(RECIPES.glob(f"*{_SUFFIX}")):
        arm = name.removeprefix(f"{path.stem}-")
        if arm != name and arm in arms_of(path):
            return path, arm
    return None


def arms_of(path: Path) -> list[str]:
    """Names of the arms of a recipe file; none if it is a recipe as it stands.

    Raises
    ------
    RecipeError
        As `read_toml`.
    """
    return _arm_names(_extended(path, ()), path)


def recipe_path(recipe: Path) -> Path:
    """A recipe's file: as it is named, or else the shipped one of that name."""
    own = RECIPES / f"{recipe}{_SUFFIX}"
    return own if not recipe.exists() and own.exists() else recipe


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


def _arm_names(content: dict[str, Any], path: Path) -> list[str]:
    """Names of the arms that a file has by ``[study]`` or by ``[arms]``."""
    own = content.get("arms", {})
    if not isinstance(own, dict) or not all(isinstance(arm, dict) for arm in own.values()):
        raise RecipeError(f"{path}: [arms] holds a table for each arm")
    if "study" not in content:
        return list(own)
    if own:
        raise RecipeError(f"{path}: has arms by [study] or by [arms], not by both")
    return list(_factors(content["study"], path))


def _factors(study: Any, path: Path) -> dict[str, tuple[str | None, float]]:
    """Names of a study's arms, each with the key it multiplies and the factor."""
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


def _replaced(value: Any, name: str) -> Any:
    """A value with the recipe's name for ``{recipe}`` in its strings."""
    if isinstance(value, dict):
        return {key: _replaced(item, name) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, name) for item in value]
    return value.replace(_SELF, name) if isinstance(value, str) else value


def _extended(path: Path, extending: tuple[Path, ...]) -> dict[str, Any]:
    """Content of a file with that of what it extends; `extending` are those on the way to it."""
    here = path.resolve()
    if here in extending:
        circle = " extends ".join(str(each) for each in (*extending, here))
        raise RecipeError(f"files extend each other in a circle: {circle}")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: {error}") from error
    content = parse_toml(text, str(path))
    base = content.pop("extends", None)
    if base is None:
        return content
    if not isinstance(base, str):
        raise RecipeError(f"{path}: extends = {base!r}: takes the name of a file")
    if not base.endswith(_SUFFIX):
        base = str(RECIPES / f"{base}{_SUFFIX}")
    return merged(_extended(path.parent / base, (*extending, here)), content)


def merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `own`; tables key by key, unless their kind or system changes."""
    result = dict(base)
    for key, value in own.items():
        before = result.get(key)
        if value is False and isinstance(before, dict):
            del result[key]
        elif isinstance(value, dict) and isinstance(before, dict) and _alike(before, value):
            result[key] = merged(before, value)
        else:
            result[key] = value
    return result


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
