from __future__ import annotations

import os
import platform
import sys

import pytest

from model_store.engines.tensorrt.library import Library, load_library
from model_store.errors import EngineUnavailableError


@pytest.fixture
def library() -> Library:
    """A TensorRT that builds without a GPU; where it is to be installed, it must be there."""
    try:
        return load_library()
    except EngineUnavailableError as error:
        here = sys.platform == "linux" and platform.machine() == "x86_64"
        if here and os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
