"""Names of the files of a model version that more than one room knows."""

from __future__ import annotations

from typing import Final

MANIFEST: Final = "manifest.json"
ONNX: Final = "model.onnx"
CARD: Final = "card.md"
RECIPE: Final = "recipe.toml"
"""Also in the folder of a run."""
