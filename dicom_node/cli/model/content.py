"""``dicom-node model add|import|export|retire|delete|index``: what is in the node's own store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from dicom_node.cli.common import ConfigOption, JsonOption, reader
from dicom_node.cli.model import names
from dicom_node.cli.model.common import (
    ByOption,
    Code,
    Refused,
    WhyOption,
    listed,
    plain,
    print_json,
    reason,
    version_name,
    who,
)
from dicom_node.errors import NodeError
from dicom_node.ledger import alias_moves, model_versions
from dicom_node.model_registry import keep, restore, retire_version, retirement, unwritten
from model_store.registry.records import before

if TYPE_CHECKING:
    from dicom_node.node import Node
    from model_store.ref import ModelName
    from model_store.registry.records import RegisteredVersion
    from model_store.store import ModelVersion


@plain
def add(
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder of the version: manifest.json and its files.", exists=True, file_okay=False
        ),
    ],
    config: ConfigOption = None,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a version to the node's own store; it is there whole or not at all, and never replaced.

    Its bytes, signature and graph are checked before. Nothing uses it until an alias or a route
    names it.

    Exit codes:
    0 added, or there already with the same bytes;
    1 an error;
    3 refused: changed, not signed by a trusted key, or name and version are taken by other bytes.
    """
    node = reader(config)
    tell_added(added_from(node, source, who(by)), as_json=as_json)


@plain
def import_version(
    archive: Annotated[
        Path, typer.Argument(help="Zip file, as 'export' writes it.", exists=True, dir_okay=False)
    ],
    config: ConfigOption = None,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add the version in a zip file, as 'add' does.

    Exit codes: as of 'add'.
    """
    import tempfile  # noqa: PLC0415

    from model_store.archive import unpack  # noqa: PLC0415

    node, person = reader(config), who(by)
    with tempfile.TemporaryDirectory(prefix="dicom-node-") as folder:
        unpacked = unpack(archive, Path(folder) / "version")
        tell_added(added_from(node, unpacked.folder, person), as_json=as_json)


@dataclass(frozen=True, slots=True)
class Added:
    """A version as it is in the store, its row in the ledger, its signer, and whether it is new.

    `deleted` is when its files were deleted, by whom and why.
    """

    version: ModelVersion
    row: RegisteredVersion
    signer: str | None
    new: bool
    deleted: tuple[datetime, str, str] | None


def added_from(node: Node, source: Path, person: str) -> Added:
    """Check a folder, copy it into the store and register it."""
    from model_store.errors import GraphError, QuarantinedError, UnsignedError  # noqa: PLC0415
    from model_store.graph import check_graph  # noqa: PLC0415
    from model_store.ref import ModelName  # noqa: PLC0415
    from model_store.store import ModelVersion  # noqa: PLC0415

    version = ModelVersion.open(source)
    signer = node.models.signer(version)
    if signer is None and node.settings.models.unsigned == "refuse":
        raise UnsignedError(
            f'{version.ref} is not signed, and [models] unsigned is "refuse"; ask its releaser '
            "for a signed one, or sign it with 'model-store sign' if you have tested it yourself"
        )
    try:
        check_graph(version.read())
    except GraphError as error:
        raise GraphError(f"{version.ref} is not a network that may run here: {error}") from error
    name = ModelName(version.ref.name, version.ref.version)
    new = not node.models.content.holds(name)
    there = node.models.content.add(source)
    try:
        node.models.version(name)
    except QuarantinedError as error:
        raise Refused(
            f"{name} is in the store as it was released, and stays out of use: {error}"
        ) from error
    found = model_versions.VersionOnDisk.read(
        there, node.models.origin(there), None if signer is None else signer.key
    )
    with node.ledger.write() as unit:
        row = model_versions.index(unit, found, person)
    deleted = None
    if row.retired_at is not None:
        with node.ledger.read() as session:
            deleted = model_versions.deletion(session, name)
    by = None if signer is None else f"{signer.name} ({signer.key})"
    return Added(there, row, by, new, deleted)


def tell_added(added: Added, *, as_json: bool) -> None:
    """Say what was added, and what may use it."""
    version, row = added.version, added.row
    if as_json:
        print_json({
            "version": str(version.ref), "sha256": version.ref.sha256, "added": added.new,
            "signed_by": added.signer, "folder": str(version.folder), "retired": row.retired_at,
        })  # fmt: skip
        return
    console = Console(highlight=False, soft_wrap=True)
    what = "added" if added.new else "there already, with the same bytes"
    console.print(f"{version.ref} {what}, signed by {escape(added.signer or 'nobody')}")
    if added.deleted is not None:
        at, who_did, why = added.deleted
        console.print(
            f"it was deleted on {at:%Y-%m-%d} by {who_did} ({escape(why)}), which retired it, and "
            "it stays retired: it is there for replay only"
        )
    elif row.retired_at is not None:
        console.print(
            f"it was retired on {row.retired_at:%Y-%m-%d} by {row.retired_by} "
            f"({escape(row.retired_why or '')}) and stays so: it is there for replay only"
        )
    elif added.new:
        console.print(
            f"nothing uses it yet: 'dicom-node model verify {version.ref}' runs it, "
            "'dicom-node model promote' lets a route use it"
        )


@plain
def export(
    version: names.VersionArgument,
    target: Annotated[
        Path,
        typer.Argument(help="Zip file, or folder for NAME-VERSION.zip; absent: here."),
    ] = Path(),
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a version with its signature into one zip file, for 'import' elsewhere."""
    from model_store.archive import pack  # noqa: PLC0415

    name = version_name(version)
    made = pack(reader(config).models.version(name), target)
    size = made.stat().st_size
    if as_json:
        print_json({"version": str(name), "file": str(made), "bytes": size})
        return
    Console(highlight=False, soft_wrap=True).print(f"{name} written to {made}, {size:,} bytes")


@plain
def retire(
    version: names.VersionArgument,
    why: WhyOption,
    config: ConfigOption = None,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a version take no new work, for good; it stays readable for replay.

    Exit codes:
    0 retired;
    1 an error;
    3 refused: an alias or a route still names it.
    """
    name, person, stated = version_name(version), who(by), reason(why)
    node = reader(config)
    _refuse_named(node, name, "retired")
    _register(node, name, person)
    row = retire_version(node, name, person, stated)
    lost = _rolled_back_to(node, name)
    if as_json:
        print_json({"version": str(name), "retired": row.retired_at, "by": row.retired_by,
                    "why": row.retired_why, "no_rollback_of": lost})  # fmt: skip
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{name} is retired since {row.retired_at:%Y-%m-%d %H:%M} UTC by {row.retired_by}; its "
        "results can still be replayed"
    )
    if lost:
        console.print(f"no rollback goes to it any more: it was what {listed(lost)} had before")


def _rolled_back_to(node: Node, name: ModelName) -> list[str]:
    """The aliases whose next rollback would have gone to a version."""
    with node.ledger.read() as session:
        histories = [alias_moves.history(session, alias) for alias in alias_moves.current(session)]
    return [str(moves[-1].alias) for moves in histories if before(moves) == name]


def _refuse_named(node: Node, name: ModelName, what: str) -> None:
    """Refuse to take away what an alias or a route still names."""
    aliases = sorted(str(a) for a, target in node.models.aliases().items() if target == name)
    routes = [route.name for route in node.settings.domain_routes() if route.model == name]
    said = [f"{listed(aliases)} stands for it"] if aliases else []
    said += [f"these routes name it: {listed(routes)}"] if routes else []
    if said:
        raise Refused(
            f"{name} cannot be {what}: {'; '.join(said)}; promote another version, roll back, or "
            "take the alias away ('dicom-node model unalias') first"
        )


def _register(node: Node, name: ModelName, person: str) -> None:
    """Register a version that the ledger does not know yet, also one that may not be used."""
    from model_store.registry.promotion import open_version  # noqa: PLC0415

    if name in node.models.indexed():
        return
    version = open_version(node.models, name)
    found = model_versions.VersionOnDisk.read(version, node.models.origin(version), None)
    with node.ledger.write() as unit:
        model_versions.index(unit, found, person)


@plain
def delete(  # noqa: PLR0917 -- options of a command
    version: names.VersionArgument,
    why: WhyOption,
    config: ConfigOption = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Delete; without it only what refers to it is shown.")
    ] = False,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete the files of a version for good; its results can then not be replayed any more.

    First it shows what still refers to the version. Name and version stay taken.

    Exit codes:
    0 deleted;
    1 an error;
    2 --yes is missing;
    3 refused: an alias, a route or unfinished work still needs it, or it came with the package.
    """
    name, person, stated = version_name(version), who(by), reason(why)
    node = reader(config)
    with node.ledger.read() as session:
        found = model_versions.references(session, name)
    found["aliases"] = sorted(str(a) for a, one in node.models.aliases().items() if one == name)
    console = Console(highlight=False, soft_wrap=True, stderr=as_json)
    console.print(
        f"{name}: aliases {listed(found['aliases'])}; {found['batches']} batches to do; "
        f"{found['results']} results made by it"
    )
    if not node.models.content.holds(name):
        raise Refused(_not_own(node, name))
    _refuse_named(node, name, "deleted")
    if found["batches"]:
        raise Refused(
            f"{name} cannot be deleted: {found['batches']} batches are planned with it; wait until "
            "they are done"
        )
    if not yes:
        console.print("nothing was deleted; --yes deletes it")
        raise typer.Exit(Code.USAGE)
    _register(node, name, person)
    with node.ledger.write() as unit:  # first: what is not recorded does not happen
        row = model_versions.delete(unit, name, person, stated)
    node.models.content.remove(name.name, name.tag)
    keep(node, retirement(row))
    if as_json:
        print_json({"version": str(name), "deleted": True, **found})
        return
    console.print(f"{name} is deleted")


def _not_own(node: Node, name: ModelName) -> str:
    from model_store.registry.promotion import open_version  # noqa: PLC0415

    if node.models.origin(open_version(node.models, name)) == "package":
        return f"{name} came with the package and cannot be deleted; 'dicom-node model retire' can"
    return f"{name} is not in the node's own store {node.models.folder}"


@plain
def index(config: ConfigOption = None, by: ByOption = None, as_json: JsonOption = False) -> None:
    """Register what is in the store, and put back what its history says and the ledger lacks.

    For a database that was lost, or restored from a backup: versions, what aliases stood for since
    when, who moved them and why, and what was retired. Certificates are made again when they are
    needed.

    Exit codes:
    0 done;
    1 an error;
    3 a version was refused; the others are registered.
    """
    node, person = reader(config), who(by)
    brought = node.models.content.refresh()
    new = node.models.register(person)
    try:
        moved, retired = restore(node, node.models.content.history())
    except ValueError as error:
        raise NodeError(f"{error}; versions were registered, no alias was moved") from error
    lacking = unwritten(node)
    for entry in lacking:
        keep(node, entry)
    refused = {str(name): str(why) for name, why in node.models.refused().items()}
    refused |= {str(name): str(why) for name, why in brought.refused.items()}
    document: dict[str, Any] = {
        "registered": [str(row.target) for row in new], "moves": moved, "retired": retired,
        "written": len(lacking), "refused": refused,
    }  # fmt: skip
    if as_json:
        print_json(document)
    else:
        console = Console(highlight=False, soft_wrap=True)
        console.print(
            f"registered: {listed(document['registered'])}; {moved} moves of aliases and {retired} "
            f"retirements put back; {len(lacking)} entries added to the history"
        )
        for name, why in refused.items():
            console.print(f"[bold red]refused[/] {name}: {escape(why)}")
    if refused:
        raise typer.Exit(Code.REFUSED)
