"""Options that several commands of ``model-store`` share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class TrainingPrecision(StrEnum):
    """What a run may compute in; auto takes bf16 where the machine has it natively."""

    AUTO = "auto"
    F32 = "f32"
    BF16 = "bf16"


Backbones = Annotated[
    Path | None,
    typer.Option(help="folder of ImageNet weights, for perceptual losses and distances"),
]
ArmName = Annotated[str | None, typer.Option(help="arm of a recipe that has several")]
Filters = Annotated[
    Path | None,
    typer.Option(help="file of the filters' scores: read, completed and kept for other models"),
]
Out = Annotated[Path | None, typer.Option(help="also write all results to this JSON")]
Markdown = Annotated[Path | None, typer.Option(help="also write the tables to this file")]
Quick = Annotated[bool, typer.Option(help="few images, coarse grids")]
Threads = Annotated[int, typer.Option(min=0, help="processor threads; 0: all")]


def limit_threads(threads: int) -> None:
    """Let torch use that many threads; 0 leaves them as they are."""
    import torch  # noqa: PLC0415

    if threads:
        torch.set_num_threads(threads)
