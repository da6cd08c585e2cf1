"""``dicom-node model promote|rollback|history|unalias``: what an alias stands for, since when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, NoReturn

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
    model_name,
    new_alias_name,
    plain,
    print_json,
    print_verdicts,
    progress,
    reason,
    version_name,
    who,
)
from dicom_node.ledger import alias_moves, model_versions
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.model_registry import move_alias
from model_store.ref import ModelName
from model_store.registry.records import SHADOW, earlier

if TYPE_CHECKING:
    from dicom_node.node import Node
    from model_store.registry.gates import Verdict
    from model_store.registry.records import Move

PRODUCTION = "production"


@plain
def promote(  # noqa: PLR0917 -- options of a command
    version: names.VersionArgument,
    why: WhyOption,
    to: names.PromotedOption = None,
    config: ConfigOption = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Also if equivalence, metrics or purpose say no; --why must say why. The others "
            "cannot be forced.",
        ),
    ] = False,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let an alias stand for a version, if all gates let it; a running node follows by itself.

    Aliases that the section promotion guards ask every gate: signature, state, graph, behaviour,
    equivalence, metrics, purpose. Others ask only the first three. What is planned already keeps
    the version it was planned with.

    Exit codes:
    0 moved;
    1 an error;
    3 a gate said no, nothing was changed;
    4 somebody else moved the alias meanwhile, nothing was changed.
    """  # fmt: skip
    from dicom_node import model_gates  # noqa: PLC0415 -- loads engines
    from model_store.registry import promotion  # noqa: PLC0415

    name, person, stated = version_name(version), who(by), reason(why)
    alias = ModelName(name.name, PRODUCTION) if to is None else new_alias_name(to)
    if alias.tag == SHADOW:
        raise typer.BadParameter(
            "a shadow is set with 'dicom-node model shadow'", param_hint="--to"
        )
    node = reader(config)
    expected = node.models.aliases().get(alias)
    if expected == name:
        _already(alias, name, as_json=as_json)
        return
    guarded = alias.tag in node.settings.promotion.aliases
    asked = model_gates.every(node, person) if guarded else model_gates.whole(node)
    current = promotion.current_version(node.models, alias)
    candidate = model_gates.candidate(
        node, promotion.open_version(node.models, name), alias, current
    )
    try:
        with progress(len(asked)) as tell:
            said = promotion.judge(asked, candidate, tell)
    finally:
        candidate.close()
    refused = [each.gate for each in said if not each.passed]
    firm = promotion.firmly_refused(asked, said)
    if refused and (firm or not force):
        refuse(node, alias, name, said, firm, as_json=as_json, who=person, why=stated)
    move = move_alias(
        node, alias, name, expected=expected, action="promote" if guarded else "set", who=person,
        why=stated, forced=bool(refused), gates=[each.entry() for each in said],
    )  # fmt: skip
    tell_moved(node, move, as_json=as_json)


def _already(alias: ModelName, name: ModelName, *, as_json: bool) -> None:
    if as_json:
        print_json({"alias": str(alias), "target": str(name), "moved": False})
        return
    Console(highlight=False).print(f"{alias} stands for {name} already; nothing to do")


def refuse(
    node: Node,
    alias: ModelName,
    name: ModelName,
    said: Sequence[Verdict],
    firm: Sequence[str],
    *,
    as_json: bool = False,
    shown: bool = False,
    who: str,
    why: str,
) -> NoReturn:
    """Keep a refusal in the audit record, show every verdict that was not shown, and end."""
    entries = [each.entry() for each in said]
    with node.ledger.write() as unit:
        unit.record(
            AuditEvent.ALIAS_REFUSED,
            {"alias": str(alias), "target": str(name), "who": who, "why": why, "gates": entries},
        )
    refused = [each for each in said if not each.passed]
    if as_json:
        print_json({"alias": str(alias), "target": str(name), "moved": False, "gates": entries})
        raise typer.Exit(Code.REFUSED)
    if not shown:
        print_verdicts(said)
    standing = node.models.aliases().get(alias) or "nothing"
    ways = (
        f"{listed(firm)} cannot be forced"
        if firm
        else "--force moves it all the same, with a reason that is kept"
    )
    raise Refused(
        f"{alias} was not moved to {name}; it stands for {standing}; "
        + "; ".join(f"{each.gate}: {each.said}" for each in refused if each.judged)
        + f" ({ways})"
    )


@plain
def rollback(
    alias: names.AliasArgument,
    why: WhyOption,
    config: ConfigOption = None,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let an alias stand again for what it stood for before; a running node follows by itself.

    No gate is asked but whether that version is whole. Versions that were retired since are passed
    over. A second rollback goes one version further back.

    Exit codes:
    0 moved;
    1 an error;
    3 there is nothing to go back to, or it is not whole;
    4 somebody else moved the alias meanwhile.
    """
    from dicom_node import model_gates  # noqa: PLC0415 -- loads engines
    from model_store.registry import promotion  # noqa: PLC0415

    name, person, stated = alias_name(alias), who(by), reason(why)
    if name.tag == SHADOW:
        raise typer.BadParameter("a shadow is changed with 'dicom-node model shadow'")
    node = reader(config)
    with node.ledger.read() as session:
        moves = alias_moves.history(session, name)
        indexed = model_versions.indexed(session)
    expected = moves[-1].target if moves else None
    over = []
    for target in earlier(moves):
        row = indexed.get(target)
        if row is None or row.retired_at is None:
            break
        over.append(target)
    else:
        raise Refused(_nothing_before(name, over, bool(moves)))
    candidate = model_gates.candidate(node, promotion.open_version(node.models, target), name)
    said = promotion.judge(model_gates.whole(node), candidate)
    if not all(each.passed for each in said):
        if not as_json:
            print_verdicts(said)
        raise Refused(
            f"{name} was not moved: {target}, which it stood for before, may not be used; promote "
            "another version"
        )
    move = move_alias(
        node, name, target, expected=expected, action="rollback", who=person, why=stated,
        gates=[each.entry() for each in said],
    )  # fmt: skip
    if over and not as_json:
        Console(highlight=False).print(f"passed over, retired: {listed(over)}")
    tell_moved(node, move, as_json=as_json, over=over)


def _nothing_before(name: ModelName, over: Sequence[ModelName], known: bool) -> str:
    if not known:
        return f"{name} was never moved here: there is nothing to go back to"
    passed = f" but {listed(over)}, retired since" if over else ""
    return f"{name} stood for nothing before that{passed}; promote another version"


@plain
def unalias(
    alias: names.AliasArgument,
    why: WhyOption,
    config: ConfigOption = None,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let an alias stand for nothing any more, if no route names it."""
    name, person, stated = alias_name(alias), who(by), reason(why)
    node = reader(config)
    routes = _routes(node, name)
    if routes:
        raise Refused(f"{name} is what these routes name: {listed(routes)}; change them first")
    expected = node.models.aliases().get(name)
    if expected is None:
        raise Refused(f"{name} stands for nothing")
    move = move_alias(node, name, None, expected=expected, action="remove", who=person, why=stated)
    if as_json:
        print_json(move.entry())
        return
    Console(highlight=False).print(f"{name} stood for {expected} and stands for nothing now")


@plain
def history(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[LABEL@ALIAS|NAME@VERSION]",
            autocompletion=names.both,
            show_default=False,
            help="Alias or version; absent: all.",
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what aliases stood for, since when, who moved them and why; oldest first."""
    wanted = None if name is None else model_name(name)
    with reader(config).ledger.read() as session:
        moves = alias_moves.history(
            session,
            wanted if wanted is not None and not wanted.is_version else None,
            wanted if wanted is not None and wanted.is_version else None,
        )
    if as_json:
        print_json([move.entry() for move in moves])
        return
    rows = [
        {
            "at": move.at, "alias": str(move.alias), "action": move.action,
            "from": move.previous and str(move.previous), "to": move.target and str(move.target),
            "who": move.who, "why": move.why + (" (forced: " + listed(
                [gate["gate"] for gate in move.gates if not gate["passed"]]) + ")"
                if move.forced else ""),
        }
        for move in moves
    ]  # fmt: skip
    show(rows, title="history", as_json=False, empty="no alias was moved here yet")


def tell_moved(
    node: Node, move: Move, *, as_json: bool, over: Sequence[ModelName] = (), gates: bool = True
) -> None:
    """Say what an alias stands for now, and which routes follow."""
    routes = _routes(node, move.alias)
    if as_json:
        print_json(
            move.entry() | {"moved": True, "routes": routes, "passed_over": list(map(str, over))}
        )
        return
    console = Console(highlight=False, soft_wrap=True)
    for each in move.gates if gates else ():
        mark = "[green]passed [/]" if each["passed"] else "[bold yellow]forced [/]"
        console.print(f"{mark} {each['gate'] + ':':13}{escape(str(each['said']))}")
    was = f", before {move.previous}" if move.previous else ""
    console.print(f"{move.alias} stands for {move.target}{was}")
    console.print(
        f"routes that follow from the next batch on: {listed(routes)}"
        if routes
        else "no route names it"
    )
    stating_none = [
        route.name
        for route in node.settings.domain_routes()
        if route.model == move.alias and route.strength is None
    ]
    if stating_none and move.target is not None:
        strength = node.models.resolve(move.target).manifest.strength
        console.print(
            f"at strength {strength:g}, which {move.target} recommends: {listed(stating_none)}"
        )


def _routes(node: Node, alias: ModelName) -> list[str]:
    return [route.name for route in node.settings.domain_routes() if route.model == alias]
