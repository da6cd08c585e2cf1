"""How far the networks look, and that tiles with their margin are seamless."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from model_store.generators.base import Generator
from tests.unit.model_store.generators.networks import averaging, generator, outward, randomised

STRIDE_1 = [
    ({"system": "dngan", "width": 4}, 12),
    ({"system": "dngan", "width": 4, "inner": 3}, 12),
    ({"system": "wgan-vgg", "width": 4}, 8),
    ({"system": "wgan-vgg", "width": 4, "residual": True}, 8),
    ({"system": "drl", "width": 4}, 17),
    ({"system": "cnn10", "width": 4}, 11),
    ({"system": "drl-cascade", "width": 4}, 34),
    ({"system": "drl-cascade", "width": 4, "levels": 3}, 51),
    ({"system": "drl-cascade", "width": 4, "levels": 3, "stack_input": True}, 51),
    ({"system": "drl-cascade", "width": 4, "further": "cnn10"}, 28),
    ({"system": "drl-cascade", "width": 4, "first": "cnn10", "further": "cnn10"}, 22),
]


def _extent(network: Generator, columns: int, phase: int) -> tuple[int, int]:
    """Distances to the leftmost and rightmost input column that reach one output column.

    The output column is `phase` pixels into a cell of the network's stride.
    """
    column = columns // 2 // network.stride * network.stride + phase
    kind = next(network.parameters()).dtype
    x = (torch.rand(1, 1, network.stride, columns, dtype=kind) + 0.5).requires_grad_()
    network(x)[0, 0, :, column].sum().backward()
    assert x.grad is not None
    touched = x.grad[0, 0].abs().sum(0).nonzero().ravel()
    return column - int(touched.min()), int(touched.max()) - column


def _tiling_error(network: Generator, size: int, start: int, stop: int, margin: int) -> float:
    """Largest difference of a tile's core from the whole image's, both directions."""
    torch.manual_seed(4)
    kind = next(network.parameters()).dtype
    image = torch.rand(1, 1, network.stride, size, dtype=kind)
    worst = 0.0
    first, last = max(start - margin, 0), min(stop + margin, size)
    with torch.no_grad():
        for turned in (False, True):
            x = image.mT.contiguous() if turned else image
            tile = x[:, :, first:last] if turned else x[..., first:last]
            whole, made = network.residual(x), network.residual(tile)
            whole, made = (whole.mT, made.mT) if turned else (whole, made)
            core = made[..., start - first : stop - first]
            difference = (core - whole[..., start:stop]).abs().max() / whole.abs().max()
            worst = max(worst, float(difference))
    return worst


@pytest.mark.parametrize(("shape", "extent"), STRIDE_1)
def test_a_network_of_stride_1_reaches_exactly_its_margin(
    shape: dict[str, Any], extent: int
) -> None:
    network = averaging(generator(**shape))
    assert (network.margin, network.stride) == (extent, 1)
    assert _extent(network, 129, 0) == (extent, extent)


@pytest.mark.parametrize(
    ("shape", "tiling", "extent", "phases"),
    [
        ({"system": "sharpxr", "widths": (2, 2, 2, 2)}, (112, 16), 107, (13, 2)),
        ({"system": "sharpxr", "widths": (2, 2, 2, 2), "dual": True}, (112, 16), 109, (15, 0)),
        ({"system": "drunet", "width": 2}, (56, 8), 53, (6, 1)),
        ({"system": "drunet", "width": 2, "stages": 3, "fold": 2}, (56, 8), 51, (5, 2)),
        (
            {"system": "drunet", "width": 2, "stages": 3, "fold": 2, "blocks": (1, 2, 2)},
            (88, 8),
            83,
            (5, 2),
        ),
        ({"system": "n2n-unet"}, (160, 32), 158, (30, 1)),
    ],
)
def test_a_u_net_reaches_no_farther_than_its_margin(
    shape: dict[str, Any],
    tiling: tuple[int, int],
    extent: int,
    phases: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the mean depends on all that the maximum can depend on; the phases are the farthest-reaching
    monkeypatch.setattr(functional, "max_pool2d", functional.avg_pool2d)
    network = averaging(generator(**shape))
    assert (network.margin, network.stride) == tiling
    columns = 2 * (network.margin + network.stride)
    assert _extent(network, columns, phases[0])[0] == extent
    assert _extent(network, columns, phases[1])[1] == extent


@pytest.mark.parametrize(("shape", "margin"), STRIDE_1)
def test_tiles_are_seamless_with_the_margin_and_not_with_one_pixel_less(
    shape: dict[str, Any], margin: int
) -> None:
    network = outward(generator(**shape))
    size, start = 20 + 2 * 60, 60
    assert _tiling_error(network, size, start, start + 20, margin) <= 1e-14
    assert _tiling_error(network, size, start, start + 20, margin - 1) > 1e-13


@pytest.mark.parametrize(
    ("shape", "size", "start", "stop"),
    [
        ({"system": "sharpxr", "widths": (4, 4, 4, 4)}, 352, 144, 176),
        ({"system": "sharpxr", "widths": (4, 4, 4, 4), "dual": True}, 352, 144, 176),
        ({"system": "drunet", "width": 4}, 192, 80, 96),
        ({"system": "drunet", "width": 4, "stages": 3, "fold": 2}, 192, 80, 96),
        ({"system": "n2n-unet", "residual": True}, 416, 192, 224),
    ],
)
def test_tiles_of_u_nets_are_seamless_with_the_margin(
    shape: dict[str, Any], size: int, start: int, stop: int
) -> None:
    network = randomised(generator(**shape))
    assert _tiling_error(network, size, start, stop, network.margin) <= 1e-14
