"""``dicom-node study replay``: make past results again and compare."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from dicom_node.cli.common import ConfigOption, JsonOption, reader, show
from dicom_node.cli.model.common import ByOption, Code, plain, print_json, progress, who
from dicom_node.errors import FailItem
from dicom_node.ledger import past

if TYPE_CHECKING:
    from workers.replay import ReplayReport


@plain
def replay(
    uid: Annotated[
        str,
        typer.Argument(
            help="Study Instance UID, or SOP or Series Instance UID of results.",
            show_default=False,
        ),
    ],
    config: ConfigOption = None,
    most: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="At most so many results, from all over the study; absent: all.",
            show_default=False,
        ),
    ] = None,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make past results again, as they were made then, and say whether the pixels are identical.

    Each result is made from its source with the model version, engine, precision and settings that
    the ledger has for it, and compared with the bytes that were delivered. Nothing is written but
    an entry in the audit record.

    Exit code: 0, every pixel is what it was; 1, an error; 3, some pixels are not, or a result
    cannot be made again.

    For example: dicom-node study replay 1.2.840.113619.2.55.3.604 --most 20
    """
    from workers.replay import Replayer  # noqa: PLC0415 -- loads engines

    node = reader(config)
    with node.ledger.read() as session:
        wanted = past.named(session, uid)
    if not wanted:
        raise FailItem(f"no results with the UID {uid} in the ledger; see 'dicom-node study list'")
    asked = who(by)
    chosen = _spread(wanted, most)
    count = sum(len(items) for items in chosen.values())
    found: list[ReplayReport] = []
    with progress(count) as tell, Replayer(node) as replayer:
        tell("building the engine")
        for each in replayer.replay(chosen, asked):
            found.append(each)
            tell(each.result)
    if as_json:
        print_json([asdict(each) | {"identical": each.identical} for each in found])
    else:
        _print(found, of=sum(len(items) for items in wanted.values()))
    if not all(each.identical for each in found):
        raise typer.Exit(Code.REFUSED)


def _spread(wanted: dict[int, list[int]], most: int | None) -> dict[int, list[int]]:
    """At most so many of the work items, evenly spread, by batch."""
    pairs = [(batch, item) for batch, items in wanted.items() for item in items]
    if most is None or most >= len(pairs):
        return wanted
    chosen: dict[int, list[int]] = {}
    for number in range(most):
        batch, item = pairs[(2 * number + 1) * len(pairs) // (2 * most)]
        chosen.setdefault(batch, []).append(item)
    return chosen


def _print(found: list[ReplayReport], *, of: int) -> None:
    others = [each for each in found if not each.identical]
    rows = [
        {"result": each.result, "model": each.model, "outcome": each.outcome, "why": each.said}
        for each in others
    ]
    if rows:
        show(rows, title="not identical", as_json=False, empty="")
    console = Console(highlight=False, soft_wrap=True)
    for change in sorted({change for each in found for change in each.changed}):
        console.print(f"not as it was then: {escape(change)}")
    same = len(found) - len(others)
    models = ", ".join(sorted({each.model for each in found}))
    console.print(
        f"{same} of {len(found)} results identical in every pixel ({models}"
        f"{f'; {len(found)} of {of} tried' if len(found) < of else ''})"
    )
