"""Figures of the publications, for tables that show ours beside them and never mixed.

Their data, their noise and their networks' training differ from ours; what can be compared is the
order of the arms and the margin over classical filters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from model_store.training.noise import AwgnNoise
from model_store.training.recipe import CtData, Recipe


@dataclass(frozen=True, slots=True)
class Figures:
    """What a publication reports for one arm; None where it reports nothing."""

    psnr: float | None = None
    ssim: float | None = None
    pdr: float | None = None


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
        Metric, better arm, worse arm: what the publication concludes from the table.
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
    claims: tuple[tuple[str, str, str], ...] = ()
    training: str = ""
    condition: str = ""

    def margin(self, arm: str) -> float | None:
        """PSNR of an arm over the best filter of the table, dB."""
        own = self.arms[arm].psnr
        filters = [item.psnr for item in self.filters.values() if item.psnr is not None]
        return None if own is None or not filters else round(own - max(filters), 2)


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
    "the same, one weight of the loss multiplied by a factor; 500 epochs",
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
WGAN = PaperTable(
    "Mbouwe, Mehdaoui, Zeddoun (student report after Yang et al. 2018), Table 3",
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
    ),
    training="100 epochs of 6,272 slices",
)
SHARPXR = PaperTable(
    "Abolade et al., arXiv 2508.08518 (SharpXR), read-me of its code",
    "chest radiographs of children, 256 x 256, Poisson and normal noise",
    {"SharpXR": Figures(35.52, 0.9263)},
    filters={"BM3D": Figures(29.45, 0.7003)},
)
_STRONG_DB = 20.0
_FIDELITY = {"mse", "mae", "charbonnier", "ssim"}


def is_fidelity(recipe: Recipe) -> bool:
    """Whether a recipe's loss asks for fidelity alone: no critic, no perceptual term, no TV."""
    return recipe.critic is None and {term.name for term in recipe.training.loss} <= _FIDELITY


def arm_of(recipe: Recipe) -> tuple[PaperTable, str] | None:
    """Table and arm of a publication that a recipe repeats, told by its generator and its loss.

    None for DRL and its cascade, whose publication has pictures and no table, and for systems
    without a publication here.
    """
    terms: set[str] = {term.name for term in recipe.training.loss}
    match recipe.generator.system:
        case "dngan":
            return _dngan_arm(recipe, terms)
        case "n2n-unet":
            return _n2n_arm(recipe, terms)
        case "wgan-vgg":
            start = "Generator" if recipe.critic is None else "WGAN"
            return WGAN, f"{start}-{'VGG' if 'perceptual' in terms else 'MSE'}"
        case "sharpxr":
            return SHARPXR, "SharpXR"
        case _:
            return None


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


def _n2n_arm(recipe: Recipe, terms: set[str]) -> tuple[PaperTable, str] | None:
    target = "N2C" if recipe.data.target == "clean" else "N2N"
    arm = f"{target}-{'MAE' if 'mae' in terms else 'MSE'}"
    table = N2N_XRAY
    if isinstance(recipe.data, CtData):
        noise = recipe.data.noise
        strong = isinstance(noise, AwgnNoise) and (noise.psnr or _STRONG_DB) < _STRONG_DB
        table = N2N_CT_STRONG if strong else N2N_CT
    return (table, arm) if arm in table.arms else None
