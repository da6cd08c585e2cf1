"""Columns that hold JSON: what is none, or is of another shape, is told from what was written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import JSON, TypeDecorator
from sqlalchemy.engine import Dialect


class DamagedDocument(dict[str, Any]):
    """Stands for a document that cannot be read; it has no values.

    A row that cannot be read would stop whoever asks for it, with all other rows behind it.
    """


class Document(TypeDecorator[Any]):
    """A JSON object or list; of anything else in the column `DamagedDocument` is made.

    PostgreSQL looks at what is written itself; in a file of SQLite it is a text like any other.

    Parameters
    ----------
    optional : bool
        A row may have none: JSON's null is None then.
    """

    impl = JSON
    cache_ok = True

    def __init__(self, *, optional: bool = False) -> None:
        super().__init__()
        self.optional = optional

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """Read a value that may be damaged."""
        read = super().result_processor(dialect, coltype)

        def document(value: Any) -> Any:
            if value is None:
                return None
            try:
                found = value if read is None else read(value)
            except (ValueError, TypeError):
                return DamagedDocument()
            if found is None and self.optional:
                return None
            return found if isinstance(found, dict | list) else DamagedDocument()

        return document


def text_of(data: bytes) -> str:
    """A text of SQLite that may hold other bytes than UTF-8: those become U+FFFD."""
    return data.decode("utf-8", "replace")


def is_whole(document: object) -> bool:
    """Whether a document is an object, and was readable."""
    return isinstance(document, dict) and not isinstance(document, DamagedDocument)
