"""``dicom-node model shadow|compare``: try a version on live images, and say what came of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape

from dicom_node.cli.common import ConfigOption, JsonOption, reader, show
from dicom_node.cli.model import names
from dicom_node.cli.model.common import (
    ByOption,
    Code,
    Refused,
    WhyOption,
    alias_name,
    listed,
    plain,
    print_json,
    print_verdicts,
    reason,
    version_name,
    who,
)
from dicom_node.ledger import alias_moves, shadow_measures
from dicom_node.model_registry import move_alias
from model_store.errors import UnknownModelError
from model_store.ref import ModelName
from model_store.registry.records import SHADOW

if TYPE_CHECKING:
    from dicom_node.node import Node
    from model_store.registry.comparison import Comparison, Interval
    from model_store.registry.gates import Verdict

_DIGITS: Final = 4


@plain
def shadow(  # noqa: PLR0917 -- options of a command
    why: WhyOption,
    version: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME@VERSION]",
            autocompletion=names.versions,
            show_default=False,
            help="Version to try; absent: with --off.",
        ),
    ] = None,
    of: Annotated[
        str | None,
        typer.Option(
            "--of",
            metavar="LABEL@ALIAS",
            autocompletion=names.aliases,
            show_default=False,
            help="Alias whose images it is to see.",
        ),
    ] = None,
    share: Annotated[
        float, typer.Option(help="Share of the batches that it sees, above 0 and up to 1.")
    ] = 0.1,
    off: Annotated[
        str | None,
        typer.Option(
            "--off", metavar="LABEL", show_default=False, help="End the shadow of this label."
        ),
    ] = None,
    config: ConfigOption = None,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a version run on a share of the live batches beside production, and deliver nothing.

    It runs after a batch is on its way, on a few of its images (shadow_instances in node.toml), and
    is measured against what was delivered. A running node follows by itself. Give --off LABEL to
    end it; what was measured stays.

    Exit code: 0, done; 1, an error; 3, the version may not be used, nothing was changed; 4,
    somebody else changed the shadow meanwhile.
    """
    person, stated = who(by), reason(why)
    if (version is None) is (off is None) or (version is None) is not (of is None):
        raise typer.BadParameter("give NAME@VERSION --of LABEL@ALIAS, or --off LABEL")
    if not 0 < share <= 1:
        raise typer.BadParameter("must be above 0 and at most 1", param_hint="--share")
    node = reader(config)
    if off is not None:
        _end(node, off, person, stated, as_json=as_json)
        return
    name, beside = version_name(str(version)), alias_name(str(of))
    if beside.tag == SHADOW:
        raise typer.BadParameter("name the alias that delivers", param_hint="--of")
    alias = ModelName(beside.name, SHADOW)
    standing = node.models.aliases()
    if beside not in standing:
        raise UnknownModelError(
            f"{beside} stands for nothing; there is {listed(sorted(map(str, standing)))}"
        )
    if standing[beside] == name:
        why_not = f"{beside} stands for {name} already: there is nothing to compare"
        if as_json:
            print_json({"alias": str(alias), "target": str(name), "moved": False, "said": why_not})
            raise typer.Exit(Code.REFUSED)
        raise Refused(why_not)
    said = _judged(node, beside, name)
    gates = [each.entry() for each in said]
    refused = [each for each in said if not each.passed]
    if refused and as_json:
        print_json({"alias": str(alias), "target": str(name), "moved": False, "gates": gates})
        raise typer.Exit(Code.REFUSED)
    if refused:
        print_verdicts(said)
        raise Refused(
            f"{name} does not run beside {beside}; "
            + "; ".join(f"{each.gate}: {each.said}" for each in refused)
        )
    move = move_alias(
        node, alias, name, expected=standing.get(alias), action="shadow", who=person, why=stated,
        gates=gates, share=share,
    )  # fmt: skip
    routes = [route.name for route in node.settings.domain_routes() if route.model == beside]
    if as_json:
        print_json(move.entry() | {"routes": routes})
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{name} sees {100 * share:g} % of the batches of {beside} ({standing[beside]}) and "
        f"delivers nothing; routes: {listed(routes)}"
    )
    console.print(f"what comes of it: dicom-node model compare {beside}")


def _judged(node: Node, beside: ModelName, name: ModelName) -> tuple[Verdict, ...]:
    """Ask the gates that say whether a version may run at all, and on these images."""
    from dicom_node import model_gates  # noqa: PLC0415 -- loads engines
    from model_store.registry import gates, promotion  # noqa: PLC0415

    current = promotion.current_version(node.models, beside)
    candidate = model_gates.candidate(
        node, promotion.open_version(node.models, name), beside, current
    )
    asked = (*model_gates.whole(node), gates.PurposeGate())
    try:
        return tuple(promotion.judge(asked, candidate))
    finally:
        candidate.close()


def _end(node: Node, off: str, person: str, stated: str, *, as_json: bool) -> None:
    label = off.partition("@")[0]
    alias = alias_name(f"{label}@{SHADOW}")
    expected = node.models.aliases().get(alias)
    if expected is None:
        raise Refused(f"{label} has no shadow")
    move = move_alias(node, alias, None, expected=expected, action="remove", who=person, why=stated)
    if as_json:
        print_json(move.entry())
        return
    Console(highlight=False, soft_wrap=True).print(
        f"{expected} no longer runs beside {label}; what was measured stays: "
        f"dicom-node model compare {label}@production --shadow {expected}"
    )


@plain
def compare(
    alias: names.AliasArgument,
    config: ConfigOption = None,
    version: Annotated[
        str | None,
        typer.Option(
            "--shadow",
            metavar="NAME@VERSION",
            autocompletion=names.versions,
            show_default=False,
            help="Version that ran beside it; absent: the one that does now, or did last.",
        ),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Also what was measured before the shadow was last set."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what a shadow version did with the images that production denoised.

    Noise and bias are measured in flat regions, differences over all pixels; each series counts
    once, with 95 % confidence intervals over the series. Below 8 series there is no verdict.

    Exit code: 0, nothing speaks against the shadow; 1, an error; 3, something does, or it is too
    early to tell.
    """
    from model_store.registry import comparison  # noqa: PLC0415

    node = reader(config)
    beside = alias_name(alias)
    given = None if version is None else version_name(version)
    production, other = _pair(node, beside, given)
    since = None if everything else _since(node, beside.name, other)
    with node.ledger.read() as session:
        rows = shadow_measures.measures(session, beside.name, production, other, since=since)
    found = comparison.compare(production, other, rows)
    if as_json:
        more = {"conclusion": found.conclusion, "wanted": found.wanted, "words": found.words(),
                "since": since}  # fmt: skip
        print_json(_without_nan(asdict(found)) | more)
    else:
        _print(found, since)
    if found.negative:
        raise typer.Exit(Code.REFUSED)


def _pair(node: Node, beside: ModelName, given: ModelName | None) -> tuple[str, str]:
    """Which versions to compare: those of now, else those that ran beside each other last."""
    standing = node.models.aliases()
    production = standing.get(beside)
    other = given or standing.get(ModelName(beside.name, SHADOW))
    with node.ledger.read() as session:
        ran = shadow_measures.pairs(session, beside.name)
    if (
        given is not None
        and not _known(node, given)
        and all(str(given) not in (each.production, each.shadow) for each in ran)
    ):
        raise UnknownModelError(
            f"there is no model {given}, and nothing was measured of it beside {beside}; "
            "'dicom-node model list' shows which there are"
        )
    if production is not None and other is not None and production != other:
        return str(production), str(other)
    last = next((each for each in ran if given is None or each.shadow == str(given)), None)
    if last is None:
        raise UnknownModelError(
            f"nothing ran beside {beside} yet: dicom-node model shadow NAME@VERSION --of {beside}"
        )
    return last.production, last.shadow


def _known(node: Node, name: ModelName) -> bool:
    """Whether a version is in a store, or was once."""
    models = node.models
    there = {ModelName(found.ref.name, found.ref.version) for found in models.versions()}
    return name in models.indexed() or name in there or name in models.refused()


def _since(node: Node, label: str, other: str) -> datetime | None:
    """When the version was last set as the label's shadow."""
    with node.ledger.read() as session:
        moves = alias_moves.history(session, ModelName(label, SHADOW))
    return next((move.at for move in reversed(moves) if str(move.target) == other), None)


def _print(found: Comparison, since: datetime | None) -> None:
    rows = [
        _row("noise, as a multiple", found.noise),
        _row(f"shift of flat regions, {found.units or '-'}", found.bias),
        _row("time of the network, as a multiple", found.time),
    ]
    when = "" if since is None else f" since {since:%Y-%m-%d %H:%M} UTC"
    title = f"{found.shadow} against {found.production}{when}"
    show(rows, title=title, as_json=False, empty="")
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{found.images} images of {found.series} series, {found.failures} failed; difference "
        f"of the pixels: rms {_number(found.rms_difference)}, largest "
        f"{_number(found.largest_difference)} {found.units}"
    )
    for sentence in found.words():
        console.print(escape(sentence))
    style = "bold red" if found.negative else "green"
    console.print(f"verdict: [{style}]{found.conclusion}[/]")


def _row(what: str, found: Interval) -> dict[str, Any]:
    return {
        "shadow_against_production": what, "mean": _number(found.value),
        "95_%_from": _number(found.low), "to": _number(found.high), "series": found.series,
    }  # fmt: skip


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.{_DIGITS}g}"


def _without_nan(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with null for what is not a number, which JSON has no word for."""
    return {
        key: _without_nan(value) if isinstance(value, Mapping)
        else None if isinstance(value, float) and math.isnan(value) else value
        for key, value in document.items()
    }  # fmt: skip
