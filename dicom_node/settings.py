"""One frozen settings tree, from ``node.toml`` and ``DICOM_NODE_SECTION__KEY`` variables."""

from __future__ import annotations

import ipaddress
import os
import re
import string
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from dicom_node.domain.condition import Condition
from dicom_node.domain.route import Output, Route
from dicom_node.errors import ConfigError
from model_store.ref import ModelName

AeTitle = Annotated[
    str, Field(min_length=1, max_length=16, pattern=r"^[ -\[\]-~]*[!-\[\]-~][ -\[\]-~]*$")
]
Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Seconds = Annotated[float, Field(gt=0, le=31_536_000)]
Hours = Annotated[float, Field(le=876_000)]
Scalar = StrictStr | StrictInt | StrictFloat

_UNKNOWN = "unknown key; 'dicom-node config init' writes a file with every key there is"
_WIDE = re.compile(r"\d{4}")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class NodeSettings(_Section):
    """Who the node is on the DICOM network."""

    ae_title: AeTitle = Field("DENOISE", description="AE title that scanners and the PACS call.")
    port: Port = Field(11112, description="TCP port that the node listens on.")
    host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104 -- a server
    any_called_ae_title: bool = Field(
        False, description="Accept associations that call the node by another AE title."
    )


class StorageSettings(_Section):
    """Where received instances and results are kept."""

    path: Path = Field(Path("/var/lib/dicom-node"), description="Spool folder.")
    minimum_free_percent: float = Field(
        5.0, ge=0, lt=100, description="Below this free space C-STORE answers 0xA700."
    )
    minimum_free_megabytes: int = Field(
        512, ge=0, description="The same watermark in megabytes; the stricter of both counts."
    )
    keep_hours: Hours = Field(
        72.0,
        ge=0,
        description="Received instances and results are kept this long after the last "
        "of their work items has ended.",
    )


class DatabaseSettings(_Section):
    """Where the ledger is."""

    url: SecretStr | None = Field(
        None, description="SQLAlchemy URL; absent: SQLite in the storage folder."
    )


class BrokerSettings(_Section):
    """The bell between the ledger and the workers."""

    url: SecretStr | None = Field(
        None, description="redis://... ; absent: embedded, in the storage folder."
    )


class LogSettings(_Section):
    """Log lines on standard error; they hold UIDs and ledger ids, never patient data."""

    format: Literal["json", "console"] = Field("console", description="Form of a line.")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level.")


class IntakeSettings(_Section):
    """Reception of instances."""

    reader: Literal["inline", "stock"] = Field(
        "inline", description="Fast inline P-DATA reader, or pynetdicom's own machinery."
    )
    max_associations: int = Field(32, ge=1, description="Associations at a time, over all peers.")
    max_pdu: int = Field(131072, ge=4096, le=1048576, description="Largest PDU, bytes.")
    max_object_megabytes: int = Field(2048, ge=1, description="Largest instance to accept.")
    idle_seconds: Seconds = Field(60.0, description="An association silent this long is aborted.")
    on_conflict: Literal["quarantine", "refuse"] = Field(
        "quarantine",
        description="An instance with a known SOP Instance UID but other bytes: keep it aside for "
        "a person and answer success, or answer 0x0111 and drop it.",
    )
    unknown_peers: Literal["reject", "accept"] = Field(
        "reject", description="What to do with callers that no [[peers]] entry names."
    )


class BatchingSettings(_Section):
    """How work items are gathered into batches."""

    instances: int = Field(16, ge=1, le=512, description="A batch of this many goes out at once.")
    megabytes: int = Field(48, ge=1, description="So does one of this many megabytes.")
    quiet_seconds: Seconds = Field(
        5.0,
        description="A smaller batch goes out when nothing was added to it for this long, or "
        "as soon as the sending association has ended.",
    )


class WorkerSettings(_Section):
    """Denoising."""

    engine: Literal["auto", "openvino", "onnxruntime", "torch", "tensorrt"] = Field(
        "auto", description="Engine to run models on; auto picks by what the machine has."
    )
    precision: Literal["auto", "f32", "bf16"] = Field(
        "f32", description="Arithmetic of the engine; f32 is the reference."
    )
    threads: int = Field(
        0, ge=0, description="CPU threads of an engine; 0: all cores, shared by the processes."
    )
    processes: int = Field(1, ge=1, le=64, description="Infer workers that `up` starts.")
    tile: int = Field(0, ge=0, description="Side of an inference tile, pixels; 0: by the model.")
    lease_seconds: Seconds = Field(
        60.0, description="A batch whose worker gave no sign for this long is taken back."
    )
    attempts: int = Field(3, ge=1, description="Tries of a batch before its items fail.")


class DeliverySettings(_Section):
    """Sending results, for all destinations."""

    retry_first_seconds: Seconds = Field(5.0, description="Wait before the first retry.")
    retry_factor: float = Field(
        2.0, ge=1, le=100, description="Each further wait is longer by this."
    )
    retry_longest_seconds: Seconds = Field(600.0, description="Longest wait between retries.")
    give_up_hours: Hours = Field(
        72.0, gt=0, description="After this long a delivery becomes a dead letter."
    )
    lease_seconds: Seconds = Field(
        120.0, description="A parcel whose sender gave no sign for this long is taken back."
    )

    @model_validator(mode="after")
    def _waits_grow(self) -> DeliverySettings:
        if self.retry_longest_seconds < self.retry_first_seconds:
            raise ValueError("retry_longest_seconds must not be below retry_first_seconds")
        return self


class UpkeepSettings(_Section):
    """Planning, re-ringing lost bells, retention."""

    poll_seconds: Seconds = Field(0.1, description="How often new instances are looked for.")
    ring_again_seconds: Seconds = Field(
        15.0, description="Due work that nobody took is announced again after this long."
    )


class ModelSettings(_Section):
    """Where model versions come from, besides those in the package."""

    path: Path | None = Field(None, description="Folder of further model versions and aliases.")


class ResultSettings(_Section):
    """What all results carry."""

    uid_root: str | None = Field(
        None,
        pattern=r"^[0-2](\.(0|[1-9]\d*))+$",
        max_length=24,
        description="Organisation root of result UIDs; absent: 2.25 (PS3.5 B.2).",
    )
    device_serial_number: str = Field(
        "", max_length=64, description="Device Serial Number in Contributing Equipment."
    )
    institution_name: str = Field(
        "", max_length=64, description="Institution Name in Contributing Equipment."
    )


class PeerSettings(_Section):
    """A remote application entity that may talk to the node."""

    ae_title: AeTitle
    host: str | None = Field(
        None, description="Address or network (CIDR) it must call from; absent: any."
    )
    may: tuple[Literal["echo", "store"], ...] = Field(
        ("echo", "store"), description="What it may do; C-ECHO is always allowed."
    )

    @field_validator("host")
    @classmethod
    def _host(cls, host: str | None) -> str | None:
        if host is not None and "/" in host:
            try:
                ipaddress.ip_network(host, strict=False)
            except ValueError as error:
                raise ValueError(f"{host!r} is not a network such as 10.1.2.0/24") from error
        return host


class DestinationSettings(_Section):
    """A remote application entity that receives results."""

    name: Name
    ae_title: AeTitle = Field(description="AE title of the destination.")
    host: str
    port: Port = 104
    calling_ae_title: AeTitle | None = Field(
        None, description="AE title that the node uses towards it; absent: [node] ae_title."
    )
    associations: int = Field(1, ge=1, le=16, description="Associations at a time.")
    timeout_seconds: Seconds = Field(30.0, description="Longest wait for one answer.")
    max_pdu: int = Field(131072, ge=0, description="Largest PDU to offer, bytes.")


class ConditionTable(_Section):
    """A condition written as a table."""

    equals: Scalar | None = None
    one_of: tuple[Scalar, ...] | None = Field(None, min_length=1)
    regex: str | None = None
    min: float | None = Field(None, allow_inf_nan=False)
    max: float | None = Field(None, allow_inf_nan=False)
    present: bool | None = None
    negate: bool = Field(False, alias="not")

    @model_validator(mode="after")
    def _says_something(self) -> ConditionTable:
        values = (self.equals, self.one_of, self.regex, self.min, self.max, self.present)
        if all(value is None for value in values):
            raise ValueError("give at least one of equals, one_of, regex, min, max, present")
        return self


def _form(value: object) -> str:
    if isinstance(value, (dict, ConditionTable)):
        return "table"
    return "list" if isinstance(value, (list, tuple)) else "value"


ConditionValue = Annotated[
    Annotated[Scalar, Tag("value")]
    | Annotated[tuple[Scalar, ...], Field(min_length=1), Tag("list")]
    | Annotated[ConditionTable, Tag("table")],
    Discriminator(_form),
]


class RouteSettings(_Section):
    """One routing rule.

    `series_description` and `series_number` are templates: ``{SeriesDescription}``,
    ``{SeriesNumber}``, ``{Modality}``, ``{model}``, ``{version}``, ``{route}``, ``{strength}``.
    """

    name: Name
    when: dict[str, ConditionValue] = Field(
        default_factory=dict, description="DICOM keyword to value, list of values, or table."
    )
    model: str = Field(description="name@alias or name@version.")
    strength: float = Field(1.0, ge=0, le=1, description="0: unchanged; 1: fully denoised.")
    output: Output = Field(Output.SECONDARY_CAPTURE, description="Form of the results.")
    destinations: tuple[Name, ...] = Field(min_length=1)
    series_description: str = Field("{SeriesDescription} denoised {model}", max_length=256)
    series_number: str = Field("9{SeriesNumber:03d}", max_length=64)

    @field_validator("when")
    @classmethod
    def _keywords(cls, when: dict[str, ConditionValue]) -> dict[str, ConditionValue]:
        from pydicom.datadict import tag_for_keyword  # noqa: PLC0415 -- keeps start-up light

        for keyword in when:
            if tag_for_keyword(keyword) is None:
                raise ValueError(f"{keyword!r} is not a DICOM keyword (PS3.6)")
        return when

    @field_validator("series_description", "series_number")
    @classmethod
    def _template(cls, template: str) -> str:
        values = {"SeriesDescription": "", "Modality": "CT", "model": "m", "version": "1.0.0",
                  "route": "r", "strength": 1.0, "SeriesNumber": 1}  # fmt: skip
        try:
            for _, _, form, _ in string.Formatter().parse(template):
                if form and _WIDE.search(form):
                    raise ValueError(f"{form!r} makes too wide a field")  # noqa: TRY301
            for number in (1, 2**31 - 1, -(2**31)):
                template.format(**values | {"SeriesNumber": number})
        except (KeyError, IndexError, AttributeError, OverflowError, ValueError) as error:
            known = ", ".join(sorted(values))
            raise ValueError(f"template {template!r}: {error}; known fields: {known}") from error
        return template

    @field_validator("destinations")
    @classmethod
    def _each_once(cls, destinations: tuple[str, ...]) -> tuple[str, ...]:
        for name in destinations:
            if destinations.count(name) > 1:
                raise ValueError(f"{name!r} is named twice")
        return destinations

    @field_validator("model")
    @classmethod
    def _model(cls, model: str) -> str:
        ModelName.parse(model)
        return model

    @model_validator(mode="after")
    def _conditions_make_sense(self) -> RouteSettings:
        self.route()
        return self

    def route(self) -> Route:
        """The route in domain words."""
        return Route(
            name=self.name,
            when=tuple(_condition(keyword, value) for keyword, value in self.when.items()),
            model=ModelName.parse(self.model),
            strength=self.strength,
            output=self.output,
            destinations=self.destinations,
            series_description=self.series_description,
            series_number=self.series_number,
        )


def _condition(keyword: str, value: ConditionValue) -> Condition:
    if isinstance(value, ConditionTable):
        one_of = value.one_of if value.equals is None else (value.equals, *(value.one_of or ()))
        return Condition(
            keyword, one_of, value.regex, value.min, value.max, value.present, value.negate
        )
    return Condition(keyword, value if isinstance(value, tuple) else (value,))


class RoutingSettings(_Section):
    """How routes are chosen."""

    matches: Literal["first", "all"] = Field(
        "first", description="The first matching route counts, or all of them."
    )


class Settings(BaseSettings):
    """Everything that can be set. Read it with `load`."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="DICOM_NODE_", env_nested_delimiter="__",
        validate_default=True,
    )  # fmt: skip

    node: NodeSettings = NodeSettings()
    storage: StorageSettings = StorageSettings()
    database: DatabaseSettings = DatabaseSettings()
    broker: BrokerSettings = BrokerSettings()
    log: LogSettings = LogSettings()
    intake: IntakeSettings = IntakeSettings()
    batching: BatchingSettings = BatchingSettings()
    workers: WorkerSettings = WorkerSettings()
    delivery: DeliverySettings = DeliverySettings()
    upkeep: UpkeepSettings = UpkeepSettings()
    models: ModelSettings = ModelSettings()
    results: ResultSettings = ResultSettings()
    routing: RoutingSettings = RoutingSettings()
    peers: tuple[PeerSettings, ...] = ()
    destinations: tuple[DestinationSettings, ...] = ()
    routes: tuple[RouteSettings, ...] = ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file."""
        return env_settings, init_settings

    @model_validator(mode="after")
    def _names(self) -> Settings:
        for word, names in (
            ("routes", [route.name for route in self.routes]),
            ("destinations", [destination.name for destination in self.destinations]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"two [[{word}]] are named {twice[0]!r}; names must be unique")
        known = {destination.name for destination in self.destinations}
        for route in self.routes:
            for name in route.destinations:
                if name not in known:
                    raise ValueError(
                        f"route {route.name!r} sends to {name!r}, which no [[destinations]] has"
                    )
        return self

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the ledger, with the driver named."""
        if self.database.url is None:
            return f"sqlite:///{self.storage.path.absolute() / 'ledger.sqlite'}"
        url = self.database.url.get_secret_value()
        return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url)

    def destination(self, name: str) -> DestinationSettings | None:
        """The destination of that name, None if the configuration no longer has it."""
        return next((each for each in self.destinations if each.name == name), None)

    def domain_routes(self) -> tuple[Route, ...]:
        """All routes in domain words, in order."""
        return tuple(route.route() for route in self.routes)


def load(path: Path | None = None, overrides: dict[str, Any] | None = None) -> Settings:
    """Read the settings tree.

    Parameters
    ----------
    path : Path, optional
        ``node.toml``. Absent: the file that ``DICOM_NODE_CONFIG`` names, else only defaults and
        the environment.
    overrides : dict, optional
        Values that replace those of the file (nested dictionaries by section).

    Raises
    ------
    ConfigError
        If the file is unreadable or not TOML, or a key is unknown, of a wrong type or out of
        range. The message names each such key.
    """
    named = os.environ.get("DICOM_NODE_CONFIG")
    path = path if path is not None else (Path(named) if named else None)
    data: dict[str, Any] = {}
    if path is not None:
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(
                f"{path}: {error.strerror}; write one with 'dicom-node config init {path}'"
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not TOML: {error}") from error
    for section, values in (overrides or {}).items():
        before = data.get(section, {})
        if isinstance(values, dict) and isinstance(before, dict):
            data[section] = {**before, **values}
        elif not isinstance(values, dict):
            data[section] = values
    hidden = next((key for key in data if key.startswith("_")), None)
    if hidden is not None:
        raise ConfigError(f"{path or 'settings'}: {hidden}: {_UNKNOWN}")
    try:
        return Settings(**data)
    except ValidationError as error:
        raise ConfigError(_plain(path, error, data)) from error
    except SettingsError as error:
        raise ConfigError(
            f"an environment variable is not JSON where a table or a list is expected: "
            f"{_variables(str(error))}"
        ) from error


def _plain(path: Path | None, error: ValidationError, data: dict[str, Any]) -> str:
    found: dict[str, list[str]] = {}
    for each in error.errors(include_url=False, include_input=False):
        parts = [str(part) for part in each["loc"] if not _internal(part)]
        where = ".".join(parts) or "(whole file)"
        said = found.setdefault(where + _called(data, each["loc"]), [])
        message = each["msg"].removeprefix("Value error, ")
        message = _UNKNOWN if each["type"] == "extra_forbidden" else message
        if message not in said:
            said.append(message)
    lines = [f"{path or 'settings'}: {len(found)} error(s)"]
    lines += [f"  {where}: {', or '.join(messages)}" for where, messages in found.items()]
    return "\n".join(lines)


def _internal(part: int | str) -> bool:
    """Whether a part of a location is pydantic's name of a branch, and no key."""
    return isinstance(part, str) and (
        part in ("value", "list", "table", "str", "int", "float") or "[" in part
    )


def _called(data: dict[str, Any], location: tuple[int | str, ...]) -> str:
    """Name of the list entry that a location is in."""
    entries = data.get(str(location[0])) if len(location) > 1 else None
    index = location[1] if len(location) > 1 else None
    if not isinstance(entries, list) or not isinstance(index, int) or index >= len(entries):
        return ""
    entry = entries[index]
    name = entry.get("name") or entry.get("ae_title") if isinstance(entry, dict) else None
    return f" ({name!r})" if isinstance(name, str) else ""


def _variables(message: str) -> str:
    field = re.search(r'field "(\w+)"', message)
    return message if field is None else f"DICOM_NODE_{field[1].upper()}"
