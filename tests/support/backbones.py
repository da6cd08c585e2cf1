"""Backbones of perceptual losses without their weights, which no test has."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_store.training import run
from model_store.training.backbones import Backbone, build_backbone


def random_backbones(patch: pytest.MonkeyPatch) -> None:
    """Have runs take random weights where they would read those of ImageNet."""

    def random(name: str, layers: tuple[int | str, ...], _weights: Path | None) -> Backbone:
        return build_backbone(name, layers)  # type: ignore[arg-type]

    patch.setattr(run, "load_backbone", random)
