"""Which file the settings are read from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from dicom_node.errors import ConfigError

USUAL: Final = Path("/etc/dicom-node/node.toml")
"""Where the how-tos have it."""

_NAMED: Final = "DICOM_NODE_CONFIG"
_PREFIX: Final = "DICOM_NODE_"
_BETWEEN: Final = "__"


def named_source(given: Path | None = None) -> Path | None:
    """The file that was given, or that ``DICOM_NODE_CONFIG`` names; None where none was named."""
    if given is not None:
        return given
    named = os.environ.get(_NAMED)
    return Path(named) if named else None


def source_of(given: Path | None = None, usual: Path = USUAL) -> Path | None:
    """Find the file of the node on this machine: the one that is named, or the usual one.

    Returns
    -------
    Path or None
        None where none was named and the usual one is not there.
    """
    found = named_source(given)
    return usual if found is None and usual.exists() else found


def require_source(given: Path | None = None, usual: Path = USUAL) -> Path | None:
    """Refuse to work on nothing but defaults: that is another node than the one that is meant.

    Returns
    -------
    Path or None
        As `source_of`; None where the environment alone has the settings.

    Raises
    ------
    ConfigError
        There is no file, and no key in the environment.
    """
    found = source_of(given, usual)
    if found is None and not any(_is_key(name) for name in os.environ):
        raise ConfigError(
            f"there is no configuration: {usual} does not exist, {_NAMED} is not set and --config "
            f"not given; name the node's file, or write one with 'dicom-node config init {usual}'"
        )
    return found


def _is_key(name: str) -> bool:
    return name.startswith(_PREFIX) and _BETWEEN in name.removeprefix(_PREFIX)
