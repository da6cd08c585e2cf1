"""What a recipe trains for, in words for a model card."""

from __future__ import annotations

from model_store.generators.sections import DrlCascadeSection
from model_store.training.recipe import LossTerm, PerceptualTerm, Recipe
from model_store.training.recipe_file import shipped

_FIDELITY = frozenset({"mse", "mae", "charbonnier", "ssim", "systematic"})

NOT_FIDELITY = (
    "Not trained for fidelity alone: an output that looks sharper or more natural may hold texture "
    "that the patient does not have. For comparison, not for routes."
)


def for_fidelity(recipe: Recipe) -> bool:
    """Whether nothing but the difference to the target was minimised.

    The levels of a cascade but its last one stay as they were trained before, so that those count,
    too; a level that comes from a run without a shipped recipe is not taken for one of fidelity.
    """
    own = recipe.critic is None and all(term.name in _FIDELITY for term in recipe.training.loss)
    if not own or not isinstance(recipe.generator, DrlCascadeSection):
        return own
    if recipe.training.start is None:
        return True
    before = shipped(recipe.training.start.partition("@")[0])
    return before is not None and for_fidelity(Recipe.read(*before))


def objective(recipe: Recipe) -> str:
    """The minimised sum, as a sentence."""
    parts = [_term(term) for term in recipe.training.loss]
    if recipe.critic is not None:
        critic = recipe.critic
        parts.append(
            f"{critic.weight:g} x adversarial ({critic.network.system}, {critic.objective})"
        )
    unit = "(HU + 1024) / 4096" if recipe.input.units == "HU" else "fractions of the full range"
    target = ", the target a second noisy image" if recipe.data.target == "noisy" else ""
    return f"Minimised: {' + '.join(parts)}, on {unit}{target}."


def _term(term: LossTerm | PerceptualTerm) -> str:
    detail = ""
    if isinstance(term, PerceptualTerm):
        window = f", window {term.window[0]:g} to {term.window[1]:g}" if term.window else ""
        detail = f" ({term.backbone} {', '.join(map(str, term.layers))}, {term.distance}{window})"
    else:
        if term.sharpness:
            detail = f" x (sharpness of the noise)^{term.sharpness:g}"
        if term.level is not None:
            detail += f" x min(1, noise / {term.level:g})"
        if term.contrast is not None:
            detail += f", at edges of about {term.contrast:g}"
    return f"{term.weight:g} x {term.name}{detail}"
