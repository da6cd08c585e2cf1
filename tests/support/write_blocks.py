"""Refuses a disk, a network and other processes to whoever has a write transaction open.

Of a ledger in SQLite there is one writer: what it waits for, the whole node waits for. Tests that
open a transaction themselves may do in it what they like; migrations read their own scripts.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event

_REFUSED = ("open", "os.", "shutil.", "socket.", "subprocess.", "tempfile.", "glob.")
_ALLOWED = ("socket.gethostname", "os.kill")  # neither waits for anything
_CODE = (".py", ".pyc", ".so")
_ROOT = Path(__file__).resolve().parents[2]
_DB = _ROOT / "dicom_node" / "ledger"
_WAY = (str(_DB / "transactions.py"), str(_DB / "unit_of_work.py"))
_GUARDED = (str(_ROOT / "tests" / "support" / "ledgers.py"),)
_FREE = (str(_ROOT / "tests"), str(_DB / "migrat"))


class _Thread(threading.local):
    writing = False
    strict = False


_this_thread = _Thread()


class OutsideItsStatements(AssertionError):
    """Something other than a statement was waited for within a write transaction."""


def guard(engine: Engine) -> None:
    """Watch the write transactions of an engine, each in its own thread."""
    _hook()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        read_only = connection.get_execution_options().get("read_only", False)
        _this_thread.writing = not read_only and (_this_thread.strict or _is_the_node_s())

    @event.listens_for(engine, "commit")
    @event.listens_for(engine, "rollback")
    def _end(_connection: Connection) -> None:
        _this_thread.writing = False


@contextmanager
def strict() -> Iterator[None]:
    """Watch also the transactions that a test opens."""
    _this_thread.strict = True
    try:
        yield
    finally:
        _this_thread.strict = False


@cache
def _hook() -> None:
    """Once for all: a hook stays as long as the process."""
    sys.addaudithook(_look)


def _look(what: str, arguments: tuple[Any, ...]) -> None:
    if not _this_thread.writing or not what.startswith(_REFUSED) or what in _ALLOWED:
        return
    if what == "open" and str(arguments[0]).endswith(_CODE):  # a module's first use
        return
    _this_thread.writing = False  # what follows is how the test is told
    raise OutsideItsStatements(f"{what} within a write transaction")


def _is_the_node_s() -> bool:
    """Whether the node opens a transaction, or the life of a ledger as it would.

    The first who is neither in Python, nor in an installed package, nor on the way here.
    """
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        installed = ".venv" in name or not name.startswith(str(_ROOT))
        if not installed and name != __file__ and name not in _WAY:
            return name in _GUARDED or not name.startswith(_FREE)
        frame = frame.f_back  # type: ignore[assignment]
    return False
