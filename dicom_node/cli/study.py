"""``dicom-node study``: what became of a study, and trying again."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from dicom_node.cli.common import ConfigOption, JsonOption, plain_errors, reader, show
from dicom_node.cli.model.common import who
from dicom_node.errors import FailItem, NodeError, StorageError
from dicom_node.ledger import conflicts, queries, recall
from dicom_node.ledger.states import WorkState
from dicom_node.node import Node
from model_store.errors import ModelStoreError

app = typer.Typer(help="Studies and their work items.", no_args_is_help=True)


@app.command("list")
@plain_errors
def list_studies(
    config: ConfigOption = None,
    state: Annotated[
        WorkState | None, typer.Option(help="Only studies with a work item in this state.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Newest studies to list.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List studies, newest first, with the number of work items in each state."""
    with reader(config).ledger.read() as session:
        rows = queries.studies(session, limit=limit, state=None if state is None else state.value)
    show(rows, title="studies", as_json=as_json, empty="no studies yet")


@app.command("show")
@plain_errors
def show_study(
    uid: Annotated[str, typer.Argument(help="Study Instance UID.")],
    config: ConfigOption = None,
    items: Annotated[bool, typer.Option("--items", help="Every work item.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what became of a study, by series and state, with reasons."""
    node = reader(config)
    with node.ledger.read() as session:
        rows = queries.work_items(session, uid) if items else queries.series(session, uid)
    waiting = _unplanned(node, uid)
    if waiting and not as_json:
        Console(highlight=False).print(waiting, soft_wrap=True)
    if not rows and waiting:
        show(rows, title="", as_json=as_json, empty="nothing of it is planned yet")
        return
    if not rows:
        raise FailItem(f"no study {uid} in the ledger; see 'dicom-node study list'")
    show(rows, title=f"study {uid}", as_json=as_json, empty="")


def _unplanned(node: Node, uid: str) -> str:
    """What of a study was received and is not planned yet, in a sentence, or ""."""
    from dicom_node.audit.unplanned import unplanned_of  # noqa: PLC0415

    try:
        found = unplanned_of(node.ledger, node.spool, uid)
    except StorageError as error:
        return f"whether more of it was received is not known: {error}"
    if not found.found:
        return ""
    more = f"; {found.left} older ones were not looked at" if found.left else ""
    return (
        f"{found.found} instances of it were received and are not planned yet{more}: if that "
        "stays so, 'dicom-node check' says whether upkeep runs"
    )


@app.command()
@plain_errors
def retry(
    uid: Annotated[
        str | None, typer.Argument(help="Study Instance UID; absent: with --all-failed.")
    ] = None,
    config: ConfigOption = None,
    all_failed: Annotated[
        bool, typer.Option("--all-failed", help="Failed work items of all studies.")
    ] = False,
    passed: Annotated[
        bool, typer.Option("--passed", help="Also items that passed, say after a route changed.")
    ] = False,
    delivered: Annotated[
        bool, typer.Option("--delivered", help="Also send again what was delivered.")
    ] = False,
) -> None:
    """Try failed work items again: deliver the result there is, else denoise again.

    A result whose file does not hold what was made is made again first, from its source, as the
    ledger says it was made; it is kept if it comes out byte for byte.
    """
    if (uid is None) is not all_failed:
        raise FailItem("give either a Study Instance UID or --all-failed")
    states: tuple[WorkState, ...] = (WorkState.FAILED,)
    states += (WorkState.PASSED,) if passed else ()
    states += (WorkState.DELIVERED,) if delivered else ()
    node = reader(config)
    ledger = node.ledger
    with ledger.read() as session:
        ids = [item for item, _, _ in queries.item_ids(session, uid, states)]
        others = queries.item_counts(session, uid)
    if uid is not None and not others:
        raise FailItem(f"no study {uid} in the ledger; see 'dicom-node study list'")
    console = Console(highlight=False, soft_wrap=True)
    if not ids:
        console.print(f"nothing to retry: {_nothing_failed(others)}")
        return
    _remake(node, ids, console)
    with ledger.write() as unit:
        done = recall.retry(unit, ids)
    console.print(
        f"{done.planned} to denoise again, {done.redelivered} to deliver again, "
        f"{done.left} left as they are (bytes no longer kept, or kept aside for a UID conflict: "
        "'dicom-node study conflicts')"
    )


def _remake(node: Node, ids: list[int], console: Console) -> None:
    """Make results again whose files came wrong, and say what came of it."""
    try:
        if not node.wrong_results(ids):
            return
        from workers.remake import remake  # noqa: PLC0415 -- loads engines

        done = remake(node, ids, who(None))
    except (NodeError, ModelStoreError) as error:
        console.print(f"files of results were not looked at: {escape(str(error))}")
        return
    if done.made:
        console.print(
            f"{len(done.made)} made again, byte for byte: their files did not hold what was made"
        )
    for uid, why in done.left.items():
        console.print(f"result {uid} cannot be made again: {escape(why)}")


def _nothing_failed(counts: dict[WorkState, int]) -> str:
    """What there is instead of failed work items, and what to do with it."""
    hints = {
        WorkState.DELIVERED: ": --delivered sends them again",
        WorkState.PASSED: ": --passed takes them up again",
    }
    found = [f"{count} {state}{hints.get(state, '')}" for state, count in counts.items()]
    return "; ".join(["no work item has failed", *found])


@app.command()
@plain_errors
def adopt(
    config: ConfigOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take in instances that are in the spool and that the ledger does not know.

    For after a ledger was lost and begun anew, or restored from an older backup. They are processed
    as if they had just been received; what a destination has already, it gets once more under the
    same UIDs. Files that cannot be read are listed and stay.
    """
    from dicom_node.intake.adoption import adopt as take_in  # noqa: PLC0415
    from dicom_node.intake.adoption import unknown_files  # noqa: PLC0415

    node = reader(config)
    if dry_run:
        found = list(unknown_files(node.ledger, node.spool))
        rows = [
            {"sop_instance_uid": file.instance.sop_instance_uid if file.instance else None,
             "from": file.source, "fault": file.fault, "file": file.name}
            for file in found
        ]  # fmt: skip
        show(rows, title="unknown to the ledger", as_json=as_json, empty="nothing is unknown")
        return
    done = take_in(node.ledger, node.spool, node.settings.node.ae_title)
    left = [{"file": file.name, "fault": file.fault} for file in done.unreadable]
    if as_json:
        found_now = {"taken": done.taken, "kept_aside": done.kept_aside, "unreadable": left}
        show([found_now], title="", as_json=True, empty="")
        return
    console = Console(highlight=False)
    console.print(f"{done.taken} taken in; upkeep plans them as if they had just been received")
    if done.kept_aside:
        console.print(f"{done.kept_aside} kept aside: see 'dicom-node study conflicts'")
    if left:
        show(left, title="left as they are", as_json=False, empty="")


@app.command("conflicts")
@plain_errors
def conflicts_command(
    config: ConfigOption = None,
    discard: Annotated[
        list[int] | None,
        typer.Option(
            "--discard", help="Remove what was kept aside under this number; may be repeated."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List instances kept aside because their SOP Instance UID was known with other bytes.

    The instance that came first counts; one that is kept aside is not processed. To have it
    processed, let its sender send it under a SOP Instance UID of its own.
    """
    node = reader(config)
    if not discard:
        with node.ledger.read() as session:
            rows = conflicts.listed(session)
        show(rows, title="conflicts", as_json=as_json, empty="no conflicts")
        return
    with node.ledger.write() as unit:
        done = conflicts.discard(unit, discard)
    for name in done.paths:
        node.spool.remove(node.spool.path(name))
    if as_json:
        show([{"discarded": done.count}], title="", as_json=True, empty="")
        return
    Console(highlight=False).print(
        f"{done.count} discarded; the instances that came first stay as they are"
    )
