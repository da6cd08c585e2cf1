"""``dicom-node model list|show|verify``: which versions there are, and whether they are well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape

from dicom_node.cli.common import ConfigOption, JsonOption, reader, show
from dicom_node.cli.model import names
from dicom_node.cli.model.common import (
    ByOption,
    Code,
    model_name,
    plain,
    print_json,
    print_verdicts,
    printable,
    progress,
    who,
)
from dicom_node.ledger import certificates, model_versions
from dicom_node.ledger.audit_events import AuditEvent

if TYPE_CHECKING:
    from dicom_node.models import Models
    from dicom_node.node import Node
    from model_store.errors import ModelStoreError
    from model_store.ref import ModelName
    from model_store.registry.gates import Candidate, Gate, Verdict
    from model_store.store import ModelVersion

_WELL: Final = "ready"
_DEFAULT_TAG: Final = "production"


@plain
def list_versions(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List every model version with its aliases, who signed it, and whether it may be used."""
    node = reader(config)
    usable = {version_of(found): found for found in node.models.versions()}
    refused = node.models.refused()
    indexed = node.models.indexed()
    standing = _standing(node.models.aliases())
    rows = []
    for name in sorted({*usable, *refused, *indexed}, key=_order):
        version = usable.get(name)
        here = version is not None or name in refused
        said = state(node.models, name, refused.get(name))
        rows.append({
            "version": str(name),
            "aliases": ", ".join(standing.get(name, ())),
            "for": ", ".join(version.manifest.modality) if version else None,
            "strength": version.manifest.strength if version else None,
            "origin": node.models.origin(version) if version else
            (indexed[name].origin if name in indexed else None),
            "signed_by": _signer(node.models, version) if version else None,
            "state": said if here else f"no files; {said}",
        })  # fmt: skip
    show(rows, title="model versions", as_json=as_json, empty="no model version")


@plain
def show_version(
    version: Annotated[
        str,
        typer.Argument(
            metavar="NAME[@VERSION|@ALIAS]",
            help="Model version; a name alone is its production alias, or else its newest version.",
            autocompletion=names.both,
            show_default=False,
        ),
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one version: what it is for, what was measured, who signed it, its certificates."""
    from model_store.registry.promotion import open_version  # noqa: PLC0415 -- loads engines

    node = reader(config)
    name = meant(node.models, version)
    document = describe(node, open_version(node.models, name))
    if as_json:
        print_json(document)
        return
    _print(document)


def meant(models: Models, text: str) -> ModelName:
    """The version that a version, an alias or a name alone stands for.

    Raises
    ------
    UnknownModelError
        There is none of that name; the message says which there are.
    """
    from model_store.errors import UnknownModelError  # noqa: PLC0415

    aliases = models.aliases()
    alone = "@" not in text
    name = model_name(f"{text}@{_DEFAULT_TAG}" if alone else text)
    if name.is_version:
        return name
    there = _all(models)
    of_name = [each for each in there if alone and each.name == text]
    if found := ([aliases[name]] if name in aliases else of_name[-1:]):
        return found[0]
    known = {each.name for each in (*there, *aliases)} if alone else aliases
    raise UnknownModelError(f"no model {text}; there is {', '.join(sorted(map(str, known)))}")


def describe(node: Node, version: ModelVersion) -> dict[str, Any]:
    """Everything that is known of a version, as plain values."""
    name = version_of(version)
    manifest = version.manifest
    with node.ledger.read() as session:
        certified = certificates.newest_first(session, name)
        references = model_versions.references(session, name)
    row = node.models.indexed().get(name)
    facts = manifest.model_dump(
        mode="json",
        include={"system", "modality", "body_parts", "scope", "input", "output", "tiling",
                 "trained_noise", "parameters", "macs_per_pixel", "intended_use", "training_data",
                 "licence", "files", "strength"},
    )  # fmt: skip
    return {
        "version": str(name),
        "other_versions": [
            each.tag for each in _all(node.models) if each.name == name.name and each != name
        ],
        "state": state(node.models, name, node.models.refused().get(name)),
        "aliases": _standing(node.models.aliases()).get(name, []),
        "origin": node.models.origin(version),
        "signed_by": _signer(node.models, version),
        "added": None if row is None else {"at": row.added_at, "by": row.added_by},
        "results": references["results"],
        "batches": references["batches"],
        **facts,
        "headline": manifest.metrics.get("headline", {}),
        "validity": None if manifest.validity is None else manifest.validity.statement,
        "certificates": [
            {
                "engine": each.engine, "precision": each.precision, "device": each.device,
                "library": dict(each.library), "images": each.images, "largest": each.largest,
                "mean": each.mean, "rms": each.rms, "limit": each.limit, "units": each.units,
                "passed": each.passed, "at": each.at, "by": each.who,
            }
            for each in certified
        ],
    }  # fmt: skip


def state(models: Models, name: ModelName, why: ModelStoreError | None) -> str:
    """Whether a version takes new work, in a few words; `verify` has all of them."""
    row = models.indexed().get(name)
    if why is not None:
        return next((word for word, kinds in _refusals().items() if isinstance(why, kinds)), "bad")
    if row is not None and row.retired_at is not None:
        return f"retired {row.retired_at:%Y-%m-%d} by {row.retired_by}: {row.retired_why}"
    return _WELL


def _refusals() -> dict[str, tuple[type[ModelStoreError], ...]]:
    from model_store import errors  # noqa: PLC0415

    return {
        "quarantined": (errors.QuarantinedError,),
        "not signed": (errors.UnsignedError,),
        "unknown key": (errors.UnknownKeyError,),
        "key revoked": (errors.RevokedKeyError,),
        "changed": (errors.SignatureError, errors.ModelIntegrityError, errors.ManifestError),
    }


@plain
def verify(  # noqa: PLR0917 -- options of a command
    versions: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME[@VERSION|@ALIAS]]...",
            help="Model versions, or what stands for them as in 'show'; absent: all.",
            autocompletion=names.both,
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only bytes, signature and graph; run nothing.")
    ] = False,
    certify: Annotated[
        bool,
        typer.Option(
            "--certify", help="Also compare this node's engine with the version's reference."
        ),
    ] = False,
    release: Annotated[
        bool,
        typer.Option("--release", help="Take what is well again out of quarantine; name it."),
    ] = False,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check versions again: every byte, signature, graph, and what the network does.

    Exit codes:
    0 all is well;
    1 an error;
    3 something is not well, and the table says what.
    """
    from dicom_node import model_gates  # noqa: PLC0415 -- loads engines
    from model_store.registry.gates import BehaviourGate  # noqa: PLC0415

    if release and not versions:
        raise typer.BadParameter("name the versions to take out of quarantine")
    node = reader(config)
    wanted = [meant(node.models, each) for each in versions] if versions else _all(node.models)
    asked = model_gates.whole(node, retired=True)
    if not quick:
        asked += (BehaviourGate(),)
    if certify:
        asked += (model_gates.equivalence(node, who(by)),)
    rows: list[tuple[str, Sequence[Verdict]]] = []
    with progress(len(wanted)) as tell:
        for name in wanted:
            tell(str(name))
            rows.append((str(name), _verified(node, name, asked, who(by) if release else None)))
    if as_json:
        print_json([{"version": name} | each.entry() for name, said in rows for each in said])
    else:
        for title, said in rows:
            Console(highlight=False).print(f"[bold]{title}[/]")
            print_verdicts(said)
    if not all(each.passed for _, said in rows for each in said):
        raise typer.Exit(Code.REFUSED)


def _verified(
    node: Node, name: ModelName, asked: Sequence[Gate], releaser: str | None
) -> Sequence[Verdict]:
    """What the gates say of a version, which `releaser` takes out of quarantine if it is well."""
    from dicom_node import model_gates  # noqa: PLC0415
    from model_store.errors import ModelStoreError, UnknownModelError  # noqa: PLC0415
    from model_store.registry import gates, promotion  # noqa: PLC0415

    try:
        version = promotion.open_version(node.models, name)
    except UnknownModelError:
        raise
    except ModelStoreError as error:
        return [gates.Verdict("manifest", False, str(error))]
    candidate = model_gates.candidate(node, version, name)
    try:
        if releaser is not None:
            _release(node, candidate, releaser)
        return promotion.judge(asked, candidate)
    finally:
        candidate.close()


def _release(node: Node, candidate: Candidate, releaser: str) -> None:
    """Take a version out of quarantine if its bytes and its graph are well."""
    from dicom_node import model_gates  # noqa: PLC0415
    from model_store.registry import promotion  # noqa: PLC0415

    gates = model_gates.whole(node)
    well = {each.gate: each.passed for each in promotion.judge(gates, candidate)}
    if not (well["signature"] and well["graph"]):
        return
    quarantine = node.models.quarantine
    note = quarantine.note(candidate.name)
    if note is not None:
        detail = {"version": note.version, "who": releaser, "reason": note.reason}
        with node.ledger.write() as unit:  # first: what is not recorded does not happen
            unit.record(AuditEvent.MODEL_RELEASED, detail)
        quarantine.release(candidate.name)


def _all(models: Models) -> list[ModelName]:
    return sorted({*map(version_of, models.versions()), *models.refused()}, key=_order)


def _order(name: ModelName) -> tuple[str, list[int], str]:
    """By name, then by the numbers of the version: 1.10.0 comes after 1.9.0."""
    core = name.tag.partition("-")[0]
    return name.name, [int(number) for number in core.split(".")], name.tag


def version_of(version: ModelVersion) -> ModelName:
    """``name@version`` of a version."""
    from model_store.ref import ModelName  # noqa: PLC0415

    return ModelName(version.ref.name, version.ref.version)


def _standing(aliases: Mapping[ModelName, ModelName]) -> dict[ModelName, list[str]]:
    found: dict[ModelName, list[str]] = {}
    for alias, target in sorted(aliases.items(), key=str):
        found.setdefault(target, []).append(str(alias))
    return found


def _signer(models: Models, version: ModelVersion) -> str | None:
    """Whose key the signature names; whether it counts is said by the state."""
    from model_store.errors import TrustError, UnsignedError  # noqa: PLC0415
    from model_store.trust.signature import Signature  # noqa: PLC0415

    try:
        key = Signature.read(version.folder).key
    except UnsignedError:
        return None
    except TrustError:
        return "damaged signature"
    known = models.trust.keys().get(key)
    return f"{known.name} ({key})" if known is not None else f"unknown key {key}"


def _print(document: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    spec, noise = document["input"], document["trained_noise"]
    units = "HU" if spec["units"] == "HU" else "of full range"
    added = document["added"]
    lines = {
        "state": document["state"],
        "aliases": ", ".join(document["aliases"]) or "none",
        "other versions": ", ".join(document["other_versions"]) or "none",
        "origin": document["origin"],
        "signed by": document["signed_by"] or "nobody",
        "added": "not registered yet" if added is None
        else f"{added['at']:%Y-%m-%d %H:%M} UTC by {added['by']}",
        "results": f"{document['results']} made, {document['batches']} batches to do",
        "for": ", ".join(document["modality"]) +
        (f"; {', '.join(document['body_parts'])}" if document["body_parts"] else ""),
        "range": f"{spec['minimum']:g} to {spec['maximum']:g} {units}",
        "strength": f"{document['strength']:g} in routes that state none",
        "trained on noise": f"{noise['minimum_sd']:g} to {noise['maximum_sd']:g} {units}",
        "network": f"{document['system']}, {document['parameters']:,} parameters, "
        f"{document['macs_per_pixel']:,} multiplications a pixel, "
        f"margin {document['tiling']['margin']}, stride {document['tiling']['stride']}",
        "licence": document["licence"],
        "intended use": document["intended_use"],
        "validity": document["validity"] or "not stated",
    }  # fmt: skip
    console.print(f"[bold]{escape(document['version'])}[/]")
    for title, text in lines.items():
        console.print(f"  {title + ':':18}{escape(printable(str(text)))}")
    for title, digest in document["files"].items():
        console.print(f"  {title + ':':22}sha256 {digest}")
    _print_headline(document["headline"])
    show(
        [_short(each) for each in document["certificates"]],
        title="equivalence certificates", as_json=False, empty="no equivalence certificate yet",
    )  # fmt: skip


def _print_headline(headline: Any) -> None:
    if not isinstance(headline, dict) or not headline:
        Console().print("no metrics")
        return
    rows = [{"measured on": place} | values for place, values in headline.items()
            if isinstance(values, dict)]  # fmt: skip
    columns = dict.fromkeys(key for row in rows for key in row)
    show(
        [{column: row.get(column) for column in columns} for row in rows],
        title="metrics", as_json=False, empty="no metrics",
    )  # fmt: skip


def _short(each: dict[str, Any]) -> dict[str, Any]:
    return {
        "engine": f"{each['engine']} {each['precision']}",
        "largest": f"{each['largest']:.3g} {each['units']}",
        "mean": f"{each['mean']:.2g}",
        "limit": f"{each['limit']:g}",
        "verdict": "passed" if each["passed"] else "refused",
        "device": each["device"],
        "at": each["at"],
        "by": each["by"],
    }
