"""Frozen ImageNet networks whose feature maps perceptual losses compare.

Written out with torchvision's key names, so that its checkpoint files fit: VGG-16 and VGG-19
(Simonyan, Zisserman 2015, configurations D and E) and ResNet-34 (He et al. 2016). Only as deep as
the deepest layer that is asked for.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from model_store.errors import RecipeError
from model_store.hashing import file_sha256

BackboneName = Literal["vgg16", "vgg19", "resnet34"]
Layer = int | str

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_VGG_BLOCKS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
_VGG_WIDTHS = (64, 128, 256, 512, 512)
_RESNET_BLOCKS = (3, 4, 6, 3)


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file of weights: its name, and its SHA-256 or the first digits of it."""

    name: str
    sha256: str


KNOWN_FILES: Mapping[str, tuple[KnownFile, ...]] = {
    # torchvision's names carry the first eight digits; part files are searched last
    "vgg16": (
        KnownFile("vgg16-397923af.pth", "397923af"),
        KnownFile(
            "vgg16_features_0-21_fp16.safetensors",
            "d1164efb1be15ba6eb6f98237be29213ac2ed6598e2e97c49feefcc6ecee4d8d",
        ),
    ),
    "vgg19": (KnownFile("vgg19-dcbb9e9d.pth", "dcbb9e9d"),),
    "resnet34": (
        KnownFile("resnet34-b627a593.pth", "b627a593"),
        KnownFile("resnet34-333f7ec4.pth", "333f7ec4"),
        KnownFile(
            "resnet34_to_layer3_fp16.safetensors",
            "d86ab1c8a925c4097566097692861208d6cb069c581fbb0adfb389fa5efa232d",
        ),
    ),
}


class Backbone(nn.Module):
    """A feature extractor that is never trained and always in evaluation mode.

    Parameters
    ----------
    layers : sequence of int or str
        What `forward` returns, see the subclasses.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.layers = tuple(layers)
        self.register_buffer("mean", torch.tensor(_MEAN).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).reshape(1, 3, 1, 1), persistent=False)

    def normalised(self, image: Tensor) -> Tensor:
        """Grey ``[N, 1, H, W]`` of 0..1 as three channels of ImageNet's mean and deviation."""
        result: Tensor = (image - self.mean) / self.std
        return result.contiguous(memory_format=torch.channels_last)

    def freeze(self) -> Backbone:
        """Stop gradients to the weights and switch to evaluation mode, in place."""
        self.requires_grad_(False)
        self.eval()
        return self.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def train(self, mode: bool = True) -> Backbone:
        """Stay in evaluation mode whatever is asked for: statistics are ImageNet's."""
        del mode
        super().train(False)
        return self


class Vgg(Backbone):
    """``features`` of VGG-16 or VGG-19; layers are torchvision's indices into it.

    An index counts every layer, ReLU and pooling included: of VGG-16 the ReLUs after the last
    convolution of blocks 1 to 4 are 3, 8, 15, 22; of VGG-19 the sixteenth convolution is 34 and
    its ReLU 35.

    Raises
    ------
    RecipeError
        If a layer is not an index of that network.
    """

    def __init__(self, name: str, layers: Sequence[Layer]) -> None:
        super().__init__(layers)
        features: list[nn.Module] = []
        channels = 3
        for count, width in zip(_VGG_BLOCKS[name], _VGG_WIDTHS, strict=True):
            for _ in range(count):
                features += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            features.append(nn.MaxPool2d(2, 2))
        known = range(len(features))
        bad = [layer for layer in layers if layer not in known]
        if bad or not layers:
            raise RecipeError(
                f"{name} has no layers {bad}: give indices from 0 to {len(features) - 1}"
            )
        self.features = nn.Sequential(*features[: max(map(int, layers)) + 1])

    def forward(self, image: Tensor) -> list[Tensor]:
        """Feature maps ``[N, C, h, w]`` of grey images ``[N, 1, H, W]`` of 0..1, as asked for."""
        x = self.normalised(image)
        found: dict[Layer, Tensor] = {}
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.layers:
                found[index] = x
        return [found[layer] for layer in self.layers]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation around a shortcut (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        if stride > 1 or inputs != outputs:
            self.downsample: nn.Sequential | None = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        else:
            self.downsample = None

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[N, inputs, H, W]`` to ``[N, outputs, H / stride, W / stride]``."""
        shortcut = x if self.downsample is None else self.downsample(x)
        inner = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(inner)) + shortcut)


class ResNet34(Backbone):
    """ResNet-34; layers are "layer1" to "layer4", each the last ReLU of that stage.

    Raises
    ------
    RecipeError
        If a layer is none of these.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__(layers)
        stages = [f"layer{index + 1}" for index in range(len(_RESNET_BLOCKS))]
        bad = [layer for layer in layers if layer not in stages]
        if bad or not layers:
            raise RecipeError(f"resnet34 has no layers {bad}: give some of {', '.join(stages)}")
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.stages = stages[: max(stages.index(str(layer)) for layer in layers) + 1]
        channels = 64
        for index, stage in enumerate(self.stages):
            width = 64 * 2**index
            blocks = [
                BasicBlock(channels if i == 0 else width, width, 2 if i == 0 and index else 1)
                for i in range(_RESNET_BLOCKS[index])
            ]
            self.add_module(stage, nn.Sequential(*blocks))
            channels = width

    def forward(self, image: Tensor) -> list[Tensor]:
        """Feature maps ``[N, C, h, w]`` of grey images ``[N, 1, H, W]`` of 0..1, as asked for."""
        x = torch.relu(self.bn1(self.conv1(self.normalised(image))))
        x = self.maxpool(x)
        found: dict[Layer, Tensor] = {}
        for stage in self.stages:
            x = self.get_submodule(stage)(x)
            found[stage] = x
        return [found[layer] for layer in self.layers]


def build_backbone(name: BackboneName, layers: Sequence[Layer]) -> Backbone:
    """Build a backbone with random weights, frozen.

    Raises
    ------
    RecipeError
        If it has no such layer.
    """
    return (ResNet34(layers) if name == "resnet34" else Vgg(name, layers)).freeze()


def load_backbone(name: BackboneName, layers: Sequence[Layer], weights: Path | None) -> Backbone:
    """Build a backbone with the ImageNet weights of a known file.

    Parameters
    ----------
    name : str
        "vgg16", "vgg19" or "resnet34".
    layers : sequence of int or str
        Layers to return, see `Vgg` and `ResNet34`.
    weights : Path, optional
        Folder that holds one of the `KNOWN_FILES` of that network; the first that is there and
        reaches deep enough is taken.

    Raises
    ------
    RecipeError
        If there is no folder or no such file in it, or if a file's bytes are not those known by
        its name, or it does not reach deep enough.
    """
    wanted = f"a perceptual loss of this recipe needs {name} up to layer {layers[-1]}"
    names = ", ".join(item.name for item in KNOWN_FILES[name])
    if weights is None:
        raise RecipeError(f"{wanted}: name the folder that holds {names} with --weights")
    backbone = build_backbone(name, layers)
    shallow: list[str] = []
    for item in KNOWN_FILES[name]:
        path = weights / item.name
        if not path.exists():
            continue
        state = _read(path, item.sha256)
        missing = [key for key in backbone.state_dict() if key not in state and not _counter(key)]
        if missing:
            shallow.append(f"{item.name} lacks {missing[0]}")
            continue
        kept = {key: state[key].float() for key in backbone.state_dict() if not _counter(key)}
        backbone.load_state_dict(kept, strict=False)
        return backbone
    found = f" ({'; '.join(shallow)})" if shallow else ""
    raise RecipeError(f"{wanted}: found none of {names} that fits in {weights}{found}")


def _counter(key: str) -> bool:
    return key.endswith("num_batches_tracked")


def _read(path: Path, sha256: str) -> dict[str, Tensor]:
    """Tensors of a file whose bytes are the known ones; pickled files hold tensors alone."""
    try:
        found = file_sha256(path)
        if not found.startswith(sha256):
            raise RecipeError(f"{path}: SHA-256 is {found[:16]}..., not {sha256}; fetch it again")
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, SafetensorError, RuntimeError, pickle.UnpicklingError) as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from error
