from __future__ import annotations

import pytest
import torch

from model_store.generators.build import (
    Generator,
    build_drl,
    build_n2n_unet,
    count_parameters,
    macs_per_pixel,
)
from model_store.generators.drl import Drl, DrlConfig


def _randomised(generator: Generator) -> Generator:
    torch.manual_seed(3)
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return generator.eval().double()


@pytest.mark.parametrize(
    ("generator", "parameters", "macs"),
    [
        (build_drl(), 225_601, 223_936),
        (build_n2n_unet(), 988_609, 171_353),
        (build_n2n_unet(residual=True), 988_609, 171_353),
    ],
)
def test_counts_are_the_published_ones(generator: Generator, parameters: int, macs: int) -> None:
    assert count_parameters(generator) == parameters
    assert macs_per_pixel(generator) == pytest.approx(macs, abs=1)


def test_drl_has_640_moving_statistics() -> None:
    drl = Drl()
    assert sum(p.numel() for p in drl.parameters()) == 224_961


@pytest.mark.parametrize("generator", [build_drl(), build_n2n_unet(residual=True)])
def test_untrained_generator_with_a_global_residual_is_the_identity(generator: Generator) -> None:
    x = torch.rand(1, 1, 64, 64)
    generator.eval()
    with torch.no_grad():
        assert torch.equal(generator(x), x)


@pytest.mark.parametrize(
    "generator", [build_drl(), build_n2n_unet(), build_n2n_unet(residual=True)]
)
def test_residual_is_output_minus_input(generator: Generator) -> None:
    generator = _randomised(generator)
    x = torch.rand(1, 1, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(generator.residual(x), generator(x) - x, atol=1e-9)


def test_drl_reaches_exactly_17_pixels() -> None:
    drl = _randomised(Drl(DrlConfig(width=4)))
    x = torch.rand(1, 1, 65, 65, dtype=torch.float64, requires_grad=True)
    drl(x)[0, 0, 32, 32].backward()
    assert x.grad is not None
    touched = x.grad[0, 0].abs().sum(0).nonzero().ravel()
    assert (touched.min().item(), touched.max().item()) == (32 - 17, 32 + 17)


@pytest.mark.parametrize(
    ("generator", "size", "start", "stop"),
    [(build_drl(8), 96, 40, 60), (build_n2n_unet(residual=True), 480, 192, 288)],
)
def test_a_tile_with_the_margin_equals_the_whole(
    generator: Generator, size: int, start: int, stop: int
) -> None:
    generator = _randomised(generator)
    x = torch.rand(1, 1, 64, size, dtype=torch.float64)
    margin = generator.margin
    first, last = max(start - margin, 0), min(stop + margin, size)
    with torch.no_grad():
        whole = generator(x)[..., start:stop]
        tile = generator(x[..., first:last])[..., start - first : stop - first]
    assert torch.allclose(tile, whole, rtol=1e-10, atol=1e-10)
