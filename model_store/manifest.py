"""The manifest of a model version: what it is for, what it takes, what it was trained on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, ValidationError, model_validator

from model_store.errors import ManifestError
from model_store.ref import ModelRef
from model_store.strict import Strict

ADOPTED: Final = "adopted"
"""Key of the metrics under which a network that was trained elsewhere says where it came from."""

LEAST_STRENGTH: Final = 0.01
"""A version that is to change less than this is no denoiser."""


class InputSpec(Strict):
    """How physical values become network input: ``x = (value + offset) / scale``.

    For ``units = "HU"`` the two numbers are used as they stand. For ``units = "stored"`` (linear
    stored values of a radiograph, MONOCHROME2 sense) offset is 0 and the scale is
    ``2**BitsStored - 1`` of the image at hand; `scale` is then 1. Values outside
    ``[minimum, maximum]`` (same units; for ``stored`` as fractions of the scale) are copied through
    bit for bit.
    """

    units: Literal["HU", "stored"]
    offset: float = 0.0
    scale: float = Field(default=1.0, gt=0)
    minimum: float
    maximum: float


class TilingSpec(Strict):
    """Overlap in pixels that makes tiles seamless, and the multiple that sizes must have."""

    margin: int = Field(ge=0)
    stride: int = Field(ge=1)


class TrainedNoise(Strict):
    """Noise that the model was trained for, as a standard deviation in input units."""

    minimum_sd: float
    maximum_sd: float
    description: str


class Validity(Strict):
    """Where a model version helps and where it harms, from a sweep over levels of fresh noise.

    The points of `gain_curve` and `noise_sd` belong together, from the most noise to the least.
    Standard deviations are in the units of `TrainedNoise`: HU in soft tissue, or fractions of the
    full range.

    Attributes
    ----------
    measure : str
        What the PSNR is of, such as ``PSNR 400 HU``.
    noise : str
        The noise that was added, and to what references.
    images : int
        Images at every level.
    strength : float
        Strength of the denoising in the sweep.
    gain_curve : tuple of pairs
        PSNR of the input and what the model gains on it, in dB.
    noise_sd : tuple of float
        Standard deviation of the added noise at each point.
    trained_sd, trained_psnr : pair of float
        Least and greatest of the training; the PSNR in the sweep's measure, clipped to the sweep.
    zero_crossing_psnr, zero_crossing_sd : float, optional
        PSNR of the input above which the gain is negative, and that level's standard deviation;
        None if the gain is negative nowhere in the sweep.
    statement : str
        In plain words, and what to do beyond the crossing.
    """

    measure: str
    noise: str
    images: int = Field(ge=1)
    strength: float = Field(default=1.0, gt=0, le=1)
    gain_curve: tuple[tuple[float, float], ...] = Field(min_length=2)
    noise_sd: tuple[float, ...]
    trained_sd: tuple[float, float]
    trained_psnr: tuple[float, float]
    zero_crossing_psnr: float | None = None
    zero_crossing_sd: float | None = None
    statement: str

    @model_validator(mode="after")
    def _consistent(self) -> Validity:
        if len(self.noise_sd) != len(self.gain_curve):
            raise ValueError("noise_sd and gain_curve must have the same number of points")
        levels = [level for level, _ in self.gain_curve]
        if levels != sorted(levels):
            raise ValueError("gain_curve must go from the most noise to the least")
        if (self.zero_crossing_psnr is None) != (self.zero_crossing_sd is None):
            raise ValueError("give both numbers of the zero crossing, or neither")
        return self


class Manifest(Strict):
    """Everything about a model version that is not its weights.

    ``files`` maps each file name beside the manifest to its SHA-256; it holds at least the file
    that ``onnx`` names, which maps ``[N, 1, H, W]`` float32 to ``[N, 1, H, W]`` float32. If
    ``output`` is ``"image"`` that is G(x); if ``"residual"`` it is G(x) - x, which the caller adds
    in float32. ``strength`` is that of routes that state none. ``reference`` is what made the
    golden outputs: torch with the recipe's generator, or ONNX Runtime with the graph of a network
    that was trained elsewhere.
    """

    name: str
    version: str
    system: Literal[
        "dngan",
        "n2n-unet",
        "sharpxr",
        "wgan-vgg",
        "drl",
        "drl-cascade",
        "cnn10",
        "drunet",
        "other",
    ]
    task: Literal["denoise"] = "denoise"
    modality: tuple[str, ...]
    body_parts: tuple[str, ...] = ()
    scope: Literal["image"] = "image"
    input: InputSpec
    output: Literal["image", "residual"] = "image"
    tiling: TilingSpec
    trained_noise: TrainedNoise
    onnx: str = "model.onnx"
    files: dict[str, str]
    parameters: int = Field(ge=0)
    macs_per_pixel: int = Field(ge=0)
    intended_use: str
    training_data: str
    licence: str
    metrics: dict[str, Any] = Field(default_factory=dict)
    validity: Validity | None = None
    strength: float = Field(default=1.0, ge=LEAST_STRENGTH, le=1, strict=True)
    reference: Literal["torch", "onnxruntime"] = "torch"

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        if self.onnx not in self.files:
            raise ValueError(f"files has no sha256 for {self.onnx}")
        if self.input.minimum >= self.input.maximum:
            raise ValueError("input.minimum must be below input.maximum")
        ModelRef(self.name, self.version, self.files[self.onnx])
        return self

    @property
    def ref(self) -> ModelRef:
        """The immutable name of this version."""
        return ModelRef(self.name, self.version, self.files[self.onnx])

    @property
    def adopted(self) -> dict[str, Any] | None:
        """Where a network that was trained elsewhere came from; None if it has a recipe."""
        found = self.metrics.get(ADOPTED)
        return found if isinstance(found, dict) else None

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read ``manifest.json``.

        Raises
        ------
        ManifestError
            If the file is missing, not JSON, or not a valid manifest.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ManifestError(f"{path}: {error.strerror or error}") from error
        return cls.parse(data, str(path))

    @classmethod
    def parse(cls, data: bytes, place: str) -> Manifest:
        """Read the bytes of a ``manifest.json``, which came from `place`.

        Raises
        ------
        ManifestError
            If they are not JSON, not a valid manifest, or a value is NaN; one line for each key.
        """
        try:
            found = cls.model_validate_json(data)
        except ValidationError as error:
            raise ManifestError(_plain(place, _wrong(error))) from error
        found._refuse_nan(place)
        return found

    def write(self, path: Path) -> None:
        """Write ``manifest.json``, readable and with a stable key order.

        Raises
        ------
        ManifestError
            If a value is NaN: nobody could read it again. Nothing is written then.
        """
        self._refuse_nan(str(path))
        text = json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")

    def _refuse_nan(self, place: str) -> None:
        said = {key: ["is NaN, which is no number"] for key in _not_numbers(self.model_dump())}
        if said:
            raise ManifestError(_plain(place, said))


_WORDS: Final = {"missing": "is missing", "extra_forbidden": "is no key of a manifest"}


def _wrong(error: ValidationError) -> dict[str, list[str]]:
    """What is wrong with every key, in words."""
    found: dict[str, list[str]] = {}
    for each in error.errors(include_url=False, include_input=False):
        where = ".".join(map(str, each["loc"])) or "(whole file)"
        said = each["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        found.setdefault(where, []).append(_WORDS.get(each["type"], said))
    return found


def _not_numbers(value: object, where: str = "") -> Iterator[str]:
    """The keys whose value is NaN: it equals nothing, so nothing can be held against it."""
    if isinstance(value, dict):
        parts = [(str(key), each) for key, each in value.items()]
    elif isinstance(value, list | tuple):
        parts = [(str(index), each) for index, each in enumerate(value)]
    else:
        parts = []
        if isinstance(value, float) and math.isnan(value):
            yield where
    for key, each in parts:
        yield from _not_numbers(each, f"{where}.{key}" if where else key)


def _plain(place: str, found: dict[str, list[str]]) -> str:
    lines = [f"{place} is no valid manifest; get a correct one from its releaser:"]
    lines += [f"  {where}: {', or '.join(said)}" for where, said in found.items()]
    return "\n".join(lines)
