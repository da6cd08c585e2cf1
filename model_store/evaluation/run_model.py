"""The averaged weights of a training run, measured before they are released."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from model_store.errors import RecipeError
from model_store.evaluation.session import denoise
from model_store.manifest import InputSpec
from model_store.training.checkpoint import STATE
from model_store.training.references import HIGHEST_HU, LOWEST_HU
from model_store.training.run import load_average

Floats = NDArray[np.float32]


class RunModel:
    """A training run's generator as a function of whole images, on torch.

    Parameters
    ----------
    run : Path
        Folder of the run.

    Raises
    ------
    RecipeError
        If the folder holds no readable run.
    """

    def __init__(self, run: Path) -> None:
        self.recipe, self._generator = load_average(run)
        try:
            state = json.loads((run / STATE).read_text(encoding="utf-8"))
            self.iterations, self.minutes = int(state["step"]), float(state["seconds"]) / 60
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RecipeError(f"{run / STATE}: not the state of a run: {error}") from error
        hounsfield = self.recipe.input.units == "HU"
        self._spec = InputSpec(
            units=self.recipe.input.units,
            offset=self.recipe.input.offset,
            scale=self.recipe.input.scale,
            minimum=LOWEST_HU if hounsfield else 0.0,
            maximum=HIGHEST_HU if hounsfield else 1.0,
        )

    @property
    def margin(self) -> int:
        """Pixels around a crop that the network looks at."""
        return self._generator.margin

    def __call__(self, image: Floats, *, beyond: bool = False) -> Floats:
        """Denoise one image in the recipe's units; see `ReleasedModel`."""
        return denoise(image, self._change, self._spec, self._generator.stride, beyond=beyond)

    @torch.inference_mode()
    def _change(self, x: Floats) -> Floats:
        y = self._generator.residual(torch.from_numpy(np.ascontiguousarray(x))[None, None])
        return np.asarray(y[0, 0].numpy(), dtype=np.float32)
