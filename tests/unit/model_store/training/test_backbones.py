from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from model_store.errors import RecipeError
from model_store.training import backbones
from model_store.training.backbones import KnownFile, build_backbone, load_backbone


def _shelve(
    monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, file: str, state: dict[str, Any]
) -> Path:
    """Write `state` as a file and make it the one that is known for `name`."""
    path = folder / file
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(backbones, "KNOWN_FILES", {name: (KnownFile(file, digest[:8]),)})
    return path


def test_vgg_indices_are_torchvisions() -> None:
    image = torch.rand(1, 1, 32, 32)
    shapes = [tuple(item.shape[1:]) for item in build_backbone("vgg16", [3, 8, 15, 22])(image)]
    assert shapes == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]
    convs = [key for key in build_backbone("vgg19", [34]).state_dict() if key.endswith("weight")]
    assert len(convs) == 16
    assert convs[-1] == "features.34.weight"
    before, after = build_backbone("vgg19", [34, 35])(image)
    assert before.min() < 0
    assert torch.equal(after, before.relu())


def test_resnet_stages_have_torchvisions_keys_and_shapes() -> None:
    network = build_backbone("resnet34", ["layer2", "layer4"])
    image = torch.rand(1, 1, 64, 64)
    assert [tuple(item.shape[1:]) for item in network(image)] == [(128, 8, 8), (512, 2, 2)]
    # torchvision's resnet34 has 21,797,672 parameters, 513,000 of them in fc
    assert sum(item.numel() for item in network.parameters()) == 21_797_672 - 513_000
    assert "layer3.5.bn2.running_var" in network.state_dict()
    assert "layer2.0.downsample.0.weight" in network.state_dict()
    assert not any(
        key.startswith("layer3") for key in build_backbone("resnet34", ["layer2"]).state_dict()
    )


def test_a_backbone_is_frozen_and_stays_in_evaluation_mode() -> None:
    network = build_backbone("resnet34", ["layer1"])
    network.train()
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_grey_is_normalised_as_imagenet_is() -> None:
    grey = build_backbone("vgg16", [0]).normalised(torch.full((1, 1, 1, 1), 0.5)).flatten()
    assert grey.tolist() == pytest.approx([0.015 / 0.229, 0.044 / 0.224, 0.094 / 0.225])


@pytest.mark.parametrize("file", ["vgg16.pth", "vgg16.safetensors"])
def test_weights_are_loaded_from_a_known_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str
) -> None:
    source = build_backbone("vgg16", [8])
    state = {key: value.half().contiguous() for key, value in source.state_dict().items()}
    path = _shelve(monkeypatch, tmp_path, "vgg16", file, state)
    loaded = load_backbone("vgg16", [3], tmp_path)
    assert torch.equal(loaded.state_dict()["features.2.bias"], state["features.2.bias"].float())
    with pytest.raises(RecipeError, match=r"lacks features\.10\.weight"):
        load_backbone("vgg16", [15], tmp_path)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(RecipeError, match="SHA-256"):
        load_backbone("vgg16", [3], tmp_path)


def test_a_pickle_that_holds_more_than_tensors_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _shelve(monkeypatch, tmp_path, "vgg16", "vgg16.pth", {"features.0.weight": print})
    with pytest.raises(RecipeError, match=r"vgg16\.pth: cannot be read"):
        load_backbone("vgg16", [0], tmp_path)


def test_missing_weights_say_what_needs_them_and_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError, match=r"needs vgg19 up to layer 34.*vgg19-dcbb9e9d\.pth.*with --weights"
    ):
        load_backbone("vgg19", [34], None)
    with pytest.raises(RecipeError, match=r"found none of resnet34-b627a593\.pth, .* in "):
        load_backbone("resnet34", ["layer2"], tmp_path)


@pytest.mark.parametrize(
    ("name", "layers"), [("vgg16", [31]), ("vgg16", ["layer2"]), ("resnet34", [3]), ("vgg16", [-1])]
)
def test_unknown_layers_are_recipe_errors(name: str, layers: list[int | str]) -> None:
    with pytest.raises(RecipeError, match="has no layers"):
        build_backbone(name, layers)  # type: ignore[arg-type]
