"""A site for the tests of models, of starting and of checks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.spool.spool import Spool
from tests.support.site import Site


@pytest.fixture(scope="module")
def spool_of_site(tmp_path_factory: pytest.TempPathFactory) -> Spool:
    """One for all tests: to make and remove its folders takes longer than most of them."""
    return Spool(tmp_path_factory.mktemp("spool"))


@pytest.fixture
def site(tmp_path: Path, spool_of_site: Spool) -> Iterator[Site]:
    site = Site.made(tmp_path, spool_of_site)
    yield site
    site.life.close()
