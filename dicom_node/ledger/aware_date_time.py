"""Columns that hold a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import DateTime, TypeDecorator
from sqlalchemy.engine import Dialect


class AwareDateTime(TypeDecorator[datetime]):
    """Aware UTC datetimes on every database; SQLite keeps them without a zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store in UTC; a naive datetime is an error of the caller."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime was given to the ledger")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """Read in UTC; what is no time is now: due, nobody's any more, and not old enough to go.

        PostgreSQL looks at what is written itself; in a file of SQLite it is a text like any other,
        and a row that cannot be read would stop whoever asks for it, with all other rows behind it.
        """
        read = super().result_processor(dialect, coltype)

        def time(value: Any) -> datetime | None:
            if value is None:
                return None
            try:
                found = cast(datetime, value if read is None else read(value))
            except (ValueError, TypeError):
                return datetime.now(UTC)
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)

        return time
