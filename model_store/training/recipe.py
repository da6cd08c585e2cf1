"""Training recipes: strict TOML that says everything a training run depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from model_store.errors import RecipeError
from model_store.generators.sections import CriticSection, GeneratorSection
from model_store.strict import Strict
from model_store.training.noise import CtNoise, MixedNoise, ProjectionNoise, XrayNoise
from model_store.training.pairs.section import PairsData, Target
from model_store.training.recipe_file import parse_toml, read_toml

_UNIT_HU = 4096.0
_UNIT_OFFSET_HU = 1024.0


_PAIR = 2
_NARROWEST = 1e-3

Zoom = tuple[Annotated[float, Field(ge=0.25, le=4)], Annotated[float, Field(ge=0.25, le=4)]]
Betas = tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]]


class InputSection(Strict):
    """Network input of a physical value: ``x = (value + offset) / scale``."""

    units: Literal["HU", "stored"]
    offset: float = 0.0
    scale: float = Field(default=1.0, gt=0)

    @property
    def unit_gain(self) -> float:
        """Factor of ``u = gain * x + shift``, the 0..1 in which papers state losses.

        CT: ``u = (HU + 1024) / 4096``. Radiographs: the fraction of the full range.
        """
        return self.scale / _UNIT_HU if self.units == "HU" else self.scale

    @property
    def unit_shift(self) -> float:
        """Shift of ``u = gain * x + shift``, see `unit_gain`."""
        return (_UNIT_OFFSET_HU - self.offset) / _UNIT_HU if self.units == "HU" else -self.offset

    def of(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Network input of values in HU, or of stored ones as fractions of the range."""
        scaled = (values + self.offset) / self.scale
        return np.ascontiguousarray(scaled, dtype=np.float32)

    def in_unit(self, value: float) -> float:
        """A value in HU, or a stored one, in that unit."""
        return self.unit_gain * (value + self.offset) / self.scale + self.unit_shift

    def in_value(self, share: float) -> float:
        """The value in HU, or the stored one, of a share of that unit."""
        return (share - self.unit_shift) / self.unit_gain * self.scale - self.offset


class CtSource(Strict):
    """One folder of CT slices of one patient.

    `scales` are the block sizes by which a slice is averaged down (1 keeps it); `smooth` is the
    standard deviation in pixels of a Gaussian that is applied first, for series too noisy to be a
    reference as they are. `total_variation` is the weight in HU of a total variation denoising of
    what comes out, so that the network does not learn to keep the reference's own noise. Of the
    slices, sorted by name, every `every`-th is used.
    """

    folder: str
    every: int = Field(default=1, ge=1)
    scales: tuple[int, ...] = (1,)
    smooth: float = Field(default=0.0, ge=0)
    total_variation: float = Field(default=0.0, ge=0)


class CtData(Strict):
    """Clean CT slices and their noise: low dose simulated in projections, or white.

    `target` "noisy" trains on a second, independent realisation of the noise (Noise2Noise).
    `phantoms` digital phantoms without any noise of their own join the slices, and
    `scanned_phantoms` whose edges are as sharp as the kernel of their noise makes them. With
    `antithetic` the patches of a batch come in pairs that differ in nothing but the sign of their
    noise.
    """

    kind: Literal["ct"]
    sources: tuple[CtSource, ...] = Field(min_length=1)
    phantoms: int = Field(default=0, ge=0)
    scanned_phantoms: int = Field(default=0, ge=0)
    held_out: tuple[str, ...] = ()
    realisations: int = Field(default=2, ge=1)
    minimum_sd: float = Field(default=4.0, gt=0)
    maximum_sd: float = Field(default=80.0, gt=0)
    quiet_share: float = Field(default=0.12, ge=0, le=1)
    noise: CtNoise = ProjectionNoise(kind="projection")
    target: Target = "clean"
    antithetic: bool = False

    @property
    def noise_range(self) -> tuple[float, float]:
        """Least and greatest standard deviation of the noise, in HU."""
        if isinstance(self.noise, ProjectionNoise):
            return 0.0, self.maximum_sd
        low, high = self.noise.range_sd
        return _UNIT_HU * low, _UNIT_HU * high

    @model_validator(mode="after")
    def _apart(self) -> CtData:
        if self.target == "noisy" and self.realisations < _PAIR:
            raise ValueError("a noisy target takes at least two realisations")
        projected = isinstance(self.noise, ProjectionNoise)
        if self.scanned_phantoms and not projected:
            raise ValueError(
                'scanned_phantoms take noise of kind "projection": white noise has no kernel'
            )
        if self.antithetic and not (projected and self.target == "clean"):
            raise ValueError('antithetic takes noise of kind "projection" and target "clean"')
        both = {source.folder for source in self.sources} & set(self.held_out)
        if both:
            raise ValueError(f"{', '.join(sorted(both))}: both trained on and held out")
        return self


class XraySource(Strict):
    """Radiographs below one folder whose file names match `pattern`, averaged down by `scales`."""

    folder: str
    pattern: str = "*"
    scales: tuple[int, ...] = (2,)


class XrayData(Strict):
    """Quiet radiographs, and noise drawn on the fly.

    Standard deviations are fractions of the full range. `held_out` holds file names. `curves`
    gives each patch a random polarity and gamma; `zoom`, least and greatest factor, a random size.
    `target` "noisy" trains on a second, independent realisation of the noise (Noise2Noise).
    """

    kind: Literal["xray"]
    sources: tuple[XraySource, ...] = Field(min_length=1)
    held_out: tuple[str, ...] = ()
    minimum_sd: float = Field(default=0.003, gt=0)
    maximum_sd: float = Field(default=0.08, gt=0)
    quiet_share: float = Field(default=0.1, ge=0, le=1)
    correlated_share: float = Field(default=0.3, ge=0, le=1)
    noise: XrayNoise = MixedNoise(kind="mixed")
    curves: bool = True
    zoom: Zoom | None = None
    target: Target = "clean"

    @model_validator(mode="after")
    def _ordered(self) -> XrayData:
        if self.zoom is not None and self.zoom[0] > self.zoom[1]:
            raise ValueError("zoom is the least and the greatest factor, in this order")
        return self

    @property
    def noise_range(self) -> tuple[float, float]:
        """Least and greatest root mean square of the noise, as fractions of the full range."""
        if isinstance(self.noise, MixedNoise):
            return 0.0, self.maximum_sd
        return self.noise.range_sd


class LossTerm(Strict):
    """One weighted term of the loss, evaluated on 0..1 (see `InputSection.unit_gain`).

    Three more, for "systematic" alone, let it weigh more where edges suffer more: its weight is
    multiplied by the power `sharpness` of `losses.noise_sharpness`, which is 1 for white noise, and
    grows with the noise up to a standard deviation of `level` (HU). With `contrast` (HU) it counts
    at edges alone, pixel by pixel, most at those of that `losses.local_contrast`.
    """

    name: Literal["mse", "mae", "charbonnier", "ssim", "tv", "systematic"]
    weight: float = Field(default=1.0, gt=0)
    sharpness: float = Field(default=0.0, ge=0, le=8)
    level: float | None = Field(default=None, gt=0, le=_UNIT_HU)
    contrast: float | None = Field(default=None, gt=0, le=_UNIT_HU)

    @property
    def of_noise(self) -> bool:
        """Whether its weight depends on the noise."""
        return bool(self.sharpness) or self.level is not None

    @model_validator(mode="after")
    def _of_noise(self) -> LossTerm:
        if (self.of_noise or self.contrast) and self.name != "systematic":
            raise ValueError(
                f'{self.name} takes no sharpness, level or contrast; only "systematic" does'
            )
        return self


class PerceptualTerm(Strict):
    """Distance of feature maps of a frozen ImageNet network, the mean of each layer summed.

    `layers` are torchvision's indices for VGG, stages ("layer2") for ResNet-34. `window`, lowest
    and highest value in the input's units (HU), is what the network is shown as 0..1, as a reader
    is; without it that is the whole range, in which soft tissue is one even grey.
    """

    name: Literal["perceptual"]
    weight: float = Field(default=1.0, gt=0)
    backbone: Literal["vgg16", "vgg19", "resnet34"]
    layers: tuple[int | str, ...] = Field(min_length=1)
    distance: Literal["mse", "mae"] = "mse"
    window: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> PerceptualTerm:
        if self.window is not None and self.window[0] >= self.window[1]:
            raise ValueError("window is the lowest and the highest value, in this order")
        return self


AnyTerm = Annotated[LossTerm | PerceptualTerm, Field(discriminator="name")]


class AdversarySection(Strict):
    """The critic that a generator is trained against; images reach it on 0..1.

    `steps` are the critic's for each one of the generator. `weight` multiplies the adversarial
    term: ``-log D`` for "bce", ``(D - 1)^2`` for "lsgan", ``-D`` for "wgan-gp", means all.
    `gradient_penalty` is WGAN-GP's (Gulrajani et al. 2017) and serves that objective alone.
    """

    network: CriticSection
    objective: Literal["bce", "lsgan", "wgan-gp"]
    weight: float = Field(gt=0)
    learning_rate: float = Field(default=1e-4, gt=0)
    betas: Betas = (0.5, 0.999)
    steps: int = Field(default=1, ge=1)
    gradient_penalty: float = Field(default=10.0, gt=0)


class TrainingSection(Strict):
    """The optimisation.

    `freeze_norm_at` is the share of the run after which batch normalisation keeps its statistics,
    so that the released network is the one that was trained at the end. `patch_weights` makes
    quiet and noisy patches count alike. `loss_scale` multiplies the whole loss; without it the
    loss of a trained network is near 1. The learning rate follows a cosine, or ("plateau") is
    halved when two epochs of `epoch` iterations bring no gain in validation PSNR. Every
    `validate_every` iterations, before the first and after the last, the averaged weights are
    measured on patches that training does not draw, for the log. `start` names
    the run or the version (``name@version``) whose weights the run begins with; without any
    `iterations` they are taken as they are.
    """

    iterations: int = Field(ge=0)
    batch: int = Field(default=16, ge=1)
    patch: int = Field(default=64, ge=16)
    learning_rate: float = Field(default=1e-3, gt=0)
    final_learning_rate: float = Field(default=1e-5, gt=0)
    warmup: int = Field(default=100, ge=0)
    average: float = Field(default=0.999, ge=0, lt=1)
    freeze_norm_at: float = Field(default=0.5, gt=0, le=1)
    seed: int = Field(default=0, ge=0)
    precision: Literal["float32", "bfloat16"] = "float32"
    betas: Betas = (0.9, 0.999)
    schedule: Literal["cosine", "plateau"] = "cosine"
    epoch: int = Field(default=1000, ge=1)
    validate_every: int = Field(default=250, ge=1)
    patch_weights: bool = True
    loss_scale: float | None = Field(default=None, gt=0)
    start: str | None = Field(default=None, min_length=1)
    loss: tuple[AnyTerm, ...] = (LossTerm(name="mse"),)


class ReleaseSection(Strict):
    """What the manifest and the model card say that nothing can measure."""

    modality: tuple[str, ...] = Field(min_length=1)
    body_parts: tuple[str, ...] = ()
    intended_use: str
    training_data: str
    licence: str
    noise: str
    limits: str
    differences: str


class Recipe(Strict):
    """What a training run depends on but the data's bytes, and what it is released as.

    Without a `critic` the loss has at least one term; with one it may be the adversarial term
    alone.
    """

    name: str
    version: str
    generator: GeneratorSection
    critic: AdversarySection | None = None
    input: InputSection
    data: Annotated[CtData | XrayData | PairsData, Field(discriminator="kind")]
    training: TrainingSection
    release: ReleaseSection

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if not self.training.loss and self.critic is None:
            raise ValueError("training.loss is empty and there is no critic: nothing to train on")
        if self.training.iterations == 0 and self.training.start is None:
            raise ValueError("training.iterations is 0 and there is no training.start")
        if self.critic is not None and self.data.target == "noisy":
            raise ValueError('a critic takes clean images as real ones: data.target = "clean"')
        paired = self.data.kind == "ct" and self.data.antithetic
        if any(term.name == "systematic" for term in self.training.loss) and not paired:
            raise ValueError('the loss "systematic" is for CT and takes data.antithetic = true')
        lowest, highest = (self.input.in_value(share) for share in (0.0, 1.0))
        for term in self.training.loss:
            window = term.window if isinstance(term, PerceptualTerm) else None
            if window is None:
                continue
            if not lowest <= window[0] < window[1] <= highest:
                raise ValueError(
                    f"training.loss: window {list(window)} is not within {lowest:g} to {highest:g}"
                )
            if window[1] - window[0] < _NARROWEST * (highest - lowest):
                raise ValueError(f"training.loss: window {list(window)} is too narrow")
        if paired and self.training.batch % 2:
            raise ValueError("data.antithetic takes an even training.batch")
        if self.data.kind != "pairs" and (self.data.kind == "ct") != (self.input.units == "HU"):
            raise ValueError('input.units is "HU" for CT and "stored" for radiographs')
        return self

    @classmethod
    def parse(cls, text: str, origin: str = "recipe") -> Recipe:
        """Read a recipe from TOML that stands for itself.

        Raises
        ------
        RecipeError
            If it is not TOML, has an unknown or missing key, or a value out of range.
        """
        return cls.resolve(parse_toml(text, origin), origin)

    @classmethod
    def read(cls, path: Path, arm: str | None = None) -> Recipe:
        """Read a recipe file, with what it extends; see `recipe_file.read_toml` for `arm`.

        Raises
        ------
        RecipeError
            If a file cannot be read, or as in `parse`.
        """
        return cls.resolve(read_toml(path, arm), str(path))

    @classmethod
    def resolve(cls, content: dict[str, Any], origin: str) -> Recipe:
        """Check the tables of a recipe.

        Raises
        ------
        RecipeError
            If a key is unknown or missing, or a value out of range.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise RecipeError(f"{origin}: {plain(error)}") from error


def plain(error: ValidationError) -> str:
    """What is wrong with which keys, in one line."""
    return "; ".join(
        ": ".join([*filter(None, [".".join(map(str, item["loc"]))]), item["msg"]])
        for item in error.errors()
    )
