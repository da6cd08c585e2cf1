from __future__ import annotations

import pytest

from tests.support.direct import service
from workers.direct.service import Service


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Service:
    return service(tmp_path_factory.mktemp("toys"))
