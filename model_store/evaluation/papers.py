"""Figures of the publications, for tables that show ours beside them and never mixed.

Their data, their noise and their networks' training differ from ours; what can be compared is the
order of the arms and the margin over classical filters. The figures are in ``papers.toml``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from importlib import resources
from itertools import pairwise
from typing import Literal

from pydantic import (
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from model_store.errors import DataError
from model_store.generators.sections import (
    Cnn10Section,
    DnganSection,
    DrlCascadeSection,
    DrlSection,
    N2nUnetSection,
    SharpXrSection,
    WganVggSection,
)
from model_store.strict import Strict
from model_store.training.noise import AwgnNoise
from model_store.training.objective import for_fidelity
from model_store.training.recipe import CtData, Recipe, plain

StatedOrder = tuple[str, str, str]
METRICS = ("PSNR", "SSIM", "PDR")


class Figures(Strict):
    """What a publication reports for one arm; None where it reports nothing."""

    psnr: float | None = None
    ssim: float | None = None
    pdr: float | None = None
    parameters: int | None = None

    def of(self, metric: str) -> float | None:
        """The figure of ``PSNR``, ``SSIM`` or ``PDR``."""
        value: float | None = getattr(self, metric.lower())
        return value


class PaperTable(Strict):
    """One table of a publication.

    Attributes
    ----------
    source : str
        Publication and number of the table.
    setting : str
        What it was measured on.
    arms : dict of str to Figures
        Networks.
    noisy : Figures, optional
        The input.
    filters : dict of str to Figures
        Classical filters.
    claims : tuple of (str, str, str)
        Metric, better arm, worse arm: what the publication concludes from the table, or for a
        metric that it does not report, what the method is for.
    alike : tuple of (str, str, str, float)
        Metric, two arms, and how little they differ by what the publication concludes.
    series : tuple of tuple of str
        Arms that are ranked among themselves; all of them by default.
    training : str
        How much the networks were trained.
    condition : str
        Start of the name of our condition that repeats the setting; empty where none does, and
        every condition of its arms is shown beside it.
    beside : tuple of str
        Tables of the file to be read beside it.
    """

    source: str
    setting: str
    arms: dict[str, Figures] = Field(min_length=1)
    noisy: Figures | None = None
    filters: dict[str, Figures] = Field(default_factory=dict)
    claims: tuple[tuple[Literal["PSNR", "SSIM", "PDR"], str, str], ...] = ()
    alike: tuple[tuple[Literal["PSNR", "SSIM", "PDR"], str, str, float], ...] = ()
    series: tuple[tuple[str, ...], ...] = ()
    training: str = ""
    condition: str = ""
    beside: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _names_arms_that_it_has(self) -> PaperTable:
        named = {arm for claim in self.claims for arm in claim[1:]}
        named.update(arm for claim in self.alike for arm in claim[1:3])
        named.update(arm for members in self.series for arm in members)
        if named - set(self.arms):
            raise ValueError(f"no arm {', '.join(sorted(named - set(self.arms)))}")
        return self

    def margin(self, arm: str) -> float | None:
        """PSNR of an arm over the best filter of the table, dB."""
        own = self.arms[arm].psnr
        filters = [item.psnr for item in self.filters.values() if item.psnr is not None]
        return None if own is None or not filters else round(own - max(filters), 2)

    def orders(self, present: Collection[str]) -> list[StatedOrder]:
        """Metric, better arm, worse arm: all that the table says of the arms in `present`.

        For each metric the neighbours in the ranking of its figures, then what is claimed.
        """
        found: list[StatedOrder] = []
        for metric in METRICS:
            for members in self.series or (tuple(self.arms),):
                known = [
                    (value, arm)
                    for arm in members
                    if arm in present and (value := self.arms[arm].of(metric)) is not None
                ]
                ranked = sorted(known, key=lambda item: item[0], reverse=metric != "PDR")
                found += [
                    (metric, better, worse)
                    for (high, better), (low, worse) in pairwise(ranked)
                    if high != low
                ]
            found += [
                claim
                for claim in self.claims
                if claim[0] == metric and set(claim[1:]) <= set(present)
            ]
        return list(dict.fromkeys(found))


def read_tables(text: str, origin: str) -> dict[str, PaperTable]:
    """Tables of a TOML file, by their names in it.

    Parameters
    ----------
    text : str
        TOML, a table a publication's table, with the keys of `PaperTable`.
    origin : str
        What to call it in an error.

    Raises
    ------
    DataError
        If it is not TOML, has an unknown or missing key, or names an arm or a table that is not
        there.
    """
    try:
        tables = _TABLES.validate_python(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{origin}: {error}") from error
    except ValidationError as error:
        raise DataError(f"{origin}: {plain(error)}") from error
    for name, table in tables.items():
        if missing := set(table.beside) - set(tables):
            raise DataError(f"{origin}: {name}.beside: no table {', '.join(sorted(missing))}")
    return tables


_TABLES = TypeAdapter(dict[str, PaperTable])
_PAPERS = read_tables(
    resources.files("model_store.evaluation").joinpath("papers.toml").read_text("utf-8"),
    "papers.toml",
)
DNGAN = _PAPERS["dngan"]
DNGAN_WEIGHTS = _PAPERS["dngan-weights"]
N2N_XRAY = _PAPERS["n2n-xray"]
N2N_CT = _PAPERS["n2n-ct"]
N2N_CT_STRONG = _PAPERS["n2n-ct-strong"]
WGAN = _PAPERS["wgan"]
DRL = _PAPERS["drl"]
SHARPXR = _PAPERS["sharpxr"]
FURTHER = {
    table.source: tuple(_PAPERS[name] for name in table.beside)
    for table in _PAPERS.values()
    if table.beside
}
"""Tables to be read beside another, by its source."""
_STRONG_DB = 20.0


def arm_of(recipe: Recipe) -> tuple[PaperTable, str] | None:
    """Table and arm of a publication that a recipe repeats, told by its generator and its loss.

    None for systems without a publication here.
    """
    terms: set[str] = {term.name for term in recipe.training.loss}
    found: tuple[PaperTable, str] | None = None
    match recipe.generator:
        case DnganSection():
            found = _dngan_arm(recipe, terms)
        case N2nUnetSection():
            found = _n2n_arm(recipe, terms)
        case WganVggSection():
            start = "Generator" if recipe.critic is None else "WGAN"
            found = WGAN, f"{start}-{'VGG' if 'perceptual' in terms else 'MSE'}"
        case SharpXrSection():
            found = SHARPXR, "SharpXR"
        case DrlSection():
            found = DRL, "DRL, B" if "perceptual" in terms else "DRL, A"
        case DrlCascadeSection() as section:
            found = DRL, _cascade_arm(section, fidelity=for_fidelity(recipe))
        case Cnn10Section():
            found = DRL, "CNN10"
    return found if found is not None and found[1] in found[0].arms else None


def _dngan_arm(recipe: Recipe, terms: set[str]) -> tuple[PaperTable, str]:
    for arm in DNGAN_WEIGHTS.arms:
        if recipe.name.endswith(f"-{arm}"):
            return DNGAN_WEIGHTS, arm
    if recipe.critic is None:
        return DNGAN, "DNGAN-MSE"
    if not terms:
        return DNGAN, "DNGAN-ADV"
    for term, arm in (("perceptual", "WORES"), ("mse", "WOMSE"), ("tv", "WOTV")):
        if term not in terms:
            return DNGAN, f"DNGAN-{arm}"
    return DNGAN, "DNGAN"


def _cascade_arm(section: DrlCascadeSection, *, fidelity: bool) -> str:
    """The arm of a cascade; where its last level is the second, its first tells C from D."""
    if section.further == "cnn10":
        return "cascade of CNN10" if section.first == "cnn10" else "DRL, then CNN10"
    name = "cascade C" if not fidelity else "cascade D"
    if section.levels > 2:  # noqa: PLR2004
        name += ", 3 levels"
    return f"{name}, blended" if section.blend < 1 else name


def _n2n_arm(recipe: Recipe, terms: set[str]) -> tuple[PaperTable, str] | None:
    target = "N2C" if recipe.data.target == "clean" else "N2N"
    arm = f"{target}-{'MAE' if 'mae' in terms else 'MSE'}"
    table = N2N_CT if recipe.input.units == "HU" else N2N_XRAY
    if isinstance(recipe.data, CtData):
        noise = recipe.data.noise
        strong = isinstance(noise, AwgnNoise) and (noise.psnr or _STRONG_DB) < _STRONG_DB
        table = N2N_CT_STRONG if strong else N2N_CT
    return (table, arm) if arm in table.arms else None
