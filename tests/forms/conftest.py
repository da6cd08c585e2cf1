"""A sandbox, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.forms.sandbox import Sandbox, missing


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A machine without anything of ours, for the tests of one form."""
    why = missing()
    if why is not None:
        pytest.skip(f"{why}; this form was not installed")
    with Sandbox() as made:
        yield made
