"""What of a version in the making is done: a small file beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from model_store.errors import RecipeError
from model_store.training.recipe import Recipe

STATE: Final = "made.json"


@dataclass(slots=True)
class Done:
    """One step that was done.

    Parameters
    ----------
    said : str
        What came of it.
    missed : str
        Which limit it missed, and by how much; empty if none.
    """

    said: str
    missed: str = ""


@dataclass(slots=True)
class State:
    """The steps that were done in a folder, in their order.

    Parameters
    ----------
    folder : Path
        Of the version in the making.
    recipe : str
        Hash of what the recipe resolves to.
    done : dict of str to Done
    """

    folder: Path
    recipe: str
    done: dict[str, Done] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, recipe: Recipe) -> State:
        """Read what was done in a folder, which may be new.

        Raises
        ------
        RecipeError
            If another recipe was begun there, or the file is damaged.
        """
        own = hashlib.sha256(recipe.model_dump_json().encode()).hexdigest()
        path = folder / STATE
        if not path.exists():
            return cls(folder, own)
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            known = {name: Done(**each) for name, each in found["done"].items()}
            before = str(found["recipe"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecipeError(f"{path} is damaged: take it away to begin anew") from error
        if before != own:
            raise RecipeError(
                f"{folder} was begun with another recipe: name another --out, or put the recipe "
                "back as it was"
            )
        return cls(folder, own, known)

    def keep(self, step: str, done: Done) -> None:
        """Note that a step was done."""
        self.done[step] = done
        self._write()

    def forget(self, steps: Sequence[str]) -> None:
        """Note that steps are to be done again."""
        for step in steps:
            self.done.pop(step, None)
        self._write()

    def _write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        done = {
            name: {"said": each.said, "missed": each.missed} for name, each in self.done.items()
        }
        text = json.dumps({"recipe": self.recipe, "done": done}, indent=2, ensure_ascii=False)
        written = self.folder / f".{STATE}"
        written.write_text(text + "\n", encoding="utf-8")
        written.replace(self.folder / STATE)
