"""Pages of model versions, written into a folder."""

from __future__ import annotations

from pathlib import Path

from model_store.errors import DataError
from model_store.evaluation.session import ReleasedModel
from model_store.reports.findings import Findings
from model_store.reports.page import Page, render_index, render_page
from model_store.reports.pictures import CasePictures, held_out_cases, picture_cases
from model_store.store import ModelStore, ModelVersion
from model_store.training.log import LOG
from model_store.training.recipe_of import data_recipe

_INDEX = "index.html"


def write_reports(
    store: ModelStore,
    versions: tuple[ModelVersion, ...],
    out: Path,
    *,
    data: Path | None = None,
    data_of: str | None = None,
    weights: Path | None = None,
    results: Path | None = None,
    physics: Path | None = None,
    log: Path | None = None,
) -> list[Path]:
    """Write a page a version into `out`, and an index over them if there are several.

    Parameters
    ----------
    store : ModelStore
        Whose aliases are named.
    versions : tuple of ModelVersion
        What to report.
    out : Path
        Folder; made if missing.
    data, weights, results, physics, log : Path, optional
        As of the command.
    data_of : str, optional
        Whose held-out images to show, as of `model_store.training.recipe_of.data_recipe`.

    Returns
    -------
    list of Path
        Files written, the index last.

    Raises
    ------
    DataError
        If a file or the held-out images cannot be read.
    RecipeError
        If a version's recipe is malformed.
    """
    for path in (results, physics, log):
        if len(versions) > 1 and path is not None and not path.is_dir():
            raise DataError(
                f"{path}: one file for several versions; name a folder of NAME@VERSION.json"
            )
    aliases = store.aliases()
    pages = {}
    for version in versions:
        findings = Findings.of(
            version,
            results=_own(results, version),
            physics=_own(physics, version),
            log=_own_log(log, version) if len(versions) > 1 else log,
        )
        pages[f"{version.ref}.html"] = Page(
            findings,
            () if data is None else _pictures(version, data, weights, data_of),
            sorted(
                str(alias) for alias, target in aliases.items() if str(target) == str(version.ref)
            ),
        )
    out.mkdir(parents=True, exist_ok=True)
    texts = {name: render_page(page) for name, page in pages.items()}
    if len(pages) > 1:
        texts[_INDEX] = render_index(pages)
    written = [out / name for name in texts]
    for path, text in zip(written, texts.values(), strict=True):
        path.write_text(text, encoding="utf-8")
    return written


def _own(path: Path | None, version: ModelVersion) -> Path | None:
    """A version's file: `path` itself, or in a folder the one of its name if there is one."""
    if path is None or not path.is_dir():
        return path
    file = path / f"{version.ref}.json"
    return file if file.is_file() else None


def _own_log(runs: Path | None, version: ModelVersion) -> Path | None:
    """In a folder of runs, the log of the run that has the version's name."""
    if runs is None:
        return None
    logs = (runs / str(version.ref), runs / version.ref.name)
    return next((folder for folder in logs if (folder / LOG).is_file()), None)


def _pictures(
    version: ModelVersion, data: Path, weights: Path | None, data_of: str | None
) -> list[CasePictures]:

    recipe = data_recipe(version.folder, version.manifest, data_of)
    return picture_cases(
        held_out_cases(recipe, data, weights),
        ReleasedModel(version.folder),
        units=version.manifest.input.units,
    )
