"""Training patches of pairs: the same square of both images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from model_store.errors import DataError
from model_store.training.ct_patches import body_square
from model_store.training.pairs.cache import StoredPair, prepare_pairs
from model_store.training.pairs.facts import Facts
from model_store.training.pairs.listing import Told, nobody
from model_store.training.pairs.section import PairsData
from model_store.training.patches import (
    VALIDATION,
    Batch,
    Floats,
    noise_weight,
    random_square,
    random_turn,
    shares_of,
)
from model_store.training.recipe import InputSection, Recipe

_HALF = 0.5


class PairPatches:
    """Patches of pairs of images.

    With a noisy target either of a pair is the input as often as the other, since each is as good a
    target for the other. Validation draws from the pairs of other patients, or without such from
    other squares of the same; where no clean image exists its targets are the noisy partners, so
    that its PSNR has the partner's noise in it: of use to compare two states of one network.

    Parameters
    ----------
    pairs : list of StoredPair
        What to draw from.
    data : PairsData
        Says whether partners are clean.
    input_ : InputSection
        Normalisation.
    batch, patch, seed : int
        Patches in a batch, their side in pixels, and the seed of all draws.
    """

    def __init__(
        self,
        pairs: list[StoredPair],
        data: PairsData,
        input_: InputSection,
        *,
        batch: int,
        patch: int,
        seed: int,
    ) -> None:
        if not pairs or any(min(pair.noisy.shape) < patch for pair in pairs):
            raise DataError(f"every image of the pairs must have at least {patch} rows and columns")
        self._training = [pair for pair in pairs if not pair.validation]
        self._validation = [pair for pair in pairs if pair.validation] or self._training
        self._both_ways = data.target == "noisy"
        self._input = input_
        self._size = batch
        self._patch = patch
        self._seed = seed

    def batch(self, step: int) -> Batch:
        """Batch number `step`."""
        generator = np.random.default_rng([self._seed, step])
        return self._draw(self._training, generator)

    def validation(self, index: int) -> Batch:
        """Batch `index` of the pairs for validation."""
        return self._draw(self._validation, np.random.default_rng([self._seed, VALIDATION, index]))

    def _draw(self, pairs: list[StoredPair], generator: np.random.Generator) -> Batch:
        shares = shares_of(pair.noisy for pair in pairs)
        chosen = generator.choice(len(pairs), self._size, p=shares)
        return Batch.stack([self._one(pairs[index], generator) for index in chosen])

    def _one(
        self, pair: StoredPair, generator: np.random.Generator
    ) -> tuple[Floats, Floats, float]:
        hounsfield = self._input.units == "HU"
        choose = body_square if hounsfield else random_square
        square = choose(pair.partner, self._patch, generator)
        images = pair.noisy[square], pair.partner[square]
        if self._both_ways and generator.random() < _HALF:
            images = images[::-1]
        turn = random_turn(generator)
        noisy, target = (self._input.of(turn(image)) for image in images)
        return noisy, target, noise_weight(pair.noise_sd, hounsfield=hounsfield)


def open_pairs(
    recipe: Recipe, section: PairsData, folder: Path, cache: Path, told: Told = nobody
) -> tuple[PairPatches, Facts]:
    """Pairs of a recipe as a source of patches, and what they are in numbers.

    Raises
    ------
    DataError
        As `prepare_pairs`.
    """
    pairs, facts = prepare_pairs(section, recipe.input.units, folder, cache, told)
    training = recipe.training
    source = PairPatches(
        pairs,
        section,
        recipe.input,
        batch=training.batch,
        patch=training.patch,
        seed=training.seed,
    )
    return source, facts
