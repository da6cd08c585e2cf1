"""How long a process waits for the ledger: by what it is, for each step of a transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds that one kind of process waits; None is for ever.

    Attributes
    ----------
    connect : int
        For a connection to each address of the server; libpq waits at least 2.
    lock : float
        For what another session or process holds: a row, a table, SQLite's write lock, or this
        process's own connections.
    statement : float or None
        For one statement, by the server's clock.
    transaction : float or None
        For a whole transaction, by this process's: a server that hangs stops no clock of its own.
    """

    connect: int
    lock: float
    statement: float | None
    transaction: float | None

    def __post_init__(self) -> None:
        if self.connect < 2:  # noqa: PLR2004 -- libpq's own
            raise ValueError("libpq waits for at least 2 s")


INTAKE: Final = Bounds(connect=2, lock=3.0, statement=4.0, transaction=4.5)
"""A scanner waits for its answer, which is to come within 10 s: what comes before its transaction,
the transaction, and, if that was lost at its end, the question what became of it."""

WORK: Final = Bounds(connect=10, lock=20.0, statement=60.0, transaction=90.0)
"""Upkeep, workers and ``up`` itself; whatever fails is tried again."""

COMMAND: Final = Bounds(connect=10, lock=30.0, statement=900.0, transaction=1800.0)
"""A person waits, and may ask for a lot."""

MIGRATION: Final = Bounds(connect=10, lock=60.0, statement=None, transaction=None)
"""A large table takes as long as it takes; but it is not waited for those who use it."""
