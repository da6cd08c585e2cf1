"""A recipe's ``[generator]``: the system and its shape, one strict section a system."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DrlSection(_Strict):
    """A DRL generator."""

    system: Literal["drl"]
    width: int = Field(default=64, ge=1)


class N2nUnetSection(_Strict):
    """A Noise2Noise U-Net; `residual` adds the input to its output."""

    system: Literal["n2n-unet"]
    residual: bool = False


class DrunetSection(_Strict):
    """A DRUNet: width of its first stage, residual blocks a stage, resolutions."""

    system: Literal["drunet"]
    width: int = Field(default=16, ge=1)
    blocks: int = Field(default=1, ge=1)
    stages: int = Field(default=4, ge=2)


GeneratorSection = Annotated[
    DrlSection | N2nUnetSection | DrunetSection, Field(discriminator="system")
]
