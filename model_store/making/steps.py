"""The steps from a recipe to a packed version: what each does, and which limit it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model_store import archive
from model_store.engines.behaviour import check_behaviour
from model_store.engines.equivalence import certify
from model_store.engines.golden import golden_outputs
from model_store.engines.openvino import OpenVinoEngine
from model_store.errors import ExportError, ModelStoreError
from model_store.evaluation.filter_file import FilterFile
from model_store.evaluation.lpips import Lpips
from model_store.evaluation.physics.acceptance import kept_and_missed
from model_store.evaluation.physics.session import measure_physics
from model_store.evaluation.report import evaluate_version
from model_store.evaluation.session import ReleasedModel
from model_store.making.state import Done
from model_store.reports.writing import write_reports
from model_store.store import ModelStore, ModelVersion
from model_store.training import run
from model_store.training.checkpoint import AVERAGE, Progress
from model_store.training.precision import PrecisionChoice
from model_store.training.recipe import Recipe
from model_store.training.release import release, write_metrics, write_physics
from model_store.trust.key import PrivateKey
from model_store.trust.signature import SIGNATURE, sign

_SCANS: Final = "ct_physics"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is made of what, and where.

    Parameters
    ----------
    path : Path
        The recipe's file.
    recipe : Recipe
        What it resolves to.
    data, out : Path
        Folder of the images, and of everything that is made.
    arm : str, optional
        Of a file that has several.
    key : PrivateKey, optional
        To sign with.
    weights : Path, optional
        Folder of ImageNet weights and those of LPIPS.
    budget : float, optional
        Minutes of the training.
    precision : str, optional
        Of the training, instead of the recipe's.
    strength : float, optional
        Of the denoising that is measured on phantoms, and recommended to routes.
    compare : bool
        Whether to measure classical filters as well.
    quick : bool
        Few images.
    threads : int
        Processor threads; 0: all.
    """

    path: Path
    recipe: Recipe
    data: Path
    out: Path
    arm: str | None = None
    key: PrivateKey | None = None
    weights: Path | None = None
    budget: float | None = None
    precision: PrecisionChoice | None = None
    strength: float | None = None
    compare: bool = True
    quick: bool = False
    threads: int = 0

    @property
    def run(self) -> Path:
        """Folder of the training."""
        return self.out / "run"

    @property
    def zoo(self) -> Path:
        """Folder that the version is below."""
        return self.out / "zoo"

    @property
    def version(self) -> Path:
        """Folder of the version."""
        return self.zoo / self.recipe.name / self.recipe.version

    @property
    def name(self) -> str:
        """``name@version``."""
        return f"{self.recipe.name}@{self.recipe.version}"


Teller = Callable[[str, int, int], None]
"""Told what is being done, how much of it, and of how much."""

Step = Callable[[Wanted, Teller], Done]


def _train(wanted: Wanted, told: Teller) -> Done:
    def report(done: Progress) -> None:
        told(f"loss {done.loss:.4f}", done.step, done.iterations)

    done = run.train(
        wanted.path,
        wanted.data,
        wanted.run,
        arm=wanted.arm,
        weights=wanted.weights,
        budget=wanted.budget,
        resume=(wanted.run / AVERAGE).exists(),
        precision=wanted.precision,
        distance=Lpips.where(wanted.weights),
        report=report,
        told=told,
    )
    return Done(f"{done.step} iterations in {done.seconds / 60:.1f} minutes")


def _export(wanted: Wanted, _told: Teller) -> Done:
    if (wanted.version / SIGNATURE).exists():
        raise ExportError(
            f"{wanted.name} is signed, and a version never changes: give the recipe another version"
        )
    manifest = ModelVersion.open(release(wanted.run, wanted.zoo)).manifest
    difference = manifest.metrics["onnx_largest_difference"]
    return Done(f"graph and torch differ by {difference:g}; {manifest.parameters:,} parameters")


def _physics(wanted: Wanted, _told: Teller) -> Done:
    model = ReleasedModel(wanted.version, wanted.threads)
    if model.manifest.input.units != "HU":
        return Done("radiographs: there is nothing to measure on phantoms of CT")
    scans = wanted.data if (wanted.data / _SCANS).is_dir() else None
    strength = model.manifest.strength if wanted.strength is None else wanted.strength
    results = measure_physics(model, scans, strength, quick=wanted.quick)
    write_physics(wanted.version, results.for_manifest)
    said = kept_and_missed(results.summary["gates"], strength)
    if results.summary["passed"]:
        return Done(said)
    best = results.summary["sweep"]["strength"]
    way = (
        f" The largest strength that keeps all of them is {best:g}: --strength {best:g} "
        "--from physics."
        if best is not None
        else " No strength keeps all of them."
    )
    return Done(said, said + way)


def _evaluate(wanted: Wanted, told: Teller) -> Done:
    filters = FilterFile(wanted.out / "filters.json", quick=wanted.quick)
    results = evaluate_version(
        wanted.version,
        wanted.data,
        weights=wanted.weights,
        filters=filters if wanted.compare else None,
        quick=wanted.quick,
        threads=wanted.threads,
        told=told,
    )
    write_metrics(wanted.version, results)
    gains = {
        group: found["model"] - found["input"]
        for group, found in results["summary"]["headline"].items()
    }
    said = "; ".join(f"{gain:+.2f} dB, {group}" for group, gain in gains.items())
    worse = [f"{group} ({gain:+.2f} dB)" for group, gain in gains.items() if gain < 0]
    return Done(said, f"it makes these images worse: {'; '.join(worse)}." if worse else "")


def _verify(wanted: Wanted, _told: Teller) -> Done:
    version = ModelVersion.open(wanted.version)
    version.verify()
    with OpenVinoEngine(version, "f32", wanted.threads) as engine:
        check_behaviour(engine, version.manifest, golden_outputs(version))
        found = certify(version, engine)
    said = f"margin, stride, tiles, range and output hold on openvino; {found}"
    return Done(said, "" if found.passed else str(found))


def _report(wanted: Wanted, _told: Teller) -> Done:
    store = ModelStore(wanted.zoo)
    version = store.resolve(wanted.name)
    (page,) = write_reports(
        store,
        (version,),
        wanted.out / "report",
        data=wanted.data,
        weights=wanted.weights,
        log=wanted.run,
    )
    return Done(f"{page} (it shows patients' images)")


def _sign(wanted: Wanted, _told: Teller) -> Done:
    if wanted.key is None:
        return Done("not signed: no --key was given", "no --key was given: nodes want a signature.")
    sign(ModelVersion.open(wanted.version), wanted.key)
    return Done(f"by key {wanted.key.id}")


def _pack(wanted: Wanted, _told: Teller) -> Done:
    target = wanted.out / f"{wanted.recipe.name}-{wanted.recipe.version}.zip"
    return Done(str(archive.pack(ModelVersion.open(wanted.version), target)))


STEPS: Final[Mapping[str, Step]] = {
    "train": _train, "export": _export, "physics": _physics, "evaluate": _evaluate,
    "verify": _verify, "report": _report, "sign": _sign, "pack": _pack,
}  # fmt: skip
"""In their order."""


class LimitMissedError(ModelStoreError):
    """A step of making a version missed a limit; the message says which, and how to go on."""


def going_on(step: str, missed: str, out: Path) -> LimitMissedError:
    """The error that a missed limit ends with."""
    way = (
        "go on with --key KEY"
        if step == "sign"
        else "change the recipe and make a new version, or train longer"
    )
    return LimitMissedError(
        f"{step}: {missed} What was made stays in {out}: {way}, or go on as it is with "
        f"--accept {step}"
    )
