"""Figures of the publications, for tables that show ours beside them and never mixed.

Their data, their noise and their networks' training differ from ours; what can be compared is the
order of the arms and the margin over classical filters.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import pairwise

from model_store.generators.sections import (
    Cnn10Section,
    DnganSection,
    DrlCascadeSection,
    DrlSection,
    N2nUnetSection,
    SharpXrSection,
    WganVggSection,
)
from model_store.training.noise import AwgnNoise
from model_store.training.recipe import CtData, Recipe

Order = tuple[str, str, str]
METRICS = ("PSNR", "SSIM", "PDR")


@dataclass(frozen=True, slots=True)
class Figures:
    """What a publication reports for one arm; None where it reports nothing."""

    psnr: float | None = None
    ssim: float | None = None
    pdr: float | None = None
    parameters: int | None = None

    def of(self, metric: str) -> float | None:
        """The figure of ``PSNR``, ``SSIM`` or ``PDR``."""
        value: float | None = getattr(self, metric.lower())
        return value


@dataclass(frozen=True, slots=True)
class PaperTable:
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
    series : tuple of tuple of str
        Arms that are ranked among themselves; all of them by default.
    training : str
        How much the networks were trained.
    condition : str
        Start of the name of our condition that repeats the setting; empty where none does, and
        every condition of its arms is shown beside it.
    """

    source: str
    setting: str
    arms: dict[str, Figures]
    noisy: Figures | None = None
    filters: dict[str, Figures] = field(default_factory=dict)
    claims: tuple[Order, ...] = ()
    training: str = ""
    condition: str = ""
    series: tuple[tuple[str, ...], ...] = ()

    def margin(self, arm: str) -> float | None:
        """PSNR of an arm over the best filter of the table, dB."""
        own = self.arms[arm].psnr
        filters = [item.psnr for item in self.filters.values() if item.psnr is not None]
        return None if own is None or not filters else round(own - max(filters), 2)

    def orders(self, present: Collection[str]) -> list[Order]:
        """Metric, better arm, worse arm: all that the table says of the arms in `present`.

        For each metric the neighbours in the ranking of its figures, then what is claimed.
        """
        found: list[Order] = []
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


_DNGAN = "Sun et al., J X-Ray Sci Technol 26:523 (2018)"
_N2N = "Gnudi et al. 2020 (Noise2Noise for X-ray and CT)"
DNGAN = PaperTable(
    f"{_DNGAN}, Table 1",
    "real digital radiographs, PSNR of the input 24.15 dB",
    {
        "DNGAN-MSE": Figures(35.04, 0.913, 0.105),
        "DNGAN-ADV": Figures(25.83, 0.760, 0.143),
        "DNGAN-WORES": Figures(31.73, 0.887, 0.067),
        "DNGAN-WOMSE": Figures(30.86, 0.892, 0.045),
        "DNGAN-WOTV": Figures(32.76, 0.890, 0.051),
        "DNGAN": Figures(32.95, 0.894, 0.043),
    },
    Figures(24.15, 0.387, 0.344),
    {"BM3D": Figures(33.18, 0.904, 0.119)},
    (
        ("PSNR", "DNGAN-MSE", "DNGAN"),
        ("SSIM", "DNGAN-MSE", "DNGAN"),
        ("PDR", "DNGAN", "DNGAN-MSE"),
        ("PDR", "DNGAN", "DNGAN-WORES"),
        ("PDR", "DNGAN", "DNGAN-WOTV"),
        ("PSNR", "DNGAN", "DNGAN-ADV"),
    ),
    "100 epochs on mean squared error and 2,000 adversarial ones of 40,960 patches of 64 x 64",
    "Poisson noise, 24.15 dB",
)
_FACTORS = (0.2, 0.5, 1.0, 2.0, 5.0)
_SWEEP = {
    "mse": (0.070, 0.065, 0.061, 0.076, 0.090),
    "adversarial": (0.116, 0.087, 0.061, 0.066, 0.078),
    "content": (0.097, 0.069, 0.061, 0.057, 0.054),
    "tv": (0.073, 0.059, 0.061, 0.063, 0.064),
}
DNGAN_WEIGHTS = PaperTable(
    f"{_DNGAN}, Table 2",
    "as for Table 1; one weight of 1 MSE + 0.025 content + 0.01 adversarial + 0.5 TV, the base, "
    "multiplied by a factor",
    {"base": Figures(pdr=0.061)}
    | {
        f"{name}-{factor:g}": Figures(pdr=value)
        for name, values in _SWEEP.items()
        for factor, value in zip(_FACTORS, values, strict=True)
        if factor != 1
    },
    claims=(
        ("PDR", "content-5", "base"),
        ("PDR", "base", "content-0.2"),
        ("PDR", "base", "adversarial-0.2"),
        ("PDR", "base", "adversarial-5"),
        ("PDR", "base", "mse-5"),
        ("PDR", "tv-0.5", "base"),
    ),
    training="500 epochs of 40,960 patches of 64 x 64",
    condition="Poisson noise, 24.15 dB",
    series=tuple(
        tuple("base" if factor == 1 else f"{name}-{factor:g}" for factor in _FACTORS)
        for name in _SWEEP
    ),
)
_CLASSICAL = ("Gaussian", "Bilateral", "Median")


def _filters(*values: float) -> dict[str, Figures]:
    return {name: Figures(value) for name, value in zip(_CLASSICAL, values, strict=True)}


_N2N_TRAINING = "{} whole images; the number of passes is not published"
N2N_XRAY = PaperTable(
    f"{_N2N}, Table III",
    "simulated radiographs of phantoms, Poisson noise, PSNR of the input 29.91 dB",
    {"N2N-MAE": Figures(37.66), "N2N-MSE": Figures(39.34), "N2C-MSE": Figures(40.54)},
    Figures(29.91),
    _filters(35.09, 35.22, 35.71),
    (("PSNR", "N2C-MSE", "N2N-MSE"), ("PSNR", "N2N-MSE", "N2N-MAE")),
    _N2N_TRAINING.format("10,080 pairs of"),
    "Poisson noise, 29.91 dB",
)
N2N_CT = PaperTable(
    f"{_N2N}, Table IV",
    "CT slices with white noise, PSNR of the input 24.44 dB",
    {"N2N-MAE": Figures(41.80), "N2N-MSE": Figures(42.09), "N2C-MSE": Figures(40.63)},
    Figures(24.44),
    _filters(34.25, 35.09, 33.48),
    (("PSNR", "N2N-MSE", "N2N-MAE"), ("PSNR", "N2N-MSE", "N2C-MSE")),
    _N2N_TRAINING.format("10,000"),
    "white noise, 24.44 dB",
)
N2N_CT_STRONG = PaperTable(
    f"{_N2N}, Table V",
    "CT slices with white noise, PSNR of the input 18.66 dB",
    {"N2N-MSE": Figures(30.01)},
    Figures(18.66),
    _filters(26.94, 27.22, 25.30),
    training=_N2N_TRAINING.format("10,000"),
    condition="white noise, 18.66 dB",
)
_WGAN = "Mbouwe, Mehdaoui, Zeddoun (student report after Yang et al. 2018)"
WGAN = PaperTable(
    f"{_WGAN}, Table 3",
    "LoDoPaB slices shrunk to 64 x 64, one noise field for all of them: no evidence of denoising",
    {
        "Generator-MSE": Figures(37.871, 0.9967),
        "Generator-VGG": Figures(33.325, 0.9901),
        "WGAN-MSE": Figures(31.521, 0.9856),
        "WGAN-VGG": Figures(35.654, 0.9941),
    },
    claims=(
        ("PSNR", "Generator-MSE", "Generator-VGG"),
        ("PSNR", "Generator-MSE", "WGAN-VGG"),
        ("PSNR", "WGAN-VGG", "WGAN-MSE"),
        ("PDR", "Generator-VGG", "Generator-MSE"),
        ("PDR", "WGAN-VGG", "WGAN-MSE"),
        ("PDR", "WGAN-VGG", "Generator-MSE"),
    ),
    training="100 epochs of 6,272 slices",
)
WGAN_SAMPLE = PaperTable(
    f"{_WGAN}, Table 2",
    "one of the test slices",
    {
        "Generator-MSE": Figures(37.213),
        "Generator-VGG": Figures(35.089, 0.9949),
        "WGAN-MSE": Figures(32.812, 0.9901),
        "WGAN-VGG": Figures(37.692, 0.9968),
    },
)
WGAN_FAIR = PaperTable(
    "Eulig et al., Med Phys 51:8776 (2024), abdomen",
    "the same data, budget and tuning for every network; abdominal CT at a quarter of the dose",
    {
        "WGAN-VGG": Figures(30.906, 0.893),
        "RED-CNN": Figures(33.685, 0.913),
        "ResNet": Figures(33.583, 0.912),
        "DU-GAN": Figures(32.468, 0.904),
    },
    Figures(29.117, 0.856),
    {"Bilateral, trained": Figures(27.357, 0.871)},
)
_DRL, _CNN10 = Figures(parameters=225_601), Figures(parameters=335_873)
DRL = PaperTable(
    "Ataei, Alirezaie, Babyn, arXiv 2006.14738, Figures 2, 5 and 6",
    "abdominal CT at a quarter of the dose; pictures, no measure of quality: of the arms only the "
    "parameters of a level are published",
    {
        "DRL, A": _DRL,
        "DRL, B": _DRL,
        "cascade C": Figures(),
        "cascade D": Figures(),
        "cascade C, 3 levels": Figures(),
        "cascade C, blended": Figures(),
        "DRL, then CNN10": Figures(),
        "CNN10": _CNN10,
        "cascade of CNN10": Figures(),
    },
    claims=(
        ("PSNR", "DRL, A", "CNN10"),
        ("PSNR", "cascade C", "DRL, B"),
        ("PSNR", "cascade D", "DRL, A"),
        ("PSNR", "cascade C", "DRL, then CNN10"),
        ("PDR", "DRL, B", "DRL, A"),
        ("PDR", "cascade C", "cascade D"),
    ),
    training="15 epochs of 281,660 patches of 64 x 64 for the first level and 10 for the second",
)
SHARPXR = PaperTable(
    "Abolade et al., arXiv 2508.08518 (SharpXR), read-me of its code",
    "chest radiographs of children, 256 x 256, Poisson and normal noise",
    {
        "DnCNN": Figures(33.97, 0.8945),
        "REDCNN": Figures(34.95, 0.9140),
        "Sharp U-Net": Figures(35.40, 0.9261),
        "SharpXR": Figures(35.52, 0.9263),
    },
    filters={"BM3D": Figures(29.45, 0.7003)},
)
FURTHER = {
    DNGAN.source: (DNGAN_WEIGHTS,),
    DNGAN_WEIGHTS.source: (DNGAN,),
    WGAN.source: (WGAN_SAMPLE, WGAN_FAIR),
}
"""Tables to be read beside another, by its source."""
_STRONG_DB = 20.0
_ON_FIDELITY = ("drl-a", "drl-ct")


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
            found = DRL, _cascade_arm(section, recipe.training.start or "")
        case Cnn10Section():
            found = DRL, "CNN10"
    return found


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


def _cascade_arm(section: DrlCascadeSection, start: str) -> str:
    """The arm of a cascade; where its last level is the second, its first tells C from D."""
    if section.further == "cnn10":
        return "cascade of CNN10" if section.first == "cnn10" else "DRL, then CNN10"
    if section.blend < 1:
        return "cascade C, blended"
    if section.levels > 2:  # noqa: PLR2004
        return "cascade C, 3 levels"
    return "cascade D" if start.startswith(_ON_FIDELITY) else "cascade C"


def _n2n_arm(recipe: Recipe, terms: set[str]) -> tuple[PaperTable, str] | None:
    target = "N2C" if recipe.data.target == "clean" else "N2N"
    arm = f"{target}-{'MAE' if 'mae' in terms else 'MSE'}"
    table = N2N_CT if recipe.input.units == "HU" else N2N_XRAY
    if isinstance(recipe.data, CtData):
        noise = recipe.data.noise
        strong = isinstance(noise, AwgnNoise) and (noise.psnr or _STRONG_DB) < _STRONG_DB
        table = N2N_CT_STRONG if strong else N2N_CT
    return (table, arm) if arm in table.arms else None
