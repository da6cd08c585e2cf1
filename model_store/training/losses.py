"""Losses: weighted sums of named terms, evaluated in the unit in which papers state them.

CT is compared as (HU + 1024) / 4096 and radiographs as fractions of the full range, whatever the
network's own input is, so that weights between terms mean what they mean in the publications.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from model_store.training.backbones import Backbone
from model_store.training.recipe import InputSection, LossTerm, PerceptualTerm

Term = Callable[[Tensor, Tensor], Tensor]
"""Prediction and target ``[N, 1, H, W]`` of 0..1 to one value for each patch, ``[N]``."""

_CHARBONNIER_EPSILON = 1e-3
_SSIM_SIZE = 11
_SSIM_DEVIATION = 1.5
_SSIM_C1 = 0.01**2
_SSIM_C2 = 0.03**2
_USUAL_SCALE = 100.0
_NEAR = 5  # pixels: an edge, and what a soft kernel makes of it
_LEAST_SHARE = 1e-3  # of a contrast, so that none is divided by
_SLOPE_OUTSIDE = 0.05
_SQUARES = frozenset({"mse", "tv", "perceptual", "systematic"})


@dataclass(frozen=True, slots=True)
class Unit:
    """From network input to 0..1: ``u = gain * x + shift``; `in_unit` from HU or stored ones."""

    gain: float = 1.0
    shift: float = 0.0
    in_unit: Callable[[float], float] = float

    @classmethod
    def of(cls, section: InputSection) -> Unit:
        """The unit of a recipe's input."""
        return cls(section.unit_gain, section.unit_shift, section.in_unit)

    def __call__(self, image: Tensor) -> Tensor:
        """`image` in that unit, float32."""
        return image.float() * self.gain + self.shift


class Loss:
    """A weighted sum of terms.

    Parameters
    ----------
    terms : sequence of LossTerm or PerceptualTerm
        Names and weights.
    unit : Unit, optional
        Unit of the terms.
    scale : float, optional
        Factor on the whole. By default a difference of 1 % of the network's input range counts as
        1 (squared, where every term is a square), so that losses are near 1 rather than 1e-5.
    backbones : sequence of Backbone
        One for each perceptual term, in their order.
    """

    def __init__(
        self,
        terms: Sequence[LossTerm | PerceptualTerm],
        unit: Unit | None = None,
        scale: float | None = None,
        backbones: Sequence[Backbone] = (),
    ) -> None:
        self.unit = unit or Unit()
        squares = all(term.name in _SQUARES for term in terms)
        usual = _USUAL_SCALE / self.unit.gain
        self.scale = scale if scale is not None else usual ** (2 if squares else 1)
        networks = iter(backbones)
        self._terms: list[tuple[LossTerm | PerceptualTerm, Term]] = []
        for term in terms:
            if isinstance(term, PerceptualTerm):
                window = term.window and tuple(map(self.unit.in_unit, term.window))
                function: Term = Perceptual(next(networks), term.distance, window)
            else:
                function = _TERMS[term.name]
                if term.contrast is not None:
                    function = partial(systematic_error, contrast=self._span(term.contrast))
            self._terms.append((term, function))

    def __call__(
        self,
        prediction: Tensor,
        target: Tensor,
        weight: Tensor,
        noisy: Tensor | None = None,
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Loss of a batch.

        Parameters
        ----------
        prediction, target : Tensor of shape (N, 1, H, W)
            Images in network input units.
        weight : Tensor of shape (N, 1, 1, 1)
            Weight of each patch in every term.
        noisy : Tensor of shape (N, 1, H, W), optional
            What the prediction was made from; terms that weigh by the noise need it.

        Returns
        -------
        Tensor
            The sum, times the scale.
        mapping of str to Tensor
            Mean of every term without its weight and the scale, detached.
        """
        ours, theirs = self.unit(prediction), self.unit(target)
        total = torch.zeros((), device=ours.device)
        parts: dict[str, Tensor] = {}
        for term, function in self._terms:
            each = function(ours, theirs)
            if isinstance(term, LossTerm) and term.of_noise:
                if noisy is None:
                    raise ValueError(f"{term.name} by noise takes the noisy patches")
                each = each * self._by_noise(term, self.unit(noisy))
            total = total + term.weight * (weight.flatten() * each).mean()
            parts[term.name] = each.detach().mean()
        return total * self.scale, parts

    def _by_noise(self, term: LossTerm, noisy: Tensor) -> Tensor:
        """Factor of each patch by how sharp and how strong its noise is."""
        factor = noise_sharpness(noisy) ** term.sharpness
        if term.level is None:
            return factor
        return factor * (noise_level(noisy) / self._span(term.level)).clamp_max(1.0)

    def _span(self, value: float) -> float:
        """A difference in HU, in the unit of the terms."""
        return self.unit.in_unit(value) - self.unit.in_unit(0.0)


def mean_square(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of each patch."""
    return ((prediction - target) ** 2).mean((1, 2, 3))


def mean_absolute(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of each patch."""
    return (prediction - target).abs().mean((1, 2, 3))


def charbonnier(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean of ``sqrt(d^2 + epsilon^2)`` of each patch, epsilon 1e-3."""
    return torch.sqrt((prediction - target) ** 2 + _CHARBONNIER_EPSILON**2).mean((1, 2, 3))


def dissimilarity(prediction: Tensor, target: Tensor) -> Tensor:
    """1 - SSIM of each patch (Wang et al. 2004): 11 x 11 Gaussian of 1.5 pixels, peak 1.

    Windows lie wholly inside the patch, which has at least 11 rows and columns.
    """
    offset = torch.arange(_SSIM_SIZE, dtype=torch.float32, device=prediction.device)
    line = torch.exp(-((offset - _SSIM_SIZE // 2) ** 2) / (2 * _SSIM_DEVIATION**2))
    line = line / line.sum()

    def smooth(image: Tensor) -> Tensor:
        rows = functional.conv2d(image, line.reshape(1, 1, -1, 1))
        return functional.conv2d(rows, line.reshape(1, 1, 1, -1))

    mean_p, mean_t = smooth(prediction), smooth(target)
    variance_p = smooth(prediction**2) - mean_p**2
    variance_t = smooth(target**2) - mean_t**2
    covariance = smooth(prediction * target) - mean_p * mean_t
    luminance = (2 * mean_p * mean_t + _SSIM_C1) / (mean_p**2 + mean_t**2 + _SSIM_C1)
    structure = (2 * covariance + _SSIM_C2) / (variance_p + variance_t + _SSIM_C2)
    return 1 - (luminance * structure).mean((1, 2, 3))


def total_variation(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of neighbours, along rows plus along columns, of each prediction.

    As DPED's code has it; DNGAN's equation 5 would cancel diagonal gradients.
    """
    del target
    down = prediction[:, :, 1:] - prediction[:, :, :-1]
    across = prediction[:, :, :, 1:] - prediction[:, :, :, :-1]
    return (down**2).mean((1, 2, 3)) + (across**2).mean((1, 2, 3))


def systematic_error(prediction: Tensor, target: Tensor, contrast: float | None = None) -> Tensor:
    """Mean square of what is wrong whatever the noise, of each patch; patches come in pairs.

    The two patches of a pair (2k and 2k + 1) have one target and noise of opposite sign. Whatever
    noise the network leaves in cancels in the mean of its two outputs, but for even powers of it;
    what remains is blur, lost contrast and bias. The mean squared error counts such errors and
    noise alike; this term beside it lets a recipe say how much more an edge is worth than grain.
    With a `contrast` it counts where the target has edges of that contrast, less at lower ones; at
    higher ones, whose height alone makes errors large, as a share of that height.
    """
    pairs = (prediction[::2] + prediction[1::2]) / 2
    error = (pairs - target[::2]) ** 2
    if contrast is not None:
        share = (local_contrast(target[::2]) / contrast).clamp_min(_LEAST_SHARE)
        error = error * torch.minimum(share, 1 / share) ** 2
    return error.mean((1, 2, 3)).repeat_interleave(2)


def local_contrast(image: Tensor) -> Tensor:
    """Highest less lowest value within two pixels of each pixel, ``[N, 1, H, W]``."""
    highest = functional.max_pool2d(image, _NEAR, stride=1, padding=_NEAR // 2)
    return highest + functional.max_pool2d(-image, _NEAR, stride=1, padding=_NEAR // 2)


def noise_sharpness(noisy: Tensor) -> Tensor:
    """How fine the grain of the noise is, of each patch; patches come in pairs of opposite noise.

    Mean square of the differences of neighbours over twice the mean square: 1 less the correlation
    of neighbours, 0 for noise without structure as fine as a pixel, 1 for white noise.
    """
    twice, power = _twice_the_noise(noisy)
    fine = total_variation(twice, twice) / 4
    return (fine / power.clamp_min(1e-12)).repeat_interleave(2)


def noise_level(noisy: Tensor) -> Tensor:
    """Root mean square of the noise of each patch; patches come in pairs of opposite noise."""
    _, power = _twice_the_noise(noisy)
    return (power.sqrt() / 2).repeat_interleave(2)


def _twice_the_noise(noisy: Tensor) -> tuple[Tensor, Tensor]:
    """What the two patches of each pair differ by, and its mean square."""
    twice = (noisy[::2] - noisy[1::2]).float()
    return twice, (twice**2).mean((1, 2, 3))


class Perceptual:
    """Distance of feature maps: the mean over each layer, summed over layers.

    Parameters
    ----------
    backbone : Backbone
        Frozen network whose layers are compared.
    distance : {"mse", "mae"}
        Mean squared or mean absolute difference.
    window : tuple of float, optional
        Lowest and highest value that the network sees as 0 and 1; by default those themselves.
        Outside it the slope is a twentieth, so that nothing there is without a gradient.
    """

    def __init__(
        self,
        backbone: Backbone,
        distance: str = "mse",
        window: tuple[float, ...] | None = None,
    ) -> None:
        self._backbone = backbone
        self._distance = mean_square if distance == "mse" else mean_absolute
        self._window = window

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Distance of each patch."""
        with torch.no_grad():
            wanted = self._backbone(self._shown(target))
        found = self._backbone(self._shown(prediction))
        distances = [self._distance(*pair) for pair in zip(found, wanted, strict=True)]
        return torch.stack(distances).sum(0)

    def _shown(self, image: Tensor) -> Tensor:
        if self._window is None:
            return image
        lowest, highest = self._window
        shown = (image - lowest) / (highest - lowest)
        inside = shown.clamp(0, 1)
        return inside + _SLOPE_OUTSIDE * (shown - inside)


_TERMS: Mapping[str, Term] = {
    "mse": mean_square,
    "mae": mean_absolute,
    "charbonnier": charbonnier,
    "ssim": dissimilarity,
    "tv": total_variation,
    "systematic": systematic_error,
}
