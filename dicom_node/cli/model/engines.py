"""``dicom-node model build|engines``: what models run on here, and how exactly."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from dicom_node.cli.common import ConfigOption, JsonOption, reader, show
from dicom_node.cli.model import names
from dicom_node.cli.model.bench import one_of
from dicom_node.cli.model.common import (
    ByOption,
    Code,
    plain,
    print_json,
    progress,
    version_name,
    who,
)
from dicom_node.ledger import certificates
from dicom_node.ledger.certificates import KeptCertificates
from model_store.registry.limits import limit_of, unit_of

if TYPE_CHECKING:
    from dicom_node.node import Node
    from model_store.registry.records import Certificate

EngineOption = Annotated[
    str | None,
    typer.Option("--engine", help="Engine; absent: as [workers] sets it.", show_default=False),
]
PrecisionOption = Annotated[
    str | None,
    typer.Option(
        "--precision", help="Precision; absent: as [workers] sets it.", show_default=False
    ),
]


# --- build ---------------------------------------------------------------------------------------


@plain
def build(  # noqa: PLR0917 -- options of a command
    version: names.VersionArgument,
    config: ConfigOption = None,
    engine: EngineOption = None,
    precision: PrecisionOption = None,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build a version's engine on this machine, and certify it against the torch reference.

    A TensorRT plan is kept, so that workers start at once; it is built where it runs and nowhere
    else. The certificate says how far the engine is from the torch reference on the version's own
    images, and is kept in the ledger. One that is there for this machine is not made again.

    Exit codes:
    0 within the limit of [promotion];
    1 it could not be built or certified, and the message says why;
    3 beyond the limit.
    """
    from model_store.engines.select import (  # noqa: PLC0415 -- loads engines
        Kind,
        Precision,
        choose_engine,
    )
    from model_store.registry.certificates import certified  # noqa: PLC0415

    name, by = version_name(version), who(by)
    kind: Kind | None = one_of(Kind, engine, "--engine")
    exactness: Precision | None = one_of(Precision, precision, "--precision")
    node = reader(config)
    workers = node.settings.workers
    with progress(3) as tell:
        tell("verifying")
        found = node.models.version(name)
        tell("building")
        started = time.perf_counter()
        choice = choose_engine(
            found, kind or workers.engine, exactness or workers.precision, workers.engine_threads
        )
        seconds = time.perf_counter() - started
        with choice.engine as made:
            tell("certifying")
            limit = limit_of(node.settings.promotion, found.manifest)
            result = certified(KeptCertificates(node.ledger), found, made, limit, by)
            about = made.describe()
    held = result.certificate
    ok = held.largest <= limit
    document = {
        "version": str(name), "reason": choice.reason, "seconds": round(seconds, 2),
        "engine": about, "certificate": asdict(held), "fresh": result.fresh,
        "limit": limit, "passed": ok,
    }  # fmt: skip
    if as_json:
        print_json(document)
    else:
        _print_built(choice.reason, seconds, about, held, limit=limit, fresh=result.fresh)
    if not ok:
        raise typer.Exit(Code.REFUSED)


def _print_built(
    reason: str, seconds: float, about: dict[str, str], held: Certificate, *, limit: float,
    fresh: bool,
) -> None:  # fmt: skip
    console = Console(highlight=False)
    console.print(f"{reason}; ready after {seconds:.1f} s", markup=False, soft_wrap=True)
    rows = [{"": key.replace("_", " "), "value": value} for key, value in about.items()]
    show(rows, title="engine", as_json=False, empty="")
    verdict = "[green]within[/]" if held.largest <= limit else "[bold red]beyond[/]"
    made = "made now" if fresh else f"of {held.at:%Y-%m-%d}"
    console.print(
        f"certificate {made}: {verdict} the limit of {limit:g} {unit_of(held.units)}: largest "
        f"difference {held.largest:.3g}, mean {held.mean:.2g}, rms {held.rms:.2g} over "
        f"{held.images} images",
        soft_wrap=True,
    )


# --- engines -------------------------------------------------------------------------------------


@plain
def engines(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Say which engines this machine runs and why not the others; list plans and certificates."""
    from model_store.engines.available import options  # noqa: PLC0415 -- loads engines
    from model_store.engines.tensorrt.plan import default_folder, kept_plans  # noqa: PLC0415

    node = reader(config)
    found = [asdict(option) for option in options()]
    versions = {version.ref.sha256: str(version.ref) for version in node.models.versions()}
    plans = [
        {
            "version": versions.get(kept.parts.get("onnx", ""), "of no version here"),
            "precision": kept.parts.get("precision", ""),
            "device": kept.parts.get("device.name", ""),
            "library": kept.parts.get("library", ""),
            "megabytes": round(kept.size / 1e6, 1),
            "state": "ready" if kept.intact else "changed; will be built again",
            "key": kept.key[:12],
        }
        for kept in kept_plans(default_folder())
    ]
    certificates = [_row(each) for each in _certificates(node)]
    if as_json:
        print_json({
            "engines": found, "plans": plans, "plans_folder": str(default_folder()),
            "certificates": certificates,
        })  # fmt: skip
        return
    rows = [_offer(option) for option in found]
    show(rows, title="engines of this machine", as_json=False, empty="none")
    show(plans, title=f"plans in {default_folder()}", as_json=False, empty="no TensorRT plans")
    show(certificates, title="certificates", as_json=False, empty="no certificates yet")


def _offer(option: dict[str, Any]) -> dict[str, Any]:
    return {
        "engine": option["engine"], "precision": option["precision"],
        "runs_here": "no" if option["why_not"] else "yes",
        "library": option["library"], "device or why not": option["why_not"] or option["device"],
    }  # fmt: skip


def _certificates(node: Node) -> Sequence[Certificate]:
    with node.ledger.read() as session:
        return certificates.newest_first(session)


def _row(held: Certificate) -> dict[str, Any]:
    return {
        "version": f"{held.name}@{held.version}", "engine": held.engine,
        "precision": held.precision, "device": held.device, "largest": f"{held.largest:.3g}",
        "limit": f"{held.limit:g} {unit_of(held.units)}",
        "passed": "yes" if held.passed else "no", "at": held.at, "who": held.who,
    }  # fmt: skip
