"""The figures of several arms together: one picture, their convergence, their sweeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from model_store.evaluation import ct, xray
from model_store.evaluation.arms import Arm
from model_store.evaluation.filter_file import FilterFile
from model_store.evaluation.lpips import Lpips
from model_store.evaluation.report import cases_of
from model_store.evaluation.trial import Case
from model_store.evaluation.validity import measure_validity
from model_store.manifest import Validity
from model_store.reports.curves import convergence, crossing, save
from model_store.reports.losses import read_validation
from model_store.reports.side_by_side import write_picture
from model_store.training.noise import ProjectionNoise, as_stored
from model_store.training.pairs.section import PairsData
from model_store.training.recipe import CtData

PICTURE, CURVES, SWEEP = "picture.png", "curves.png", "sweep.png"


def draw(
    arms: Sequence[Arm],
    runs: Sequence[Path],
    data: Path,
    folder: Path,
    *,
    weights: Path | None = None,
    filters: FilterFile | None = None,
    phantom: bool = False,
    quick: bool = False,
) -> Iterator[str]:
    """Write the figures into a folder, and say of each what it is or why it is none.

    Parameters
    ----------
    arms : sequence of Arm
        Networks.
    runs : sequence of Path
        Folders of those that are runs, for their logs.
    data : Path
        Folder that the held-out data are below.
    folder : Path
        Where.
    weights : Path, optional
        Folder of the weights of LPIPS.
    filters : FilterFile, optional
        Scores of the filters; without it the picture has none.
    phantom : bool
        Draw the picture of a digital phantom, an image that is nobody's.
    quick : bool
        Fewer images and levels.

    Raises
    ------
    DataError
        If held-out data are missing, or matplotlib is.
    """
    alike = _alike(arms)
    perceptual = None if weights is None else Lpips.where(weights)
    recipe = alike[0].recipe
    if phantom:
        case = (ct if recipe.input.units == "HU" else xray).phantom_case(recipe, perceptual)
    else:
        case = _middle(list(cases_of(recipe, data, perceptual, quick=quick)))
    write_picture(folder / PICTURE, case, alike, filters, recipe.input.units)
    left = [arm.name for arm in arms if arm not in alike]
    yield f"{PICTURE}: {case.group}" + (
        f"; without {', '.join(left)}, which have other noise" if left else ""
    )
    found = {run.name: read_validation(run) for run in runs}
    found = {name: told for name, told in found.items() if told}
    if found:
        save(convergence(found), folder / CURVES)
        yield f"{CURVES}: what {len(found)} runs measured on patches that they do not draw"
    else:
        yield f"{CURVES}: none; no arm is a run that measured itself"
    sweeps = _sweeps(arms, data, quick=quick)
    if sweeps:
        save(crossing(sweeps), folder / SWEEP)
        yield f"{SWEEP}: PSNR of the output against that of the input, {len(sweeps)} models"
    else:
        yield f"{SWEEP}: none; no noise is drawn on pairs"


def _alike(arms: Sequence[Arm]) -> list[Arm]:
    """The most arms that share one kind and level of noise, as one picture takes one image."""
    groups: dict[str, list[Arm]] = {}
    for arm in arms:
        section = arm.recipe.data
        noise = "pairs" if isinstance(section, PairsData) else repr(section.noise)
        groups.setdefault(f"{arm.recipe.input.units} {noise}", []).append(arm)
    return max(groups.values(), key=len)


def _middle(cases: Sequence[Case]) -> Case:
    """The first image under the condition in the middle."""
    groups = list(dict.fromkeys(case.group for case in cases))
    wanted = groups[(len(groups) - 1) // 2]
    return next(case for case in cases if case.group == wanted)


def _sweeps(arms: Sequence[Arm], data: Path, *, quick: bool) -> dict[str, Validity]:
    """Sweeps of the arms whose noise is of one kind, white or not."""
    found: dict[str, tuple[str, Validity]] = {}
    for arm in arms:
        section = arm.recipe.data
        if isinstance(section, PairsData):
            continue
        beyond = not as_stored(section.noise)
        validity, _ = measure_validity(
            partial(arm.model, beyond=beyond), arm.recipe, data, quick=quick
        )
        kind = "projection" if isinstance(section.noise, ProjectionNoise) else section.noise.kind
        name = "ct" if isinstance(section, CtData) else "xray"
        found[arm.name] = (f"{name} {kind}", validity)
    kinds = [kind for kind, _ in found.values()]
    most = max(set(kinds), key=kinds.count, default="")
    return {name: validity for name, (kind, validity) in found.items() if kind == most}
