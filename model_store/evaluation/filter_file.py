"""A file of the filters' scores, which do not depend on the model and take most of the time."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from model_store.errors import DataError
from model_store.evaluation.filters import FilterSettings, complete
from model_store.evaluation.trial import Case, run_filters


class FilterFile:
    """Scores of the filters by case, kept in a JSON file that any model's evaluation reuses.

    A case is known by its pixels, so that changed data or another simulation never meet old
    scores. Each new case is written at once.

    Parameters
    ----------
    path : Path, optional
        The file; need not exist. Without it nothing is kept.
    quick : bool
        Coarse grids, kept apart from full ones.

    Raises
    ------
    DataError
        If the file exists and is not of this kind.
    """

    def __init__(self, path: Path | None, *, quick: bool = False) -> None:
        self._path = path
        self._quick = quick
        self._known: dict[str, FilterSettings] = {}
        if path is not None and path.exists():
            self._known = _read(path)

    def of(self, case: Case) -> FilterSettings:
        """Scores of every filter at every setting: known, or measured now.

        Scores that lack a metric of the case, or a filter that can run here or a setting of its
        grid, are measured anew;
        metrics that the case has not are left out.
        """
        key, wanted = self._key(case), set(_metrics(case))
        settings = self._known.get(key)
        if settings is None or not self._complete(settings, wanted):
            self._refresh()
            settings = self._known.get(key)
        if settings is None or not self._complete(settings, wanted):
            settings = run_filters(case, quick=self._quick)
            self._known[key] = settings
            self._write()
        return {
            name: {
                setting: {metric: value for metric, value in scores.items() if metric in wanted}
                for setting, scores in grid.items()
            }
            for name, grid in settings.items()
        }

    def _complete(self, settings: FilterSettings, wanted: set[str]) -> bool:
        return complete(settings, quick=self._quick) and all(
            wanted <= set(scores) for grid in settings.values() for scores in grid.values()
        )

    def _key(self, case: Case) -> str:
        digest = hashlib.sha256()
        for image in (case.crop(case.noisy), case.crop(case.reference)):
            digest.update(image.astype("<f4").tobytes())
        grids = ", coarse" if self._quick else ""
        return f"{case.group} | {case.name} | {digest.hexdigest()[:16]}{grids}"

    def _refresh(self) -> None:
        """Take over what another evaluation has added to the file meanwhile."""
        if self._path is not None and self._path.exists():
            self._known |= _read(self._path)

    def _write(self) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        known = {**(_read(self._path) if self._path.exists() else {}), **self._known}
        partial = self._path.with_name(self._path.name + ".partial")
        partial.write_text(json.dumps({"cases": known}) + "\n", encoding="utf-8")
        partial.replace(self._path)


def _metrics(case: Case) -> list[str]:
    reference = case.crop(case.reference)
    return list(case.score(reference, reference))


def _read(path: Path) -> dict[str, FilterSettings]:
    try:
        cases = json.loads(path.read_text(encoding="utf-8"))["cases"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a file of filters' scores: {error}") from error
    if not isinstance(cases, dict):
        raise DataError(f"{path}: not a file of filters' scores: no cases by name")
    return cases
