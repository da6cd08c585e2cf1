"""A node that made results, once for each file of tests, and a copy for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ledgers import Life
from tests.support.past import Past, copy_of, made_in


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    life = made_in(tmp_path_factory.mktemp("made"))
    yield life
    life.close()


@pytest.fixture
def was(made: Life, tmp_path: Path) -> Iterator[Past]:
    past = copy_of(made, tmp_path)
    yield past
    past.node.ledger.engine.dispose()
