"""Whether a network does what its manifest says, tried on the golden images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model_store.engines.base import Engine, EngineMemoryError, Images
from model_store.engines.golden import Golden, golden_images
from model_store.engines.tiles import COARSE_ROUNDING, ROUNDING, span, tile_difference
from model_store.errors import BehaviourError, EngineError
from model_store.manifest import Manifest

LARGEST_CHANGE = 0.05
"""Mean change of a golden image, beside twice the trained noise: as a part of the whole range."""

_SLACK = 1e-3
"""Of the range: how far the images that a version was released with may lie outside of it."""

_LEAST_SPREAD = 0.05
"""Of the range: the images that a version was released with reach over more of it."""

_ROWS = 64
"""Height of the image that the margin is tried on."""


def check_behaviour(engine: Engine, manifest: Manifest, golden: Golden | None = None) -> None:
    """Run a network and hold the result against its manifest.

    What shows here: a stride that is none, a margin that is too small, tiles that do not give what
    the whole image gives, values that are not finite, ``output`` that says image for a residual or
    the other way round, and a normalisation that is so wrong that images come out as something
    else. The images that a version was released with show
    more: they are in the range of network input that units, range, scale and offset make. What does
    not show: whether the model denoises well.

    Parameters
    ----------
    engine : Engine
        Of the version that `manifest` describes.
    manifest : Manifest
        What it promises.
    golden : Golden, optional
        What the version was released with.

    Raises
    ------
    BehaviourError
        If the network does something else than the manifest says.
    EngineMemoryError
        If memory does not suffice.
    """
    if golden is not None:
        _check_range(golden.images, manifest)
    images = golden_images(manifest)
    for image in images[:, np.newaxis]:
        _check_values(image, _restored(engine, manifest, image), manifest)
    stride = manifest.tiling.stride
    _restored(engine, manifest, images[:1, :, : 3 * stride, : 5 * stride])
    _check_margin(engine, manifest, images)
    _check_tiles(engine, manifest)


def _restored(engine: Engine, manifest: Manifest, image: Images) -> NDArray[np.float64]:
    try:
        made = engine.infer(np.ascontiguousarray(image))
    except EngineMemoryError:
        raise
    except EngineError as error:
        raise BehaviourError(
            f"{manifest.ref}: an image of {image.shape[2]} x {image.shape[3]} pixels, multiples of "
            f"its stride {manifest.tiling.stride}, did not go through: {error}"
        ) from error
    if not np.isfinite(made).all():
        raise BehaviourError(f"{manifest.ref} gives values that are not finite")
    whole = made.astype(np.float64)
    return whole + image if manifest.output == "residual" else whole


def _check_range(images: Images, manifest: Manifest) -> None:
    spec = manifest.input
    offset, scale = (spec.offset, spec.scale) if spec.units == "HU" else (0.0, 1.0)
    low, high = (spec.minimum + offset) / scale, (spec.maximum + offset) / scale
    darkest, brightest = float(images.min()), float(images.max())
    slack = _SLACK * (high - low)
    inside = low - slack <= darkest and brightest <= high + slack
    if not inside or brightest - darkest < _LEAST_SPREAD * (high - low):
        raise BehaviourError(
            f"{manifest.ref}: the images that it was released with are {darkest:.4g} to "
            f"{brightest:.4g} as network input; units, range, scale and offset of its manifest say "
            f"{low:.4g} to {high:.4g}: they are not those of the network"
        )


def _check_values(image: Images, made: NDArray[np.float64], manifest: Manifest) -> None:
    noise = manifest.trained_noise.maximum_sd / manifest.input.scale
    limit = LARGEST_CHANGE * span(manifest) + 2 * noise
    change = float(np.abs(made - image).mean())
    if change > limit:
        raise BehaviourError(
            f"{manifest.ref} changes a golden image by {change * manifest.input.scale:.3g} "
            f"{manifest.input.units} on average, {limit * manifest.input.scale:.3g} at most: "
            f"normalisation or output = {manifest.output!r} are not those of the network"
        )


def _check_margin(engine: Engine, manifest: Manifest, images: Images) -> None:
    """Change one side of an image as much as the range allows and look at the other side.

    Much noise and the edges of the golden image excite a network far more than flat tissue, where
    the far rim of its reach has next to no weight.
    """
    stride, margin = manifest.tiling.stride, manifest.tiling.margin
    start = -(-margin // stride) * stride + stride
    rows = -(-_ROWS // stride) * stride
    top = (images.shape[2] - rows) // 2
    image = images[-1:, :, top : top + rows]
    if 2 * start > image.shape[3]:
        image = np.tile(image, (1, 1, 1, -(-2 * start // image.shape[3])))
    other = image.copy()
    other[..., start:] = images.min() + images.max() - other[..., start:]
    near = slice(0, start - margin)
    here = _restored(engine, manifest, image)[..., near]
    there = _restored(engine, manifest, other)[..., near]
    found = float(np.abs(here - there).max())
    same = ROUNDING if engine.precision == "f32" else COARSE_ROUNDING
    if found > same * span(manifest):
        raise BehaviourError(
            f"{manifest.ref}: pixels further away than its margin of {margin} change a pixel by "
            f"{found * manifest.input.scale:.3g} {manifest.input.units}, "
            f"{same * span(manifest) * manifest.input.scale:.2g} at most"
        )


def _check_tiles(engine: Engine, manifest: Manifest) -> None:
    found = tile_difference(engine.infer, manifest)
    same = ROUNDING if engine.precision == "f32" else COARSE_ROUNDING
    if found > same:
        unit = span(manifest) * manifest.input.scale
        raise BehaviourError(
            f"{manifest.ref}: an image in tiles differs from the whole by {found * unit:.3g} "
            f"{manifest.input.units}, {same * unit:.2g} at most: its margin of "
            f"{manifest.tiling.margin} or its stride of {manifest.tiling.stride} is too small, or "
            "it depends on where in the image a pixel lies"
        )
