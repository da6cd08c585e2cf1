"""``dicom-node model bench``: how fast each engine runs a version on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args

import typer
from rich.console import Console

from dicom_node.cli.common import ConfigOption, JsonOption, reader, show
from dicom_node.cli.model import names
from dicom_node.cli.model.common import Code, plain, print_json, progress, version_name
from model_store.errors import EngineError, EngineUnavailableError, ModelStoreError
from model_store.registry.limits import limit_of

if TYPE_CHECKING:
    from dicom_node.settings import WorkerSettings
    from model_store.engines.available import Option
    from model_store.engines.base import Engine
    from model_store.engines.equivalence import Equivalence
    from model_store.engines.rates import Omission, Rate, Size
    from model_store.manifest import Manifest
    from model_store.store import ModelVersion

_SLICE: Final = 512
_TILE: Final = 1024
_ROUNDS: Final = 4
"""Fewer say nothing about how far rates scatter, and are no ground for advice."""
_WORTH: Final = 1.1
"""An engine that is not faster by this much is not worth another setting."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """An engine that takes part, and how far it is from the reference, if that can be known."""

    engine: Engine
    off: Equivalence | None


@plain
def bench(
    version: names.VersionArgument,
    config: ConfigOption = None,
    engine: Annotated[
        list[str] | None,
        typer.Option("--engine", help="Only this engine; may be given again."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=1, max=3600, help="For the measurement, all sizes together.")
    ] = 30.0,
    as_json: JsonOption = False,
) -> None:
    """Measure how fast each engine runs a version on this machine, and how exactly.

    All engines take turns on slices of 512 x 512 and, if the version is for radiographs, on a tile
    of one; the median counts. Rates are of the network alone: reading, writing and sending a study
    come on top. Differences are those from the torch reference, on the version's own images.
    Nothing is kept but TensorRT plans; the first time, building those takes minutes.
    """
    from model_store.engines.rates import measure  # noqa: PLC0415 -- loads engines
    from model_store.engines.select import Kind  # noqa: PLC0415

    name = version_name(version)
    wanted = {one_of(Kind, each, "--engine") for each in engine or ()}
    node = reader(config)
    found = node.models.version(name)
    threads = node.settings.workers.engine_threads
    limit = limit_of(node.settings.promotion, found.manifest)
    sizes = _sizes(found.manifest)
    contestants = _contestants(wanted)
    ready: list[_Ready] = []
    idle: list[dict[str, str]] = []
    try:
        with progress(len(contestants) + len(sizes)) as tell:
            for each in contestants:
                tell(f"building {each.engine} {each.precision}")
                made = _prepared(each, found, threads, limit)
                if isinstance(made, _Ready):
                    ready.append(made)
                else:
                    idle.append({"engine": each.engine, "precision": each.precision, "why": made})
            found_out = measure([each.engine for each in ready], sizes, seconds, tell=tell)
    finally:
        for one in ready:
            one.engine.close()
    rows = _rows(ready, found_out.rates)
    idle += [_left_out(ready[each.engine], each) for each in found_out.left_out]
    advice = _advice(node.settings.workers, rows)
    if as_json:
        print_json({
            "version": str(name), "threads": threads, "limit": limit, "rates": rows,
            "not_measured": idle, "advice": advice,
        })  # fmt: skip
    else:
        show([_shown(row) for row in rows], title=str(name), as_json=False, empty="no engine")
        if idle:
            show(idle, title="not measured", as_json=False, empty="")
        Console(highlight=False).print(advice, markup=False, soft_wrap=True)
    if not rows:
        raise typer.Exit(Code.ERROR)


def one_of(kinds: Any, text: str | None, option: str) -> Any:
    """An option's text if it is one of a Literal's, None if it was not given."""
    if text is not None and text not in get_args(kinds):
        raise typer.BadParameter(
            f"{text!r} is unknown; choose {', '.join(get_args(kinds))}", param_hint=option
        )
    return text


def _sizes(manifest: Manifest) -> list[Size]:
    """A slice, and for radiographs a tile; rounded up to the stride."""
    tiling = manifest.tiling
    sides = [_SLICE]
    if manifest.input.units != "HU":
        sides.append(max(_TILE, 2 * tiling.margin + tiling.stride))
    rounded = (-(-side // tiling.stride) * tiling.stride for side in sides)
    return [(side, side) for side in rounded]


def _contestants(wanted: set[str | None]) -> list[Option]:
    """Every engine and precision, torch first; `wanted` names engines, empty is all."""
    from model_store.engines.available import options  # noqa: PLC0415 -- loads engines

    found = [each for each in options() if each.engine in wanted or not wanted - {"auto"}]
    return sorted(found, key=lambda each: each.engine != "torch")


def _prepared(option: Option, version: ModelVersion, threads: int, limit: float) -> _Ready | str:
    """An engine ready to be measured, or why it cannot be."""
    from model_store.engines.base import DeviceLostError  # noqa: PLC0415 -- loads engines
    from model_store.engines.equivalence import certify  # noqa: PLC0415
    from model_store.engines.select import choose_engine  # noqa: PLC0415

    if option.why_not:
        return option.why_not
    try:
        engine = choose_engine(version, option.engine, option.precision, threads).engine  # type: ignore[arg-type]
    except DeviceLostError:
        raise
    except EngineError as error:
        return str(error)
    try:
        return _Ready(engine, certify(version, engine, limit))
    except EngineUnavailableError:  # nothing to compare with
        return _Ready(engine, None)
    except ModelStoreError:
        engine.close()
        raise


def _left_out(one: _Ready, which: Omission) -> dict[str, str]:
    why = f"{which.size[0]} x {which.size[1]}: {which.why}"
    return {"engine": one.engine.name, "precision": one.engine.precision, "why": why}


def _rows(ready: Sequence[_Ready], rates: Sequence[Rate]) -> list[dict[str, Any]]:
    """One row for each rate, as a ratio to torch, or to the first engine in f32."""
    rows = []
    for rate in rates:
        one = ready[rate.engine]
        beside = next(each for each in rates if each.size == rate.size)
        reference, off = ready[beside.engine].engine, one.off
        rows.append({
            "size": f"{rate.size[0]} x {rate.size[1]}", "engine": one.engine.name,
            "precision": one.engine.precision, "batch": rate.batch,
            "images_per_second": rate.images_per_second,
            "ratio": rate.images_per_second / beside.images_per_second,
            "ratio_to": f"{reference.name} {reference.precision}",
            "spread": rate.spread, "rounds": rate.rounds,
            "largest_difference": None if off is None else off.largest,
            "units": None if off is None else off.units,
            "within_limit": None if off is None else off.passed,
        })  # fmt: skip
    return rows


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    within = {None: "not known", True: "yes", False: "no"}
    off = row["largest_difference"]
    return {
        "size": row["size"], "engine": row["engine"], "precision": row["precision"],
        "batch": row["batch"], "images/s": f"{row['images_per_second']:.3g}",
        "beside": f"{row['ratio']:.2f} x {row['ratio_to']}",
        "quartiles": f"{row['spread']:.0%}" if row["rounds"] >= _ROUNDS else "",
        "rounds": row["rounds"],
        "largest difference": "" if off is None else f"{off:.2g} {row['units']}",
        "within limit": within[row["within_limit"]],
    }  # fmt: skip


def _advice(settings: WorkerSettings, rows: Sequence[dict[str, Any]]) -> str:
    """Whether another engine is worth a line in node.toml, by the first size."""
    first = [row for row in rows if row["size"] == rows[0]["size"]] if rows else []
    now = _now(settings, first)
    if now is None:
        return "what this node is set to run was not measured"
    if min(row["rounds"] for row in first) < _ROUNDS:
        return "too few rounds to tell engines apart; give more --seconds, or a quieter machine"
    called = f"{now['engine']} {now['precision']}"
    best = max(
        (row for row in first if row["within_limit"] is not False),
        key=lambda row: row["images_per_second"], default=now,
    )  # fmt: skip
    faster = best["images_per_second"] / now["images_per_second"]
    if best is now or faster < _WORTH:
        return f"no engine within the limit is {_WORTH:g} times as fast as {called}, as it is set"
    return (
        f"{best['engine']} {best['precision']} is {faster:.2f} times as fast as {called}, as it is "
        f'set; to use it, set engine = "{best["engine"]}" and precision = "{best["precision"]}" in '
        "[workers]: every later result names the engine that made it"
    )


def _now(settings: WorkerSettings, rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The row of what `choose_engine` would take with these settings."""
    engines = ("tensorrt", "openvino") if settings.engine == "auto" else (settings.engine,)
    precisions: tuple[str, ...] = (settings.precision,)
    if settings.precision == "auto":
        precisions = ("f16", "bf16", "f32")
    for engine in engines:
        for precision in precisions:
            for row in rows:
                exact = row["precision"] == "f32" or settings.precision != "auto"
                fits = (row["engine"], row["precision"]) == (engine, precision)
                if fits and (exact or row["within_limit"]):
                    return row
    return None
