"""Networks that others would bring: small ones of every kind of layer, as torch exports them."""

from __future__ import annotations

import io
import warnings
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

WINDOW = 8


def convolution(inputs: int, outputs: int, side: int = 3, **more: Any) -> Any:
    """A convolution that keeps the size."""
    return torch.nn.Conv2d(inputs, outputs, side, padding=side // 2, **more)


class Changed(torch.nn.Module):  # type: ignore[misc, name-defined]
    """``x + strength * body(x)``: a faint change, as an untrained denoiser makes it.

    With `residual` only the change is given.
    """

    def __init__(self, *body: Any, residual: bool = False, strength: float = 0.01) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(*body)
        self.residual = residual
        self.strength = strength

    def forward(self, x: Any) -> Any:
        change = self.strength * self.body(x)
        return change if self.residual else x + change


class LayerNorm(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Layer normalisation over channels, by channels last or (`first`) by means."""

    def __init__(self, width: int, *, first: bool = False) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(width)
        self.first = first

    def forward(self, x: Any) -> Any:
        if self.first:
            mean = x.mean(1, keepdim=True)
            spread = (x - mean).pow(2).mean(1, keepdim=True)
            return (x - mean) / torch.sqrt(spread + 1e-6)
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class WindowAttention(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Attention inside windows of 8 x 8 pixels; `everywhere` lets each pixel look at all."""

    def __init__(self, width: int, heads: int = 2, *, everywhere: bool = False) -> None:
        super().__init__()
        self.heads, self.everywhere = heads, everywhere
        self.qkv = torch.nn.Linear(width, 3 * width)
        self.out = torch.nn.Linear(width, width)

    def forward(self, x: Any) -> Any:
        n, width, rows, columns = x.shape
        side = WINDOW
        if self.everywhere:
            y = x.flatten(2).transpose(1, 2)
        else:
            y = x.view(n, width, rows // side, side, columns // side, side)
            y = y.permute(0, 2, 4, 3, 5, 1).reshape(-1, side * side, width)
        qkv = self.qkv(y).reshape(y.shape[0], y.shape[1], 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        y = torch.softmax(q @ k.transpose(-2, -1) * width**-0.5, -1) @ v
        y = self.out(y.transpose(1, 2).flatten(2))
        if self.everywhere:
            return x + y.transpose(1, 2).reshape(n, width, rows, columns)
        y = y.view(n, rows // side, columns // side, side, side, width)
        return x + y.permute(0, 5, 1, 3, 2, 4).reshape(n, width, rows, columns)


class ChannelAttention(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Squeeze and excitation: every pixel depends on the mean of all."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = torch.nn.Conv2d(width, width, 1)

    def forward(self, x: Any) -> Any:
        return x * torch.sigmoid(self.scale(x.mean((2, 3), keepdim=True)))


class PadsItself(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Takes any size, pads to a multiple of 4 by itself, and works at a quarter of it."""

    def forward(self, x: Any) -> Any:
        rows, columns = x.shape[2:]
        y = torch.nn.functional.pad(x, (0, -columns % 4, 0, -rows % 4))
        y = torch.nn.functional.max_pool2d(y, 4)
        return torch.nn.functional.interpolate(y, scale_factor=4)[..., :rows, :columns]


def smoother() -> bytes:
    """The mean of a pixel and its neighbours, weighted 1 2 1 by 1 2 1, as an ONNX file."""
    layer = convolution(1, 1, bias=False)
    once = torch.tensor([1.0, 2.0, 1.0]) / 4
    kernel = torch.outer(once, once)
    kernel[1, 1] -= 1
    layer.weight = torch.nn.Parameter(kernel[None, None])
    return onnx_bytes(Changed(layer, strength=1.0).eval())


def width_of(width: int = 8) -> tuple[Any, Any]:
    """The first and the last convolution of a small network."""
    return convolution(1, width), convolution(width, 1)


def network(kind: str, seed: int = 0, **more: Any) -> Any:
    """A network of a kind, ready to export; `more` as of `Changed`."""
    torch.manual_seed(seed)
    nn = torch.nn
    head, tail = width_of()
    if kind == "crops its border":
        return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 1, 3)).eval()
    inner: dict[str, list[Any]] = {
        "plain": [nn.ReLU()],
        "gelu": [nn.GELU(), convolution(8, 8), nn.GELU("tanh")],
        "activations": [nn.SiLU(), nn.Hardswish(), nn.ELU(), nn.PReLU(), nn.Softplus(), nn.Mish()],
        "layer norm": [LayerNorm(8), convolution(8, 8)],
        "layer norm by means": [LayerNorm(8, first=True), convolution(8, 8)],
        "window attention": [LayerNorm(8), WindowAttention(8)],
        "pixel shuffle": [
            nn.PixelUnshuffle(2), convolution(32, 32), nn.ReLU(), nn.PixelShuffle(2)
        ],
        "unet": [
            nn.Conv2d(8, 16, 2, stride=2), nn.ReLU(), convolution(16, 16),
            nn.ConvTranspose2d(16, 8, 2, stride=2),
        ],
        "resize": [
            nn.MaxPool2d(2), convolution(8, 8),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        ],
        "reflecting": [nn.ReflectionPad2d(1), nn.Conv2d(8, 8, 3), nn.ReLU()],
        "batch norm": [nn.BatchNorm2d(8), nn.ReLU()],
        "depthwise": [nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.GELU(), nn.Conv2d(8, 8, 1)],
        "group norm": [nn.GroupNorm(2, 8)],
        "instance norm": [nn.InstanceNorm2d(8)],
        "channel attention": [ChannelAttention(8)],
        "attention of all pixels": [WindowAttention(8, everywhere=True)],
        "pads itself": [PadsItself()],
    }  # fmt: skip
    return Changed(head, *inner[kind], tail, **more).eval()


def onnx_bytes(
    module: Any, *, opset: int = 17, free: bool = True, size: tuple[int, ...] = (2, 1, 64, 96),
    **more: Any,
) -> bytes:  # fmt: skip
    """The module as an ONNX file, with free sizes unless told otherwise."""
    stream = io.BytesIO()
    axes = {0: "n", 2: "h", 3: "w"}
    if free:
        more.setdefault("dynamic_axes", {"image": axes, "denoised": axes})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (torch.zeros(size),), stream, dynamo=False, opset_version=opset,
            input_names=["image"], output_names=["denoised"], **more,
        )  # fmt: skip
    return stream.getvalue()


def foreign(kind: str, **more: Any) -> bytes:
    """A network of a kind as an ONNX file."""
    return onnx_bytes(network(kind, **more))


def newly_exported(kind: str) -> bytes:
    """A network of a kind as the exporter writes it that torch takes by default."""
    pytest.importorskip("onnxscript")
    free = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network(kind), (torch.zeros(2, 1, 64, 96),), dynamo=True, dynamic_shapes=(free,),
            input_names=["image"], output_names=["denoised"], verbose=False,
        )  # fmt: skip
    return bytes(program.model_proto.SerializeToString())
