"""The critic of an adversarial run: its objective, its own steps, and the generator's term.

Objectives: binary cross entropy with the generator's ``-log D`` (Goodfellow et al. 2014), least
squares (Mao et al. 2017), and Wasserstein with gradient penalty (Gulrajani et al. 2017), the
penalty's mixing factor drawn for each sample and its norm taken over all pixels of a sample.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from model_store.generators.base import load_exactly
from model_store.generators.critic import Critic
from model_store.training.checkpoint import optimiser_state, restore_optimiser
from model_store.training.recipe import AdversarySection

Objective = Literal["bce", "lsgan", "wgan-gp"]


def critic_loss(objective: Objective, real: Tensor, fake: Tensor) -> Tensor:
    """What the critic minimises, without a penalty.

    Parameters
    ----------
    objective : {"bce", "lsgan", "wgan-gp"}
        Real is 1 and fake 0 for the first two; the third is ``E[fake] - E[real]``.
    real, fake : Tensor
        Logits of clean and of denoised images, of one shape.
    """
    if objective == "wgan-gp":
        return fake.mean() - real.mean()
    if objective == "lsgan":
        return 0.5 * (((real - 1) ** 2).mean() + (fake**2).mean())
    ones, zeros = torch.ones_like(real), torch.zeros_like(fake)
    judge = functional.binary_cross_entropy_with_logits
    return judge(real, ones) + judge(fake, zeros)


def generator_loss(objective: Objective, fake: Tensor) -> Tensor:
    """What the generator minimises: ``-log D``, ``(D - 1)^2`` or ``-D``, means over all logits."""
    if objective == "wgan-gp":
        return -fake.mean()
    if objective == "lsgan":
        return ((fake - 1) ** 2).mean()
    return functional.softplus(-fake).mean()


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor, epsilon: Tensor) -> Tensor:
    """``E[(||grad D(x)|| - 1)^2]`` at ``x = epsilon * real + (1 - epsilon) * fake``.

    Parameters
    ----------
    critic : nn.Module
        Called with images, returns logits.
    real, fake : Tensor of shape (N, C, H, W)
        Clean and denoised images.
    epsilon : Tensor of shape (N, 1, 1, 1)
        Mixing factor of each sample, 0..1.
    """
    mixed = (epsilon * real + (1 - epsilon) * fake).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
    norm = gradient.flatten(1).norm(2, dim=1)
    penalty: Tensor = ((norm - 1) ** 2).mean()
    return penalty


class Adversary:
    """A critic with its optimiser.

    Parameters
    ----------
    critic : Critic
        The network.
    section : AdversarySection
        Objective and optimisation.
    seed : int
        Seed of the penalty's mixing factors.
    """

    def __init__(self, critic: Critic, section: AdversarySection, seed: int) -> None:
        self.critic = critic.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.section = section
        self._seed = seed
        self._named = dict(critic.named_parameters())
        self._optimiser = torch.optim.Adam(
            self._named.values(), lr=section.learning_rate, betas=section.betas
        )

    def improve(self, real: Tensor, fake: Tensor, noisy: Tensor, draw: int) -> dict[str, Tensor]:
        """One step of the critic.

        Parameters
        ----------
        real, fake, noisy : Tensor of shape (N, 1, H, W)
            Clean, denoised and noisy images on 0..1; no gradient leaves towards the generator.
        draw : int
            Number of the draw of mixing factors: the same number, the same factors.

        Returns
        -------
        dict of str to Tensor
            ``critic`` (its loss without penalty), ``D(x)`` and ``D(G(z))`` as of `scores` and, for
            WGAN-GP, ``penalty``; detached. If a gradient is not finite, ``critic`` is not either,
            and no step was taken.
        """
        self.critic.train().requires_grad_(True)
        self._optimiser.zero_grad(set_to_none=True)
        real, fake = self._seen(real, noisy), self._seen(fake.detach(), noisy)
        judged = self.critic(real), self.critic(fake)
        loss = critic_loss(self.section.objective, *judged)
        parts = {"critic": loss.detach(), **self._named_scores(*judged)}
        if self.section.objective == "wgan-gp":
            random = torch.Generator().manual_seed((self._seed << 40) + draw)
            epsilon = torch.rand(len(real), 1, 1, 1, generator=random).to(real.device)
            penalty = gradient_penalty(self.critic, real, fake, epsilon)
            parts["penalty"] = penalty.detach()
            loss = loss + self.section.gradient_penalty * penalty
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self._named.values(), math.inf)
        if not torch.isfinite(norm):
            return {**parts, "critic": norm.detach()}
        self._optimiser.step()
        return parts

    def judge(self, fake: Tensor, noisy: Tensor) -> Tensor:
        """The generator's term, without its weight, for images on 0..1; gradients reach `fake`."""
        self.critic.train().requires_grad_(False)
        return generator_loss(self.section.objective, self.critic(self._seen(fake, noisy)))

    @torch.no_grad()
    def scores(self, real: Tensor, fake: Tensor, noisy: Tensor) -> dict[str, Tensor]:
        """What the critic makes of clean and of denoised images, without learning from them.

        Means ``D(x)`` and ``D(G(z))``: probabilities for "bce", else the critic's own scale.
        """
        self.critic.eval()
        seen = (self.critic(self._seen(image, noisy)) for image in (real, fake))
        return self._named_scores(*seen)

    def _named_scores(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        if self.section.objective == "bce":
            real, fake = torch.sigmoid(real), torch.sigmoid(fake)
        return {"D(x)": real.detach().mean(), "D(G(z))": fake.detach().mean()}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Copies of the critic's weights and of its optimiser's moments."""
        weights = {key: value.clone() for key, value in self.critic.state_dict().items()}
        return weights, optimiser_state(self._named, self._optimiser)

    def restore(self, weights: Mapping[str, Tensor], moments: Mapping[str, Tensor]) -> None:
        """Go back, or on, to what `state` returned.

        Raises
        ------
        RecipeError
            If the weights are of another critic.
        """
        load_exactly(self.critic, weights)
        restore_optimiser(self._named, self._optimiser, moments)

    def _seen(self, image: Tensor, noisy: Tensor) -> Tensor:
        pair = image if self.critic.channels == 1 else torch.cat([image, noisy], dim=1)
        return pair.contiguous(memory_format=torch.channels_last)
