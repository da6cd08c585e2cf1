"""In what arithmetic a run's generator computes while it is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

PrecisionChoice = Literal["auto", "f32", "bf16"]
TorchPrecision = Literal["float32", "bfloat16"]

_NAMES: dict[PrecisionChoice, TorchPrecision] = {"f32": "float32", "bf16": "bfloat16"}


def resolve_precision(choice: PrecisionChoice) -> TorchPrecision:
    """What a recipe says for `choice`; "auto" takes bfloat16 where it is faster than float32.

    That is on a GPU and on processors with bfloat16 of their own; elsewhere it is emulated.
    Weights, their average, the optimiser, the loss and whatever is released stay float32.
    """
    if choice == "auto":
        return "bfloat16" if torch.cuda.is_available() or _native_on_processor() else "float32"
    return _NAMES[choice]


@contextmanager
def arithmetic_of(precision: TorchPrecision) -> Iterator[None]:
    """Let a GPU's float32 be float32 where that is asked for; it rounds to TF32 by default."""
    matmul = torch.backends.cuda.matmul
    before, exact = matmul.allow_tf32, precision == "float32"
    matmul.allow_tf32 = before and not exact
    try:
        with torch.backends.cudnn.flags(
            enabled=torch.backends.cudnn.enabled,
            benchmark=torch.backends.cudnn.benchmark,
            deterministic=torch.backends.cudnn.deterministic,
            allow_tf32=not exact,
        ):
            yield
    finally:
        matmul.allow_tf32 = before


def _native_on_processor() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported())
