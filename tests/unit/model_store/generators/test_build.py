from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from model_store.errors import RecipeError
from model_store.generators.build import count_parameters, macs_per_pixel
from model_store.generators.drl import Drl, DrlConfig
from model_store.generators.sharpxr import Laplacian
from model_store.generators.wgan_vgg import WganVggConfig, WganVggGenerator
from tests.unit.model_store.generators.networks import SMALL, generator, randomised

WIDE = (64, 128, 256, 512)
_CNN10 = {"first": "cnn10", "further": "cnn10"}
_CASCADES = {name for name in SMALL if name.startswith("drl-cascade")}


@pytest.mark.parametrize(
    ("shape", "parameters", "macs"),
    [
        ({"system": "dngan"}, 370_497, 369_792),
        ({"system": "dngan", "inner": 32}, 222_913, 222_336),
        ({"system": "n2n-unet"}, 988_609, 171_353),
        ({"system": "n2n-unet", "residual": True}, 988_609, 171_353),
        ({"system": "sharpxr"}, 7_759_521, 184_156),
        ({"system": "sharpxr", "residual": False}, 7_759_521, 184_156),
        ({"system": "sharpxr", "widths": WIDE}, 31_030_593, 734_904),
        ({"system": "sharpxr", "dual": True}, 10_835_139, 330_652),
        ({"system": "sharpxr", "widths": WIDE, "dual": True}, 43_329_923, 1_320_760),
        ({"system": "wgan-vgg"}, 56_097, 55_872),
        ({"system": "drl"}, 225_601, 223_936),
        ({"system": "drl-cascade"}, 451_202, 447_872),
        ({"system": "drl-cascade", "levels": 3}, 676_803, 671_808),
        ({"system": "drl-cascade", "stack_input": True}, 225_601 + 227_201, 449_472),
        ({"system": "cnn10"}, 335_873, 332_928),
        ({"system": "drl-cascade", **_CNN10}, 671_746, 665_856),
        ({"system": "drl-cascade", **_CNN10, "stack_input": True}, 335_873 + 336_449, 666_432),
        ({"system": "drl-cascade", "further": "cnn10"}, 225_601 + 335_873, 556_864),
        ({"system": "drunet"}, 574_752, 35_616),
        ({"system": "drunet", "width": 32, "fold": 2}, 2_300_160, 35_904),
        (
            {"system": "drunet", "width": 32, "fold": 2, "stages": 3, "blocks": (1, 2, 2)},
            1_005_824,
            39_488,
        ),
    ],
)
def test_counts_are_the_published_ones(shape: dict[str, Any], parameters: int, macs: int) -> None:
    with torch.device("meta"):
        network = generator(**shape)
        assert count_parameters(network) == parameters
        assert macs_per_pixel(network) == pytest.approx(macs, abs=1)


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [
        ({"system": "drl"}, 224_961),
        ({"system": "drl-cascade"}, 449_922),
        ({"system": "drl-cascade", "levels": 3}, 674_883),
        ({"system": "cnn10"}, 334_721),
        ({"system": "drl-cascade", **_CNN10}, 669_442),
    ],
)
def test_moving_statistics_are_not_parameters(shape: dict[str, Any], parameters: int) -> None:
    with torch.device("meta"):
        assert sum(value.numel() for value in generator(**shape).parameters()) == parameters


@pytest.mark.parametrize(
    "name", sorted(set(SMALL) - {"n2n-unet", "sharpxr-plain-output", "wgan-vgg"})
)
def test_an_untrained_generator_with_a_global_residual_is_the_identity(name: str) -> None:
    x = torch.rand(1, 1, 32, 64)
    with torch.no_grad():
        assert torch.equal(generator(**SMALL[name]).eval()(x), x)


def test_an_untrained_wgan_vgg_is_the_identity_without_a_global_residual() -> None:
    x = torch.randn(2, 1, 24, 24)
    network = WganVggGenerator()
    with torch.no_grad():
        torch.testing.assert_close(network(x), x)
        kept = WganVggGenerator(WganVggConfig(last_relu=True))(x)
    torch.testing.assert_close(kept, x.relu())


@pytest.mark.parametrize("last_relu", [False, True])
def test_a_wgan_vgg_learns_from_its_first_step(last_relu: bool) -> None:
    torch.manual_seed(0)
    network = WganVggGenerator(WganVggConfig(last_relu=last_relu))
    clean = torch.rand(4, 1, 16, 16).mean((2, 3), keepdim=True).expand(4, 1, 16, 16)
    noisy = clean + 0.1 * torch.randn(4, 1, 16, 16)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = functional.mse_loss(network(noisy), clean)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("name", SMALL)
def test_residual_is_output_minus_input(name: str) -> None:
    network = randomised(generator(**SMALL[name]))
    x = torch.rand(2, 1, 32, 64, dtype=torch.float64)
    with torch.no_grad():
        change = network.residual(x)
        assert change.shape == x.shape
        torch.testing.assert_close(change, network(x) - x, rtol=0, atol=1e-9)
        assert change.abs().max() > 0


def test_a_drl_whose_last_convolution_is_zero_is_the_identity() -> None:
    drl = Drl(DrlConfig(4))
    randomised(drl)
    x = torch.rand(1, 1, 20, 20, dtype=torch.float64)
    with torch.no_grad():
        assert not torch.equal(drl(x), x)
        for layer in drl.conv7.parameters():
            nn.init.zeros_(layer)
        assert torch.equal(drl(x), x)


def test_the_laplacian_is_the_published_kernel() -> None:
    x = torch.randn(2, 3, 9, 11, dtype=torch.float64)
    kernel = torch.full((3, 1, 3, 3), -1.0, dtype=torch.float64)
    kernel[:, :, 1, 1] = 8
    expected = functional.conv2d(x, kernel, padding=1, groups=3)
    torch.testing.assert_close(Laplacian()(x), expected)


@pytest.mark.parametrize("name", sorted(set(SMALL) - _CASCADES))
def test_all_parameters_are_trained_but_for_cascades(name: str) -> None:
    network = generator(**SMALL[name])
    assert dict(network.trained_parameters()).keys() == network.state_dict().keys() - {
        key for key, _ in network.named_buffers()
    }


def test_a_generator_adopts_the_weights_of_its_like() -> None:
    one, other = randomised(generator("cnn10", width=4)).float(), generator("cnn10", width=4)
    other.adopt(one.state_dict())
    x = torch.rand(1, 1, 12, 12)
    with torch.no_grad():
        assert torch.equal(one(x), other.eval()(x))


def test_a_generator_refuses_weights_that_do_not_fit_and_keeps_its_own() -> None:
    network = generator("dngan", width=4)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = generator("dngan", width=4, inner=3).state_dict()
    state["more"] = state.pop("last.bias")
    with pytest.raises(RecipeError) as caught:
        network.adopt(state)
    assert "last.bias is missing" in str(caught.value)
    assert "more is not of this network" in str(caught.value)
    assert "blocks.0.first.weight is [3, 4, 3, 3], not [64, 4, 3, 3]" in str(caught.value)
    assert str(caught.value).endswith("and 8 more")
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
