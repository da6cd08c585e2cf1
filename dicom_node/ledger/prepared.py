"""Statements whose SQL is made once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, CursorResult, Delete, Insert, Select, Update
from sqlalchemy.engine import Dialect


@dataclass(frozen=True, slots=True)
class _Compiled:
    sql: str
    names: tuple[str, ...]
    positional: bool
    processors: Mapping[str, Callable[[Any], Any]]

    def parameters(self, row: Mapping[str, Any]) -> Any:
        convert = self.processors
        values = {
            name: convert[name](row[name]) if name in convert else row[name] for name in self.names
        }
        return tuple(values.values()) if self.positional else values


class PreparedStatement:
    """A statement for what is done per image: half the cost of SQLAlchemy's own execution.

    Values are converted as their columns say; rows that it returns are as the driver gives them,
    so let it return columns that need no conversion.

    Parameters
    ----------
    statement : sqlalchemy.Insert, Select, Update or Delete
        Without lists of varying length.
    names : sequence of str, optional
        Columns that an INSERT sets.
    """

    def __init__(
        self,
        statement: Insert | Select[Any] | Update | Delete,
        names: Sequence[str] | None = None,
    ) -> None:
        self._statement: Final = statement
        self._names: Final = None if names is None else list(names)
        self._made: Final[dict[str, _Compiled]] = {}

    def execute(self, connection: Connection, *rows: Mapping[str, Any]) -> CursorResult[Any]:
        """Execute with the parameters of one row, or at once with those of several."""
        dialect = connection.dialect
        made = self._made.get(dialect.name) or self._make(dialect)
        given = [made.parameters(row) for row in rows]
        return connection.exec_driver_sql(made.sql, given if len(given) > 1 else given[0])

    def _make(self, dialect: Dialect) -> _Compiled:
        compiled = self._statement.compile(dialect=dialect, column_keys=self._names)
        found = {
            name: bind.type.dialect_impl(dialect).bind_processor(dialect)
            for name, bind in compiled.binds.items()
        }
        made = self._made[dialect.name] = _Compiled(
            sql=compiled.string,
            names=tuple(compiled.positiontup or compiled.binds),
            positional=compiled.positional,
            processors={name: one for name, one in found.items() if one is not None},
        )
        return made
