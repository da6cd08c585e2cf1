from __future__ import annotations

import platform
import sys

import pytest

from model_store.engines.tensorrt.library import TensorrtLibrary, load_library
from model_store.errors import EngineUnavailableError
from tests import NO_PACKAGE


@pytest.fixture
def library() -> TensorrtLibrary:
    """A TensorRT that builds without a GPU; where it is to be installed, it must be there."""
    try:
        return load_library()
    except EngineUnavailableError as error:
        here = sys.platform == "linux" and platform.machine() == "x86_64"
        pytest.skip(str(error) if here else f"{NO_PACKAGE} for this machine: {error}")
