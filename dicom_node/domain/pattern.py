"""Regular expressions of routes, matched in time that grows with the text and no faster."""

from __future__ import annotations

from functools import cache

from pydantic_core import SchemaError, SchemaValidator, core_schema


class Pattern:
    """A regular expression that no text can make run for ever.

    The standard library's may take longer than a life for a text that a stranger sends. This
    engine (Rust's ``regex``) looks at each character a bounded number of times; for that it has
    no look-around and no back-references.

    Parameters
    ----------
    text : str
        Such as ``"(?i)lung"``.

    Raises
    ------
    ValueError
        If it is no such expression.
    """

    def __init__(self, text: str) -> None:
        try:
            self._engine = SchemaValidator(
                core_schema.str_schema(pattern=text, regex_engine="rust-regex")
            )
        except SchemaError as error:
            raise ValueError(_why(str(error))) from error

    def found_in(self, text: str) -> bool:
        """Whether it matches somewhere in a text."""
        clean = text.encode("utf-8", "replace").decode("utf-8")  # of lone surrogates
        return self._engine.isinstance_python(clean)


@cache
def pattern_of(text: str) -> Pattern:
    """The pattern of an expression, made once; takes and raises what `Pattern` does."""
    return Pattern(text)


def _why(message: str) -> str:
    lines = [line.strip() for line in message.splitlines()]
    found = next((line for line in lines if line.startswith("error:")), lines[-1])
    return found.removeprefix("error:").removeprefix("SchemaError:").strip()
