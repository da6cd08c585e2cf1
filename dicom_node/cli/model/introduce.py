"""``dicom-node model introduce``: from a zip file to an alias, one gate after another."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from dicom_node.cli.common import ConfigOption, reader
from dicom_node.cli.model import names
from dicom_node.cli.model.aliases import PRODUCTION, refuse, tell_moved
from dicom_node.cli.model.common import (
    ByOption,
    Code,
    WhyOption,
    new_alias_name,
    plain,
    print_verdicts,
    reason,
    who,
)
from dicom_node.cli.model.content import added_from, tell_added
from dicom_node.model_registry import move_alias
from model_store.ref import ModelName
from model_store.registry.records import SHADOW

if TYPE_CHECKING:
    from model_store.registry.gates import Verdict


@plain
def introduce(  # noqa: PLR0917 -- options of a command
    archive: Annotated[
        Path,
        typer.Argument(help="Zip file, or folder of the version.", exists=True),
    ],
    why: WhyOption,
    to: names.PromotedOption = None,
    config: ConfigOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Promote without asking.")] = False,
    by: ByOption = None,
) -> None:
    """Import a version, ask every gate, and promote it once all say yes and you do.

    Each gate is shown as it is asked: signature, state, graph, behaviour, equivalence (a
    certificate of this node's engine is made), metrics, purpose. The first steps are those of
    'import' and 'verify --certify', the last is 'promote', which can force what may be forced.

    Exit codes:
    0 promoted;
    1 an error;
    2 nobody said yes: it is imported, and every gate let it pass;
    3 refused: nothing was moved, and the gates say why;
    4 somebody else moved the alias meanwhile.
    """
    from dicom_node import model_gates  # noqa: PLC0415 -- loads engines
    from model_store.archive import unpack  # noqa: PLC0415
    from model_store.registry import promotion  # noqa: PLC0415

    person, stated = who(by), reason(why)
    wanted = None if to is None else new_alias_name(to)
    if wanted is not None and wanted.tag == SHADOW:
        raise typer.BadParameter(
            "a shadow is set with 'dicom-node model shadow'", param_hint="--to"
        )
    node = reader(config)
    if archive.is_dir():
        added = added_from(node, archive, person)
    else:
        with tempfile.TemporaryDirectory(prefix="dicom-node-") as folder:
            unpacked = unpack(archive, Path(folder) / "version")
            added = added_from(node, unpacked.folder, person)
    tell_added(added, as_json=False)
    name = ModelName(added.version.ref.name, added.version.ref.version)
    alias = wanted or ModelName(name.name, PRODUCTION)
    console = Console(highlight=False, soft_wrap=True)
    expected = node.models.aliases().get(alias)
    if expected == name:
        console.print(f"{alias} stands for {name} already; nothing to do")
        return
    asked = model_gates.every(node, person)
    current = promotion.current_version(node.models, alias)
    version = promotion.open_version(node.models, name)
    candidate = model_gates.candidate(node, version, alias, current)
    said: list[Verdict] = []

    def heard(verdict: Verdict) -> None:
        said.append(verdict)
        print_verdicts([verdict])

    try:
        promotion.judge(asked, candidate, heard=heard)
    finally:
        candidate.close()
    if not all(each.passed for each in said):
        firm = promotion.firmly_refused(asked, said)
        refuse(node, alias, name, said, firm, shown=True, who=person, why=stated)
    if not yes:
        _confirm(console, alias, name, expected)
    guarded = alias.tag in node.settings.promotion.aliases
    move = move_alias(
        node, alias, name, expected=expected, action="promote" if guarded else "set", who=person,
        why=stated, gates=[each.entry() for each in said],
    )  # fmt: skip
    tell_moved(node, move, as_json=False, gates=False)


def _confirm(
    console: Console, alias: ModelName, name: ModelName, expected: ModelName | None
) -> None:
    """Ask for a yes; end without one."""
    was = f", which stands for {expected} now" if expected else ""
    first = (
        f"to try it beside that first: dicom-node model shadow {name} --of {alias} --why ..."
        if expected
        else ""
    )
    if first:
        console.print(first)
    question = f"every gate lets it pass: let {alias}{was}, stand for {name}?"
    if sys.stdin.isatty() and typer.confirm(question):
        return
    console.print(f"{alias} was not moved; --yes moves it, and so does 'dicom-node model promote'")
    raise typer.Exit(Code.USAGE)
