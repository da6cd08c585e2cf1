from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from model_store.store import ModelVersion
from model_store.trust.key import PrivateKey
from model_store.trust.signature import sign
from model_store.trust.store import TrustStore
from tests.support.factories.models import convolutions, model_version
from tests.support.factories.released import key_pair

DAY = date(2026, 1, 2)


@dataclass(frozen=True)
class Signed:
    """A signed version in a store, its key and a trust store that has it."""

    version: ModelVersion
    key: PrivateKey
    trust: TrustStore
    store: Path
    keys: Path


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    store, keys = tmp_path / "store", tmp_path / "keys"
    network = convolutions().SerializeToString()
    folder = store / "toy-ct" / "1.0.0"
    files = {"model.onnx": hashlib.sha256(network).hexdigest()}
    more = {"card.md": b"# A card\n", "weights.safetensors": bytes(range(64))}
    files |= {name: hashlib.sha256(data).hexdigest() for name, data in more.items()}
    version = model_version(store, network=network, files=files)
    for name, data in more.items():
        (folder / name).write_bytes(data)
    key = key_pair(keys, "site")
    sign(version, key)
    return Signed(version, key, TrustStore(keys), store, keys)
