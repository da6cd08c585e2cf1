"""A pipeline around fakes; and a node that made results, of which each test gets a copy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.denoising import ONE_ROUTE, FakeDenoisers, pipeline_of
from tests.support.ledgers import Life
from tests.support.past import Past, copy_of, made_in
from workers.pipeline import Pipeline


@pytest.fixture
def tree() -> dict[str, Any]:
    """Settings of `life`."""
    return ONE_ROUTE


@pytest.fixture
def life(tmp_path: Path, tree: dict[str, Any]) -> Iterator[Life]:
    life = Life(tmp_path / "node", tree=tree)
    life.associate()
    yield life
    life.close()


@pytest.fixture
def denoisers() -> FakeDenoisers:
    return FakeDenoisers()


@pytest.fixture
def pipeline(life: Life, denoisers: FakeDenoisers) -> Pipeline:
    return pipeline_of(life, denoisers)


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
