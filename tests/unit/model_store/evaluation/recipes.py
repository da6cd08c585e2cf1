"""Recipes for tests of the evaluation."""

from __future__ import annotations

from typing import Any

from model_store.training.recipe import Recipe

XRAY = {
    "kind": "xray",
    "sources": [{"folder": "xray"}],
    "held_out": ["a.png"],
    "maximum_sd": 0.12,
}
CT = {
    "kind": "ct",
    "sources": [{"folder": "ct/one"}],
    "held_out": ["ct/two"],
    "minimum_sd": 4,
    "maximum_sd": 60,
}
POISSON = {"kind": "poisson", "psnr": 29.91}
CONTENT = {"name": "perceptual", "backbone": "resnet34", "layers": ["layer2"]}
CRITIC = {"network": {"system": "dngan"}, "objective": "bce", "weight": 0.01}


def recipe(
    name: str = "toy",
    system: str = "n2n-unet",
    data: dict[str, Any] | None = None,
    loss: list[dict[str, Any]] | None = None,
    critic: dict[str, Any] | None = None,
) -> Recipe:
    """A recipe that says what a test is about, and nothing else of interest."""
    data = data or XRAY
    content: dict[str, Any] = {
        "name": name,
        "version": "1.0.0",
        "generator": {"system": system},
        "input": {"units": "HU", "scale": 1024} if data["kind"] == "ct" else {"units": "stored"},
        "data": data,
        "training": {"iterations": 100, "loss": [{"name": "mse"}] if loss is None else loss},
        "release": {
            "modality": ["CT"],
            "intended_use": "Tests.",
            "training_data": "None.",
            "licence": "Apache-2.0",
            "noise": "None.",
            "limits": "- None.",
            "differences": "- None.",
        },
    }
    if critic is not None:
        content["critic"] = critic
    return Recipe.resolve(content, "test")
