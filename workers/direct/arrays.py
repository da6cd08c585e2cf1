"""Denoising of an array: the library's one function, ``from dicom_node import denoise``."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import structlog
from numpy.typing import ArrayLike, NDArray

from dicom_node.dicom.layout import Layout
from dicom_node.errors import NodeError, NotDenoised
from dicom_node.routing.eligibility import Units
from dicom_node.settings import load
from model_store.errors import ModelStoreError
from model_store.ref import ModelName
from workers.direct.denoised_file import Provenance, noise_of
from workers.direct.images import bits_used, source_of
from workers.direct.networks import Networks
from workers.direct.request import Request
from workers.frame import Frame
from workers.load import Rescale
from workers.results import record_of

_FLOATS: Final = (2, 4, 8)
_HOUNSFIELD: Final = frozenset({("i", 2), ("i", 4), ("i", 8)})
_WIDEST: Final = np.int32
_GREY: Final = frozenset({("u", 1), ("u", 2)})
_RANKS: Final = (2, 3)
_AS_IT_IS: Final = Rescale(1.0, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class DenoisedArray:
    """An array that was denoised, and how.

    Parameters
    ----------
    image : ndarray
        Of the shape and dtype of what was given.
    how : Provenance
        Model version, strength, engine, units, and noise before and after (of the middle frame).
    """

    image: NDArray[Any]
    how: Provenance


def denoise(
    image: ArrayLike,
    model: str,
    strength: float | None = None,
    *,
    bits: int | None = None,
    config: str | Path | None = None,
) -> DenoisedArray:
    """Denoise an image that is in memory, as a node would.

    The result is ``x + strength * (G(x) - x)``. Values outside the range that the model was made
    for come through as they are: for CT usually below -1024 and above 3071 HU, which is where
    padding lies. The first call with a model builds its engine and takes seconds; later ones, from
    whatever thread, use it again, one at a time.

    Parameters
    ----------
    image : array_like, shape (H, W) or (N, H, W)
        One image, or N images of one size.

        For a model of CT: Hounsfield units, in float16, float32, float64, int16, int32 or int64.

        For a model of radiographs: either numbers from 0 (black) to 1 (full scale) in float16,
        float32 or float64; or grey levels from 0 (black) to ``2**bits - 1`` (full scale) in uint8
        or uint16. What is stored as MONOCHROME1 has to be turned round before.
    model : str
        ``name@version``, ``name@alias``, or ``name``, which is short for ``name@production``.
    strength : float, optional
        0 leaves every pixel as it was, 1 is the network's own result; absent: what the model
        version recommends.
    bits : int, optional
        Bits that grey levels use, 8 to 16: 12 for an image of 0 to 4095. Absent: all bits of the
        dtype; uint16 needs it if no value is above 32767.
    config : str or Path, optional
        A node's ``node.toml``: where its own model versions are and whose signatures count, which
        engine it uses. Absent: the file that ``DICOM_NODE_CONFIG`` names, else the defaults, with
        which the models that come with the package can be used.

    Returns
    -------
    DenoisedArray
        ``image``: a new array of the same shape and dtype; of integers the nearest. ``how``: the
        model version, strength, engine, and the noise before and after.

    Raises
    ------
    NotDenoised
        The model cannot be had or cannot be run; the message says why.
    TypeError
        The array is of a dtype that the model's kind of image does not have, or is masked.
    ValueError
        Shape, values, `model`, `strength` or `bits` are not as described.

    Examples
    --------
    >>> from dicom_node import denoise                                  # doctest: +SKIP
    >>> result = denoise(hu, "ct-default")                              # doctest: +SKIP
    >>> result.image.dtype, result.how.noise.after                      # doctest: +SKIP
    >>> denoise(pixels, "xray-default", bits=12).image                  # doctest: +SKIP
    """
    if np.ma.isMaskedArray(image):
        raise TypeError("a masked array: what lies under the mask would count; fill it first")
    pixels = np.asarray(image)
    if pixels.ndim not in _RANKS or 0 in pixels.shape:
        raise ValueError(f"an image is H x W or N x H x W, with pixels, not {pixels.shape}")
    asked = Request(
        model=ModelName.parse(model if "@" in model else f"{model}@production"),
        strength=strength, bits=bits,
    )  # fmt: skip
    try:
        return _denoise(_networks(None if config is None else Path(config)), pixels, asked)
    except NotDenoised:
        raise
    except ModelStoreError as error:
        raise NotDenoised(str(error)) from error
    except NodeError as error:
        raise NotDenoised(str(error), error.next) from error


@lru_cache(maxsize=4)
def _networks_of(config: Path | None) -> Networks:
    return Networks(load(config))


def _networks(config: Path | None) -> Networks:
    """Those of a configuration, built once in a process; quiet, unless somebody set up a log."""
    if not structlog.is_configured():
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        )
    named = os.environ.get("DICOM_NODE_CONFIG")
    return _networks_of(Path(named) if config is None and named else config)


def _denoise(networks: Networks, pixels: NDArray[Any], asked: Request) -> DenoisedArray:
    rule = asked.rule("HU")  # names the model; nothing in it depends on units then
    version = networks.resolve(rule.model)
    units = version.manifest.input.units
    stack = pixels.reshape(-1, *pixels.shape[-2:])
    held = _held(stack, units, asked.bits)
    strength = rule.strength_with(version.manifest.strength)
    made, denoiser = networks.run(version.ref, held.frames, strength)
    result = held.back(made)
    at = len(stack) // 2
    frame = held.frames[at]
    noise = noise_of(frame.values, made[at], units, frame.full_scale)
    how = Provenance(version.ref, strength, record_of(denoiser), units, noise)
    return DenoisedArray(result.reshape(pixels.shape), how)


class _Held(Protocol):
    """An array as frames in physical units, and the way back."""

    @property
    def frames(self) -> tuple[Frame, ...]:
        """One for each image."""

    def back(self, made: Sequence[NDArray[np.float32]]) -> NDArray[Any]:
        """What was made of the frames, as an array like the one that was given."""


class _Floats:
    """Floating-point numbers in the model's own physical units."""

    def __init__(self, stack: NDArray[np.floating[Any]]) -> None:
        self._stack = stack
        every = np.ones(stack.shape[1:], np.bool_)
        self.frames = tuple(Frame(each.astype(np.float32), 1.0, every) for each in stack)

    def back(self, made: Sequence[NDArray[np.float32]]) -> NDArray[Any]:
        """Numbers that were not changed are those that were given, to the last bit."""
        result = self._stack.copy()
        for each, frame, new in zip(result, self.frames, made, strict=True):
            np.copyto(each, new, where=new != frame.values, casting="same_kind")
        return result


class _Integers:
    """Integers: grey levels, or HU as they are."""

    def __init__(self, stack: NDArray[np.integer[Any]], units: Units, bits: int) -> None:
        wide = stack.dtype.itemsize > np.dtype(_WIDEST).itemsize
        native = np.ascontiguousarray(stack, _WIDEST if wide else stack.dtype.newbyteorder("="))
        size = native.dtype.itemsize
        layout = Layout(
            rows=stack.shape[1], columns=stack.shape[2], frames=len(stack), allocated=8 * size,
            stored=bits, high_bit=bits - 1, signed=stack.dtype.kind == "i", inverted=False,
        )  # fmt: skip
        rescale = _AS_IT_IS if units == "HU" else None
        self._source = source_of(native.view(f"u{size}"), layout, rescale)
        self._native, self._dtype = native.dtype, stack.dtype

    @property
    def frames(self) -> tuple[Frame, ...]:
        """One for each image."""
        return self._source.frames

    def back(self, made: Sequence[NDArray[np.float32]]) -> NDArray[Any]:
        """The nearest integers."""
        cells = [self._source.inverse(each, at) for at, each in enumerate(made)]
        return np.stack(cells).view(self._native).astype(self._dtype, copy=False)


def _held(stack: NDArray[Any], units: Units, bits: int | None) -> _Held:
    """The array, if it is of the kind that a model in these units takes."""
    kind, size = stack.dtype.kind, stack.dtype.itemsize
    if kind == "f" and size in _FLOATS:
        _require_finite(stack)
        if units == "stored":
            _require_range(stack)
        return _Floats(stack)
    if units == "HU" and (kind, size) in _HOUNSFIELD:
        known = np.iinfo(_WIDEST)
        if stack.min() < known.min or stack.max() > known.max:
            raise ValueError("values of more than 32 bits are no Hounsfield units")
        return _Integers(stack, units, min(8 * size, known.bits))
    if units == "stored" and (kind, size) in _GREY:
        return _Integers(stack, units, bits_used(int(stack.max()), 8 * size, bits))
    allowed = "int16, int32, int64" if units == "HU" else "uint8, uint16"
    what = "Hounsfield units" if units == "HU" else "radiographs"
    raise TypeError(
        f"a model of {what} takes float16, float32, float64, {allowed}; not {stack.dtype}"
    )


def _require_finite(stack: NDArray[np.floating[Any]]) -> None:
    with np.errstate(over="ignore"):
        finite = np.isfinite(stack.astype(np.float32))
    if not finite.all():
        raise ValueError(f"{finite.size - np.count_nonzero(finite)} values are not finite")


def _require_range(stack: NDArray[np.floating[Any]]) -> None:
    low, high = float(stack.min()), float(stack.max())
    if low < 0 or high > 1:
        raise ValueError(
            f"a radiograph in floating point is from 0 to 1, this from {low:g} to {high:g}: divide "
            "it by its full scale"
        )
