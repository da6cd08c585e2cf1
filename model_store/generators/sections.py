"""A recipe's ``[generator]`` and its critic: system and shape, one strict section a system."""

from __future__ import annotations

import tomllib
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from model_store.errors import RecipeError
from model_store.strict import Strict

_Count = Annotated[int, Field(ge=1)]


class DnganSection(Strict):
    """A DNGAN generator: feature maps between and inside its blocks (`inner` 64 or 32)."""

    system: Literal["dngan"]
    width: int = Field(default=64, ge=1)
    inner: int = Field(default=64, ge=1)


class N2nUnetSection(Strict):
    """A Noise2Noise U-Net; `residual` adds the input to its output."""

    system: Literal["n2n-unet"]
    residual: bool = False


class SharpXrSection(Strict):
    """A SharpXR U-Net: widths of the encoder's stages, one decoder or two, global residual."""

    system: Literal["sharpxr"]
    widths: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(32, 64, 128, 256), min_length=1
    )
    dual: bool = False
    residual: bool = True


class WganVggSection(Strict):
    """A WGAN-VGG generator: width, global residual, the published ReLU of the last layer."""

    system: Literal["wgan-vgg"]
    width: int = Field(default=32, ge=2)
    residual: bool = False
    last_relu: bool = False

    @model_validator(mode="after")
    def _signed(self) -> WganVggSection:
        if self.residual and self.last_relu:
            raise ValueError("last_relu with residual could only brighten; set one of them")
        return self


class DrlSection(Strict):
    """A DRL generator."""

    system: Literal["drl"]
    width: int = Field(default=64, ge=1)


class DrlCascadeSection(Strict):
    """A cascade: width, number and networks of its levels, share of the change, stacked input."""

    system: Literal["drl-cascade"]
    width: int = Field(default=64, ge=1)
    levels: int = Field(default=2, ge=2, le=3)
    blend: float = Field(default=1.0, gt=0, le=1)
    stack_input: bool = False
    first: Literal["drl", "cnn10"] = "drl"
    further: Literal["drl", "cnn10"] = "drl"


class Cnn10Section(Strict):
    """A CNN10 generator."""

    system: Literal["cnn10"]
    width: int = Field(default=64, ge=1)


class DrunetSection(Strict):
    """A DRUNet: width of its first stage, residual blocks a stage, resolutions.

    `blocks` is one number for all stages, or one for each from the first to the bottom. With `fold`
    the first stage works on squares of that many pixels a side, folded into channels.
    """

    system: Literal["drunet"]
    width: int = Field(default=16, ge=1)
    blocks: _Count | tuple[_Count, ...] = 1
    stages: int = Field(default=4, ge=2)
    fold: int = Field(default=1, ge=1, le=4)

    @model_validator(mode="after")
    def _of_stages(self) -> DrunetSection:
        if isinstance(self.blocks, tuple) and len(self.blocks) != self.stages:
            raise ValueError(f"blocks are {len(self.blocks)} for {self.stages} stages")
        return self


GeneratorSection = Annotated[
    DnganSection
    | N2nUnetSection
    | SharpXrSection
    | WganVggSection
    | DrlSection
    | DrlCascadeSection
    | Cnn10Section
    | DrunetSection,
    Field(discriminator="system"),
]


class DnganCriticSection(Strict):
    """A DNGAN critic: first width, connected neurons; `compact` halves in all four blocks."""

    system: Literal["dngan"]
    width: int = Field(default=64, ge=1)
    hidden: int = Field(default=1024, ge=1)
    compact: bool = False


class PatchCriticSection(Strict):
    """A 70 x 70 PatchGAN critic; `condition` lets it see the noisy input as second channel."""

    system: Literal["patchgan"]
    width: int = Field(default=64, ge=1)
    condition: bool = False


class WganCriticSection(Strict):
    """A Wasserstein critic: first width, connected neurons."""

    system: Literal["wgan-vgg"]
    width: int = Field(default=64, ge=1)
    hidden: int = Field(default=1024, ge=1)


CriticSection = Annotated[
    DnganCriticSection | PatchCriticSection | WganCriticSection, Field(discriminator="system")
]


def read_generator(text: str) -> GeneratorSection:
    """The ``[generator]`` section of a recipe in TOML, whatever else the recipe says.

    Raises
    ------
    RecipeError
        If the text is not TOML, or has no such section or a malformed one.
    """
    try:
        section = tomllib.loads(text).get("generator")
        return TypeAdapter[GeneratorSection](GeneratorSection).validate_python(section)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"not TOML: {error}") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in ('generator', *item['loc']))}: {item['msg']}"
            for item in error.errors()
        )
        raise RecipeError(problems) from error
