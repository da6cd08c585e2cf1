from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from model_store.evaluation.metrics import ssim
from model_store.training.backbones import build_backbone
from model_store.training.losses import (
    Loss,
    Perceptual,
    Unit,
    charbonnier,
    dissimilarity,
    local_contrast,
    mean_absolute,
    mean_square,
    noise_level,
    noise_sharpness,
    systematic_error,
    total_variation,
)
from model_store.training.recipe import InputSection, LossTerm, PerceptualTerm

_ONES = torch.ones(2, 1, 1, 1)
_HU = Unit.of(InputSection(units="HU", offset=0, scale=1024))


def _images(seed: int = 0, size: int = 24) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    clean = torch.rand(2, 1, size, size, generator=generator)
    return (clean + 0.1 * torch.randn(clean.shape, generator=generator)), clean


def test_pixel_terms_are_what_one_computes_by_hand() -> None:
    prediction = torch.tensor([[0.0, 0.5], [1.0, 0.0]]).reshape(1, 1, 2, 2)
    target = torch.tensor([[0.0, 0.1], [0.8, 0.4]]).reshape(1, 1, 2, 2)
    assert float(mean_square(prediction, target)) == pytest.approx((0.16 + 0.04 + 0.16) / 4)
    assert float(mean_absolute(prediction, target)) == pytest.approx(0.25)
    roots = [(d * d + 1e-6) ** 0.5 for d in (0, 0.4, 0.2, 0.4)]
    assert float(charbonnier(prediction, target)) == pytest.approx(sum(roots) / 4)


def test_total_variation_of_a_ramp_is_its_squared_slopes() -> None:
    rows, columns = torch.meshgrid(torch.arange(6.0), torch.arange(5.0), indexing="ij")
    ramp = (0.2 * rows - 0.3 * columns).reshape(1, 1, 6, 5)
    # the diagonal of equal and opposite slopes, which equation 5 of DNGAN would call flat
    assert float(total_variation(ramp, ramp)) == pytest.approx(0.04 + 0.09)


def test_dissimilarity_is_one_minus_the_ssim_of_the_evaluation() -> None:
    prediction, target = _images(size=48)
    values = dissimilarity(prediction, target)
    for index in range(2):
        inner = _reference_ssim(prediction[index, 0].numpy(), target[index, 0].numpy())
        assert float(values[index]) == pytest.approx(1 - inner, abs=1e-4)
    whole = ssim(prediction[0, 0].numpy(), target[0, 0].numpy())
    assert float(values[0]) == pytest.approx(1 - whole, abs=0.02)  # it crops its map less
    assert dissimilarity(target, target).abs().max() < 1e-5


def test_dissimilarity_of_constants_has_a_closed_form() -> None:
    one, other = torch.full((1, 1, 12, 12), 0.2), torch.full((1, 1, 12, 12), 0.6)
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    assert float(dissimilarity(one, other)) == pytest.approx(1 - expected, abs=1e-4)


def test_weights_between_terms_are_those_of_the_unit_of_papers() -> None:
    prediction, target = _images()
    terms = (LossTerm(name="mse"), LossTerm(name="mae", weight=0.5))
    total, parts = Loss(terms, _HU, scale=1.0)(prediction, target, _ONES)
    difference = (prediction - target) * 1024 / 4096
    mse, mae = float((difference**2).mean()), float(difference.abs().mean())
    assert float(total) == pytest.approx(mse + 0.5 * mae, rel=1e-4)
    assert float(parts["mse"]) == pytest.approx(mse, rel=1e-4)
    assert float(parts["mae"]) == pytest.approx(mae, rel=1e-4)


@pytest.mark.parametrize("unit", [Unit(), _HU])
def test_a_bare_square_counts_one_percent_of_the_input_range_as_one(unit: Unit) -> None:
    """The loss that drl-ct, drunet-* and n2n-unet-xray were trained on."""
    target = torch.rand(2, 1, 8, 8)
    weight = torch.tensor([1.0, 0.5]).reshape(2, 1, 1, 1)
    total, _ = Loss((LossTerm(name="mse"),), unit)(target + 0.01, target, weight)
    assert float(total) == pytest.approx(0.75, rel=1e-3)


def test_hounsfield_units_become_the_fraction_of_4096() -> None:
    for section in (
        InputSection(units="HU", offset=0, scale=1024),
        InputSection(units="HU", offset=1024, scale=4096),
    ):
        x = (torch.tensor([-1024.0, 0.0, 3072.0]) + section.offset) / section.scale
        assert Unit.of(section)(x).tolist() == pytest.approx([0, 0.25, 1])
    assert Unit.of(InputSection(units="stored"))(torch.tensor([0.3])).tolist() == pytest.approx(
        [0.3]
    )


def test_a_perceptual_term_sums_the_mean_squares_of_its_layers() -> None:
    prediction, target = _images(size=32)
    backbone = build_backbone("vgg16", [3, 8])
    pairs = zip(backbone(prediction), backbone(target), strict=True)
    expected = sum(float(((one - other) ** 2).mean()) for one, other in pairs)
    term = PerceptualTerm(name="perceptual", weight=0.1, backbone="vgg16", layers=(3, 8))
    total, parts = Loss((term,), scale=1.0, backbones=[backbone])(prediction, target, _ONES)
    assert float(parts["perceptual"]) == pytest.approx(expected, rel=1e-4)
    assert float(total) == pytest.approx(0.1 * expected, rel=1e-4)
    prediction.requires_grad_(True)
    Perceptual(backbone, "mae")(prediction, target).sum().backward()
    assert prediction.grad is not None
    assert all(parameter.grad is None for parameter in backbone.parameters())


def test_a_window_shows_the_network_soft_tissue_from_black_to_white() -> None:
    backbone = build_backbone("vgg16", [3])
    shown, target = (image.clamp(0, 1) for image in _images(size=32))

    def in_window(image: torch.Tensor) -> torch.Tensor:
        return (image * 400 - 160) / 1024  # network input of 0..1 in that window

    expected = float(((backbone(shown)[0] - backbone(target)[0]) ** 2).mean())
    term = PerceptualTerm(name="perceptual", backbone="vgg16", layers=(3,), window=(-160.0, 240.0))
    loss = Loss((term,), _HU, scale=1.0, backbones=[backbone])
    _, parts = loss(in_window(shown), in_window(target), _ONES)
    assert float(parts["perceptual"]) == pytest.approx(expected, rel=1e-3)


def test_values_outside_a_window_still_have_a_gradient() -> None:
    backbone = build_backbone("vgg16", [3])
    bone = torch.full((1, 1, 32, 32), 1.0, requires_grad=True)
    distance = Perceptual(backbone, window=(0.2, 0.3))(bone, torch.full((1, 1, 32, 32), 0.9))
    distance.sum().backward()
    assert bone.grad is not None
    assert float(bone.grad.abs().sum()) > 0


def _reference_ssim(one: np.ndarray, other: np.ndarray) -> float:
    """SSIM of Wang et al. 2004 window by window, without any filter of a library."""
    offset = np.arange(11) - 5
    line = np.exp(-(offset**2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    values = []
    for top in range(one.shape[0] - 10):
        for left in range(one.shape[1] - 10):
            x, y = (part[top : top + 11, left : left + 11].astype(float) for part in (one, other))
            mx, my = (window * x).sum(), (window * y).sum()
            vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
            both = (window * (x - mx) * (y - my)).sum()
            values.append(
                (2 * mx * my + 1e-4)
                * (2 * both + 9e-4)
                / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
            )
    return float(np.mean(values))


def test_a_systematic_error_is_what_opposite_noise_leaves() -> None:
    generator = torch.Generator().manual_seed(3)
    clean = torch.rand(2, 1, 8, 8, generator=generator).repeat_interleave(2, 0)
    noise = torch.randn(2, 1, 8, 8, generator=generator).repeat_interleave(2, 0)
    sign = torch.tensor([1.0, -1.0, 1.0, -1.0]).reshape(4, 1, 1, 1)

    kept = systematic_error(clean + sign * noise, clean)
    blurred = systematic_error(clean + sign * noise + 0.5, clean)

    assert torch.allclose(kept, torch.zeros(4), atol=1e-6)
    assert torch.allclose(blurred, torch.full((4,), 0.25), atol=1e-5)


def test_sharper_noise_lets_systematic_errors_weigh_more() -> None:
    generator = torch.Generator().manual_seed(3)
    white = torch.randn(1, 1, 64, 64, generator=generator)
    soft = torch.nn.functional.avg_pool2d(white, 3, 1, 1)
    clean = torch.zeros(4, 1, 64, 64)
    noisy = torch.cat([white, -white, soft, -soft])

    sharpness = noise_sharpness(noisy + 7)
    # the mean over 3 x 3 leaves two thirds of neighbours' squares in common
    expected = torch.tensor([1.0, 1.0, 1 / 3, 1 / 3])
    assert torch.allclose(sharpness, expected, atol=0.05)

    term = LossTerm(name="systematic", weight=2.0, sharpness=2.0)
    loss = Loss((term,), Unit(), scale=1.0)
    total, parts = loss(clean + 0.5, clean, torch.ones(4, 1, 1, 1), noisy)
    assert float(total) == pytest.approx(2 * 0.25 * float((sharpness**2).mean()), rel=1e-4)
    assert float(parts["systematic"]) == pytest.approx(
        0.25 * float((sharpness**2).mean()), rel=1e-4
    )


def test_stronger_noise_lets_systematic_errors_weigh_more_up_to_a_level() -> None:
    generator = torch.Generator().manual_seed(3)
    white = torch.randn(3, 1, 64, 64, generator=generator).repeat_interleave(2, 0)
    deviation = torch.tensor([15.0, 15.0, 30.0, 30.0, 60.0, 60.0])  # HU
    sign = torch.tensor([1.0, -1.0]).repeat(3)
    noisy = (sign * deviation / 1024).reshape(6, 1, 1, 1) * white
    assert torch.allclose(noise_level(noisy + 0.1) * 1024, deviation, rtol=0.05)

    clean = torch.zeros(6, 1, 64, 64)
    loss = Loss((LossTerm(name="systematic", level=30.0),), _HU, scale=1.0)
    for patches, factor in ((slice(0, 2), 0.5), (slice(2, 4), 1.0), (slice(4, 6), 1.0)):
        _, parts = loss(clean[:2] + 0.5, clean[:2], torch.ones(2, 1, 1, 1), noisy[patches])
        assert float(parts["systematic"]) == pytest.approx(factor * 0.125**2, rel=0.05)


def test_a_systematic_error_counts_at_edges_of_a_contrast_alone() -> None:
    loss = Loss((LossTerm(name="systematic", contrast=100.0),), _HU, scale=1.0)
    edges = {50: 0.25, 100: 1.0, 400: 1 / 16}  # HU, and what an error beside it counts
    for height, column in itertools.product(edges, (2, 6, 9, 13)):
        clean = torch.zeros(2, 1, 16, 16)
        clean[..., 8:] = height / 1024
        share = edges[height] if column in {6, 9} else 0.0
        wrong = clean.clone()
        wrong[..., column] += 0.5
        _, parts = loss(wrong, clean, torch.ones(2, 1, 1, 1))
        assert float(parts["systematic"]) == pytest.approx(
            share * 0.125**2 / 16, rel=1e-4, abs=1e-6
        )


def test_local_contrast_is_the_range_within_two_pixels() -> None:
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 4, 4] = 3.0
    expected = torch.zeros(1, 1, 9, 9)
    expected[..., 2:7, 2:7] = 3.0
    assert torch.equal(local_contrast(image), expected)
    assert torch.equal(local_contrast(-image - 7), expected)


def test_a_term_by_noise_without_the_noisy_patches_is_a_mistake() -> None:
    prediction, target = _images()
    loss = Loss((LossTerm(name="systematic", sharpness=1.0),), _HU)
    with pytest.raises(ValueError, match="noisy patches"):
        loss(prediction, target, _ONES)
