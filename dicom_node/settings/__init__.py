"""One frozen settings tree, from ``node.toml`` and ``DICOM_NODE_SECTION__KEY`` variables."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from dicom_node.domain.route import Route
from dicom_node.errors import ConfigError
from dicom_node.settings.network import DestinationSettings, PeerSettings
from dicom_node.settings.promotion import PromotionSettings
from dicom_node.settings.routes import RouteSettings
from dicom_node.settings.sections import (
    BatchingSettings,
    BrokerSettings,
    DatabaseSettings,
    DeliverySettings,
    IntakeSettings,
    LogSettings,
    ModelSettings,
    NodeSettings,
    ResultSettings,
    RoutingSettings,
    StorageSettings,
    UpkeepSettings,
    WorkerSettings,
)
from dicom_node.settings.source import named_source

__all__ = [
    "DestinationSettings",
    "LogSettings",
    "RouteSettings",
    "Settings",
    "WorkerSettings",
    "load",
]

_UNKNOWN = "unknown key; 'dicom-node config init' writes a file with every key there is"


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
    promotion: PromotionSettings = PromotionSettings()
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

    @property
    def limits(self) -> dict[str, int]:
        """How many associations a destination may have at a time, by its name."""
        return {each.name: each.associations for each in self.destinations}

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
        ``node.toml``. Absent: the one that ``DICOM_NODE_CONFIG`` names; where there is none,
        only defaults and the environment.
    overrides : dict, optional
        Values that replace those of the file (nested dictionaries by section).

    Raises
    ------
    ConfigError
        If the file is unreadable or not TOML, or a key is unknown, of a wrong type or out of
        range. The message names each such key.
    """
    path = named_source(path)
    data: dict[str, Any] = {}
    if path is not None:
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ConfigError(
                f"{path}: {error.strerror}; write one with 'dicom-node config init {path}'"
            ) from error
        except OSError as error:
            raise ConfigError(
                f"{path}: {error.strerror}; run the command as the node's user, or let this one "
                "read the file"
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
