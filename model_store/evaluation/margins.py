"""What a model gains over the best classical filter, beside what its publication claims."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from model_store.evaluation.filters import FAMILIES
from model_store.evaluation.groups import Group
from model_store.evaluation.papers import DNGAN, N2N_CT, N2N_XRAY, PaperTable, arm_of
from model_store.evaluation.xray import LEVELS_DB, poisson_group
from model_store.training.objective import for_fidelity
from model_store.training.pairs.section import PairsData
from model_store.training.recipe import CtData, Recipe

_CLASSICAL = FAMILIES[:3]
_LEVEL_DB = 0.3


def margins(
    groups: Sequence[Group], recipe: Recipe | None, training: dict[str, Any]
) -> dict[str, Any]:
    """Table and statement of the margins over the filters.

    Parameters
    ----------
    groups : sequence of Group
        Trials with filters.
    recipe : Recipe or None
        The recipe of the model; None if it was trained elsewhere.
    training : dict
        ``iterations`` and ``minutes`` of its run, if known.

    Returns
    -------
    dict
        ``statement``, and ``table`` for report and card. A margin is the mean over a group's
        images, less that of the filter whose mean is best.
    """
    rows: list[list[str | float | None]] = []
    for group in groups:
        similarity = group.metric("SSIM")
        rows.append(
            [
                group.label,
                _over(group, group.main, FAMILIES),
                _over(group, group.main, FAMILIES, single=True),
                _over(group, group.main, _CLASSICAL),
                _over(group, similarity, FAMILIES) if similarity else None,
                _over(group, similarity, FAMILIES, single=True) if similarity else None,
                _published(group.name, recipe),
            ]
        )
    return {
        "statement": _statement(groups, recipe, training),
        "table": {
            "title": "Margin of the model over the best filter",
            "note": 'Positive: the model is better. "Per image" filters are set with the '
            'reference, image by image, which no user can; "one setting" is chosen on the other '
            "images of the condition. The publications' filters are best per image too.",
            "columns": [
                "condition",
                "PSNR, per image",
                "PSNR, one setting",
                "PSNR, per image, without BM3D",
                "SSIM, per image",
                "SSIM, one setting",
                "publication",
            ],
            "rows": rows,
        },
    }


def _over(
    group: Group, metric: str, families: Sequence[str], *, single: bool = False
) -> float | None:
    """Margin of the model over the best of these filters; None without filters."""
    suffix = ", one setting" if single else ""
    means = [group.mean(f"{family}{suffix}", metric) for family in families]
    known = [value for value in means if value is not None]
    own = group.mean("model", metric)
    return None if own is None or not known else round(own - max(known), 3)


def _published(name: str, recipe: Recipe | None) -> str:
    """The publication's margin for the same kind of input, in words; empty if there is none."""
    if recipe is None:
        return ""
    if isinstance(recipe.data, CtData):
        return _arms(N2N_CT) if name.startswith("white noise, 24.44") else ""
    if name == poisson_group(LEVELS_DB[1]):
        return _arms(N2N_XRAY)
    if name == poisson_group(LEVELS_DB[0]):
        return f"DNGAN-MSE over BM3D {DNGAN.margin('DNGAN-MSE'):+.1f}"
    return ""


def _arms(table: PaperTable) -> str:
    texts = [f"{arm} {table.margin(arm):+.1f}" for arm in ("N2N-MSE", "N2C-MSE")]
    return f"{', '.join(texts)} (no BM3D)"


def _statement(groups: Sequence[Group], recipe: Recipe | None, training: dict[str, Any]) -> str:
    if recipe is not None and not for_fidelity(recipe):
        aim = _perceptual(groups, recipe)
        said = (
            "Trained with a perceptual, adversarial or smoothing term: PSNR is not what it aims "
            "at, and no margin is claimed."
        )
        return f"{said} {aim}" if aim else said
    found = [
        (group, margin)
        for group in groups
        if (margin := _over(group, group.main, FAMILIES)) is not None
    ]
    if not found:
        return ""
    values = [margin for _, margin in found]
    ahead = sum(value > 0 for value in values)
    parts = [
        "Against the filter that is best in the mean, at its best setting for each image: "
        f"{min(values):+.1f} to {max(values):+.1f} dB, ahead in {ahead} of {len(values)} "
        "conditions."
    ]
    if recipe is None:
        return parts[0]
    if isinstance(recipe.data, PairsData):
        parts.append("Measured on pairs of its own data, which no publication shares.")
        return " ".join(parts)
    own = arm_of(recipe)
    table, arm = own or (None, "")
    theirs = None if table is None else table.margin(arm)
    if table is None or theirs is None:
        parts.append("No publication states a margin for this network.")
        return " ".join(parts)
    parts.append(
        f"The publication has {theirs:+.1f} dB ({table.source}, {arm}, over "
        f"{', '.join(table.filters)}; {table.setting})."
    )
    families = [name for name in FAMILIES if name.split("-")[0] in _lower(table.filters)]
    matched = [group for group in groups if group.name.startswith(table.condition)]
    ours = [_over(group, group.main, families) for group in matched]
    same = [value for value in ours if value is not None]
    if same and max(same) < theirs - _LEVEL_DB:
        parts.append(
            f"Over the same filters ours is {max(same):+.1f} dB at best: short by "
            f"{theirs - max(same):.1f} dB."
        )
    elif not same:
        parts.append("That is another noise than this model's; no condition here repeats it.")
    parts.append(_seen(recipe, len(recipe.data.sources), training, table.training))
    return " ".join(parts)


def _perceptual(groups: Sequence[Group], recipe: Recipe) -> str:
    """What the perceptual distance is beside that of the best filter, here and in publication."""
    own = arm_of(recipe)
    table, arm = own or (None, "")
    known: list[tuple[str, float, float]] = []
    for group in groups:
        name = group.metric("PDR")
        model = None if name is None else group.mean("model", name)
        means = [] if name is None else [group.mean(family, name) for family in FAMILIES]
        filters = [value for value in means if value is not None]
        if model is not None and filters:
            known.append((group.name, model, min(filters)))
    if not known:
        return ""
    better = sum(model < best for _, model, best in known)
    texts = [f"{model:.3f} (best filter {best:.3f}; {name})" for name, model, best in known]
    parts = [f"Its perceptual distance (PDR, lower is better) is {'; '.join(texts)}."]
    theirs = None if table is None else table.arms[arm].pdr
    stated = [] if table is None else [each.pdr for each in table.filters.values()]
    published = [value for value in stated if value is not None]
    if table is None or theirs is None or not published:
        return parts[0]
    verdict = "is" if better == len(known) else "is not"
    parts.append(
        f"The publication has {theirs:.3f} against {min(published):.3f} of its best filter "
        f"({table.source}): that result {verdict} reproduced here."
    )
    return " ".join(parts)


def _lower(names: Iterable[str]) -> set[str]:
    return {name.lower() for name in names}


def _seen(recipe: Recipe, sources: int, training: dict[str, Any], theirs: str) -> str:
    section = recipe.training
    steps = training.get("iterations")
    if steps is None:
        return f"The publication trained on {theirs}."
    patches = steps * section.batch
    pixels = patches * section.patch**2 / 1e6
    return (
        f"This run saw {patches:,} patches of {section.patch} x {section.patch} ({pixels:,.0f} "
        f"million pixels) from {sources} sources; the publication trained on {theirs}. "
        "The references measured on here are clinical images whose own noise counts as signal, "
        "which caps every method's PSNR (the publication's radiographs are simulated, without any "
        "noise). A longer run on more and quieter references is what would close the gap."
    )
