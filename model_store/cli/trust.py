"""The commands ``model-store keygen``, ``sign``, ``trust`` and ``verify``.

Exit codes: 0 all is well; 1 another error; 2 wrong use; 3 not signed; 4 signed by a key that is
not trusted, or no longer; 5 changed (file, manifest or signature); 6 in quarantine; 7 the graph is
not one that an engine is given, or does something else than the manifest says. Of several versions
the highest counts.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from model_store.engines.behaviour import check_behaviour
from model_store.engines.golden import golden_outputs
from model_store.engines.openvino import OpenVinoEngine
from model_store.errors import (
    BehaviourError,
    GraphError,
    ManifestError,
    ModelIntegrityError,
    ModelStoreError,
    QuarantinedError,
    RevokedKeyError,
    SignatureError,
    TrustError,
    UnknownKeyError,
    UnknownModelError,
    UnsignedError,
)
from model_store.graph import check_graph
from model_store.ref import ModelName
from model_store.store import ModelVersion, packaged_zoo
from model_store.trust import signature
from model_store.trust.key import PrivateKey, PublicKey, generate
from model_store.trust.quarantine import Quarantine
from model_store.trust.signed_only import trust_store
from model_store.trust.store import TrustStore, verify

_CODES: tuple[tuple[int, tuple[type[ModelStoreError], ...]], ...] = (
    (7, (GraphError, BehaviourError)),
    (3, (UnsignedError,)),
    (4, (UnknownKeyError, RevokedKeyError)),
    (5, (SignatureError, ModelIntegrityError, ManifestError)),
    (6, (QuarantinedError,)),
)

_Names = Annotated[list[str], typer.Argument(metavar="VERSION", help="NAME@VERSION, one or more")]
_Some = Annotated[
    list[str] | None, typer.Argument(metavar="VERSION", help="NAME@VERSION; all if left out")
]
_Zoo = Annotated[Path, typer.Option(help="folder of model versions")]
_Key = Annotated[Path, typer.Option(help="private key file")]
_Folder = Annotated[Path, typer.Option("--trust", help="folder of public key files")]
_Trust = Annotated[
    Path | None,
    typer.Option("--trust", help="folder of public keys, beside those of the package"),
]
_State = Annotated[Path | None, typer.Option(help="folder of the quarantine")]
_Passphrase = Annotated[
    Path | None, typer.Option(help="file whose first line is the key's passphrase")
]
_Ask = Annotated[bool, typer.Option("--passphrase", help="ask for the key's passphrase")]
_Json = Annotated[bool, typer.Option("--json", help="one JSON document, for machines")]


def add_trust(app: typer.Typer, zoo_folder: Path) -> None:
    """Add the commands to `app`; model versions are looked for in `zoo_folder` by default."""

    @app.command()
    def keygen(  # noqa: PLR0917
        name: Annotated[str, typer.Argument(help="of the files NAME.key and NAME.pub")],
        owner: Annotated[str, typer.Option(help="whose key it is, for those who trust it")],
        out: Annotated[Path, typer.Option(help="folder for both files")] = Path(),
        ask: _Ask = False,
        passphrase_file: _Passphrase = None,
        as_json: _Json = False,
    ) -> None:
        """Make a key: NAME.key signs and stays with its owner, NAME.pub is for all others."""
        try:
            secret = _secret(ask, passphrase_file, confirm=True)
            made = generate(name, out, owner, datetime.now(UTC).date(), secret)
        except ModelStoreError as error:
            raise _failed(error) from error
        shown = made.model_dump(mode="json", exclude_none=True)
        _tell(as_json, shown, f"key {made.key}: {out / name}.key (keep it), {out / name}.pub")

    @app.command()
    def sign(
        versions: _Names,
        key: _Key,
        zoo: _Zoo = zoo_folder,
        ask: _Ask = False,
        passphrase_file: _Passphrase = None,
    ) -> None:
        """Sign model versions, after their files were found to be those of their manifests."""
        try:
            private = PrivateKey.read(key, _secret(ask, passphrase_file))
            for name in versions:
                version = ModelVersion.open(version_folder(zoo, name))
                signature.sign(version, private)
                _tell(False, {}, f"{version.ref} signed by key {private.id}")
        except ModelStoreError as error:
            raise _failed(error) from error

    @app.command("verify")
    def verify_versions(  # noqa: PLR0917
        versions: _Some = None,
        zoo: _Zoo = zoo_folder,
        trust: _Trust = None,
        state: _State = None,
        release: Annotated[
            bool, typer.Option("--release", help="take what is well out of quarantine (--state)")
        ] = False,
        run: Annotated[
            bool, typer.Option("--run", help="also run the networks on test images")
        ] = False,
        as_json: _Json = False,
    ) -> None:
        """Say who signed model versions and whether every byte is still what they signed.

        Exit codes: 0 all is well; 1 another error; 3 not signed; 4 signed by a key that is not
        trusted, or no longer; 5 changed; 6 in quarantine; 7 not a graph that an engine is given, or
        with --run one that does something else than the manifest says. Of several versions the
        highest counts.
        """
        if release and state is None:
            raise typer.BadParameter("--release needs --state")
        quarantine = Quarantine(state) if state is not None else None
        keys = trust_store(*([trust] if trust is not None else []))
        names = versions or sorted(
            f"{path.parent.parent.name}@{path.parent.name}"
            for path in zoo.glob("*/*/manifest.json")
        )
        rows, worst = [], 0
        for name in names:
            row, code = _verified(name, zoo, keys, quarantine, release=release, run=run)
            rows.append(row)
            worst = max(worst, code)
            if not as_json:
                _tell(False, {}, f"{name}: {row.get('error') or row['signer']}")
        if as_json:
            _tell(True, {"versions": rows}, "")
        raise typer.Exit(worst)

    _add_keys(app)


def _add_keys(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Whose signatures count.")
    app.add_typer(group, name="trust")

    @group.command("list")
    def list_keys(trust: _Trust = None, as_json: _Json = False) -> None:
        """List the keys, those of the package too."""
        try:
            keys = trust_store(*([trust] if trust is not None else [])).keys()
        except ModelStoreError as error:
            raise _failed(error) from error
        rows = [key.model_dump(mode="json", exclude_none=True) for key in keys.values()]
        lines = [_line(key) for key in keys.values()] or ["no key is trusted"]
        _tell(as_json, {"keys": rows}, "\n".join(lines))

    @group.command()
    def add(file: Annotated[Path, typer.Argument(help="public key file")], trust: _Folder) -> None:
        """Trust a key. Compare its id with its owner first, over another way than the file came."""
        try:
            key = PublicKey.read(file)
            TrustStore(trust).add(key)
        except ModelStoreError as error:
            raise _failed(error) from error
        _tell(False, {}, f"trusted: {_line(key)}")

    @group.command()
    def revoke(
        key: Annotated[str, typer.Argument(help="id of the key")],
        reason: Annotated[str, typer.Option(help="why, for the message that users get")],
        trust: _Folder,
    ) -> None:
        """Withdraw the trust in a key, for all that it ever signed."""
        try:
            trust.mkdir(parents=True, exist_ok=True)
            known = trust_store(trust).revoke(key, reason, datetime.now(UTC).date())
        except ModelStoreError as error:
            raise _failed(error) from error
        _tell(False, {}, _line(known))


def _verified(
    name: str,
    zoo: Path,
    keys: TrustStore,
    quarantine: Quarantine | None,
    *,
    release: bool,
    run: bool,
) -> tuple[dict[str, Any], int]:
    row: dict[str, Any] = {"version": name}
    try:
        place = version_folder(zoo, name)
        wanted = ModelName.parse(name)
        if quarantine is not None and not release:
            quarantine.check(wanted)
        version = ModelVersion.open(place)
        if str(version.ref) != name:
            raise ManifestError(f"{place} holds {version.ref}")
        unsigned: UnsignedError | None = None
        try:
            key = verify(version, keys)
            row |= {"signer": f"signed by {key.name} ({key.key})", "key": key.key}
        except UnsignedError as error:
            version.verify()
            unsigned = error
        check_graph(version.read())
        if run:
            with OpenVinoEngine(version) as engine:
                check_behaviour(engine, version.manifest, golden_outputs(version))
        packaged = zoo.resolve() == packaged_zoo().resolve()
        if quarantine is not None and release and (packaged or unsigned is None):
            quarantine.release(wanted)
        if unsigned is not None:
            raise unsigned
    except ModelStoreError as error:
        return {**row, "error": str(error), "kind": type(error).__name__}, exit_code(error)
    return row, 0


def exit_code(error: ModelStoreError) -> int:
    """Exit code that `error` ends a command with."""
    return next((code for code, kinds in _CODES if isinstance(error, kinds)), 1)


def version_folder(zoo: Path, name: str) -> Path:
    """Folder of ``NAME@VERSION`` in a zoo.

    Raises
    ------
    UnknownModelError
        If there is no such version, or `name` is none.
    """
    try:
        parsed = ModelName.parse(name)
    except ValueError as error:
        raise UnknownModelError(str(error)) from error
    place = zoo / parsed.name / parsed.tag
    if not parsed.is_version or not (place / "manifest.json").is_file():
        raise UnknownModelError(f"no model {name} in {zoo}; name it as NAME@VERSION")
    return place


def _secret(ask: bool, path: Path | None, *, confirm: bool = False) -> bytes | None:
    if path is not None:
        try:
            lines = path.read_bytes().splitlines()
        except OSError as error:
            raise TrustError(f"{path}: {error.strerror or error}") from error
        if not lines or not lines[0]:
            raise TrustError(f"the first line of {path} is empty")
        return lines[0]
    if not ask:
        return None
    return str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm)).encode()


def _line(key: PublicKey) -> str:
    revoked = f", revoked on {key.revoked.since}: {key.revoked.reason}" if key.revoked else ""
    return f"{key.key}  {key.name}, made {key.created}{revoked}"


def _tell(as_json: bool, document: dict[str, Any], text: str) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False) if as_json else text)


def _failed(error: ModelStoreError) -> typer.Exit:
    Console(stderr=True).print(f"{type(error).__name__}: {error}", highlight=False, markup=False)
    return typer.Exit(exit_code(error))
