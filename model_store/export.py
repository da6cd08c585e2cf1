"""From a checkpoint to ONNX: the released form of a generator, checked against torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from model_store.errors import ExportError
from model_store.generators.base import Generator

OPSET = 18
TOLERANCE = 1e-4
_SIZES = ((1, 64, 64), (2, 96, 160), (1, 512, 320))


class _Residual(nn.Module):
    """A generator's ``G(x) - x``, what a released graph computes."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor) -> Tensor:
        return self.generator.residual(image)


def fold_norm(generator: Generator) -> Generator:
    """Merge every batch normalisation into the convolution before it, in place."""
    for block in generator.modules():
        conv, norm = getattr(block, "conv", None), getattr(block, "norm", None)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            block.conv = torch.nn.utils.fuse_conv_bn_eval(conv, norm)
            block.norm = nn.Identity()
    return generator


def export_onnx(generator: Generator, path: Path) -> float:
    """Write the graph of ``G(x) - x`` with free batch, height and width; check it against torch.

    Batch normalisation is folded into the convolutions (`generator` is changed by that).

    Parameters
    ----------
    generator : Generator
        Trained generator.
    path : Path
        File to write; weights are inside, not beside it.

    Returns
    -------
    float
        Largest absolute difference between ONNX Runtime and torch over several shapes, for inputs
        of unit standard deviation.

    Raises
    ------
    ExportError
        If the graph is not valid or differs from torch by more than 1e-4.
    """
    generator.eval()
    original = _Residual(generator)
    expected = [(image, original(image).detach()) for image in _probes()]
    exported = _Residual(fold_norm(generator)).eval()
    torch.onnx.export(
        exported,
        (torch.zeros(2, 1, 64, 96),),
        path,
        dynamo=False,
        opset_version=OPSET,
        input_names=["image"],
        output_names=["residual"],
        dynamic_axes={
            name: {0: "batch", 2: "height", 3: "width"} for name in ("image", "residual")
        },
    )
    try:
        onnx.checker.check_model(onnx.load(path), full_check=True)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"{path}: {error}") from error
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    worst = 0.0
    for image, wanted in expected:
        (got,) = session.run(None, {"image": image.numpy()})
        worst = max(worst, float(np.abs(got - wanted.numpy()).max()))
    if not worst <= TOLERANCE:
        raise ExportError(f"{path}: ONNX Runtime differs from torch by {worst:.2e}")
    return worst


def _probes() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(n, 1, h, w, generator=generator) for n, h, w in _SIZES]
