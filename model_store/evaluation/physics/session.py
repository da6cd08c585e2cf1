"""All that is measured of a CT model on phantoms, as one result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_store.evaluation.physics import measure
from model_store.evaluation.physics.fidelity import compare_with_repeats, fidelity_table
from model_store.evaluation.physics.measure import Measurement
from model_store.evaluation.physics.report import for_manifest, summary, sweep_summary
from model_store.evaluation.physics.study import Model, Study


@dataclass(frozen=True, slots=True)
class PhysicsResults:
    """What was measured.

    Parameters
    ----------
    summary : mapping
        As of `model_store.evaluation.physics.report.summary`, with ``quick``, and with
        ``simulation`` and ``sweep`` where they were made.
    """

    summary: Mapping[str, Any]

    @property
    def tables(self) -> list[dict[str, Any]]:
        """All tables, to be shown."""
        found = list(self.summary["tables"])
        if "simulation" in self.summary:
            found.append(self.summary["simulation"])
        if "sweep" in self.summary:
            found.append(self.summary["sweep"]["table"])
        return found

    @property
    def for_manifest(self) -> dict[str, Any]:
        """What a manifest keeps of it."""
        return for_manifest(self.summary)


def measure_physics(
    model: Model, data: Path | None, strength: float, *, quick: bool = False, sweep: bool = True
) -> PhysicsResults:
    """Measure a CT model on phantoms.

    Parameters
    ----------
    model : Model
        The denoiser.
    data : Path, optional
        Folder above the scans of phantoms; without it simulated ones alone.
    strength : float
        Of the denoising.
    quick : bool
        Few images.
    sweep : bool
        Whether to look for the largest strength that keeps every limit.

    Raises
    ------
    DataError
        If scans are missing or unreadable.
    """
    study = Study.run(model, data, quick=quick)
    agreements = [] if data is None or quick else compare_with_repeats(data)
    results = summary(Measurement.of(study, strength)) | {"quick": quick}
    if agreements:
        results["simulation"] = fidelity_table(agreements)
    if sweep:
        results["sweep"] = sweep_summary(measure.strength_sweep(study))
    return PhysicsResults(results)
