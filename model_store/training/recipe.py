"""Training recipes: strict TOML that says everything a training run depends on."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from model_store.errors import RecipeError
from model_store.generators.sections import GeneratorSection


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputSection(_Strict):
    """Network input of a physical value: ``x = (value + offset) / scale``."""

    units: Literal["HU", "stored"]
    offset: float = 0.0
    scale: float = Field(default=1.0, gt=0)


class CtSource(_Strict):
    """One folder of CT slices of one patient.

    `scales` are the block sizes by which a slice is averaged down (1 keeps it); `smooth` is the
    standard deviation in pixels of a Gaussian that is applied first, for series too noisy to be a
    reference as they are. Of the slices, sorted by name, every `every`-th is used.
    """

    folder: str
    every: int = Field(default=1, ge=1)
    scales: tuple[int, ...] = (1,)
    smooth: float = Field(default=0.0, ge=0)


class CtData(_Strict):
    """Clean CT slices, and low-dose noise simulated in projections."""

    kind: Literal["ct"]
    sources: tuple[CtSource, ...] = Field(min_length=1)
    held_out: tuple[str, ...] = ()
    realisations: int = Field(default=2, ge=1)
    minimum_sd: float = Field(default=4.0, gt=0)
    maximum_sd: float = Field(default=80.0, gt=0)
    quiet_share: float = Field(default=0.12, ge=0, le=1)

    @model_validator(mode="after")
    def _apart(self) -> CtData:
        both = {source.folder for source in self.sources} & set(self.held_out)
        if both:
            raise ValueError(f"{', '.join(sorted(both))}: both trained on and held out")
        return self


class XraySource(_Strict):
    """Radiographs below one folder whose file names match `pattern`, averaged down by `scales`."""

    folder: str
    pattern: str = "*"
    scales: tuple[int, ...] = (2,)


class XrayData(_Strict):
    """Quiet radiographs, and Poisson and electronic noise drawn on the fly.

    Standard deviations are fractions of the full range. `held_out` holds file names.
    """

    kind: Literal["xray"]
    sources: tuple[XraySource, ...] = Field(min_length=1)
    held_out: tuple[str, ...] = ()
    minimum_sd: float = Field(default=0.003, gt=0)
    maximum_sd: float = Field(default=0.08, gt=0)
    quiet_share: float = Field(default=0.1, ge=0, le=1)
    correlated_share: float = Field(default=0.3, ge=0, le=1)


class LossTerm(_Strict):
    """One weighted term of the loss."""

    name: Literal["mse", "mae", "charbonnier"]
    weight: float = Field(default=1.0, gt=0)


class TrainingSection(_Strict):
    """The optimisation.

    `freeze_norm_at` is the share of the run after which batch normalisation keeps its statistics,
    so that the released network is the one that was trained at the end.
    """

    iterations: int = Field(ge=1)
    batch: int = Field(default=16, ge=1)
    patch: int = Field(default=64, ge=16)
    learning_rate: float = Field(default=1e-3, gt=0)
    final_learning_rate: float = Field(default=1e-5, gt=0)
    warmup: int = Field(default=100, ge=0)
    average: float = Field(default=0.999, ge=0, lt=1)
    freeze_norm_at: float = Field(default=0.5, gt=0, le=1)
    seed: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    loss: tuple[LossTerm, ...] = Field(default=(LossTerm(name="mse"),), min_length=1)


class ReleaseSection(_Strict):
    """What the manifest and the model card say that nothing can measure."""

    modality: tuple[str, ...] = Field(min_length=1)
    body_parts: tuple[str, ...] = ()
    intended_use: str
    training_data: str
    licence: str
    noise: str
    limits: str
    differences: str


class Recipe(_Strict):
    """What a training run depends on but the data's bytes, and what it is released as."""

    name: str
    version: str
    generator: GeneratorSection
    input: InputSection
    data: Annotated[CtData | XrayData, Field(discriminator="kind")]
    training: TrainingSection
    release: ReleaseSection

    @classmethod
    def parse(cls, text: str, origin: str = "recipe") -> Recipe:
        """Read a recipe from TOML.

        Raises
        ------
        RecipeError
            If it is not TOML, has an unknown or missing key, or a value out of range.
        """
        try:
            return cls.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise RecipeError(f"{origin}: not TOML: {error}") from error
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
                for item in error.errors()
            )
            raise RecipeError(f"{origin}: {problems}") from error

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """Read a recipe file.

        Raises
        ------
        RecipeError
            If the file cannot be read, or as in `parse`.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"{path}: {error}") from error
        return cls.parse(text, str(path))
