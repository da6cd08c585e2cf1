"""Toy models for CT and radiographs, and images as files, for what is denoised without a node."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dicom_node.settings import Settings
from tests.support.factories.models import STORED, convolutions, model_version
from tests.support.factories.parts import chest
from workers.direct.service import Service

CT, XRAY = "toy-ct@1.0.0", "toy-xray@1.0.0"


def settings(folder: Path, **sections: Any) -> Settings:
    """Of a site that has the toys, which are made where they are not."""
    models = folder / "models"
    if not models.exists():
        model_version(models)
        model_version(
            models, "toy-xray", input_spec=STORED, network=convolutions(1),
            modality=("DX", "CR", "XA"),
        )  # fmt: skip
    tree: dict[str, Any] = {
        "storage": {"path": folder / "spool"},
        "models": {"path": str(models), "unsigned": "accept"},
        "workers": {"engine": "onnxruntime", "threads": 1},
    }
    return Settings(**(tree | sections))


def node_toml(folder: Path, more: str = "") -> Path:
    """The same as a file."""
    tree = settings(folder)
    path = folder / "node.toml"
    path.write_text(
        f'[storage]\npath = "{tree.storage.path}"\n'
        f'[models]\npath = "{tree.models.path}"\nunsigned = "accept"\n'
        f'[workers]\nengine = "onnxruntime"\nthreads = 1\n{more}',
        encoding="utf-8",
    )
    return path


def service(folder: Path) -> Service:
    return Service(settings(folder))


def grey(bits: int, size: tuple[int, int] = (40, 48), seed: int = 0) -> NDArray[Any]:
    """A chest of `bits` bits, whose largest value uses the highest of them."""
    top = 2**bits - 1
    values = np.clip(np.rint(chest(size, seed) * top), 0, top)
    values[0, 0] = top
    return values.astype(np.uint8 if bits == 8 else np.uint16)


def picture(image: NDArray[Any] | Image.Image, kind: str, **how: Any) -> bytes:
    """A file of Pillow's with these values."""
    stream = BytesIO()
    made = image if isinstance(image, Image.Image) else Image.fromarray(image)
    made.save(stream, kind, **how)
    return stream.getvalue()


def values_of(data: bytes) -> NDArray[Any]:
    with Image.open(BytesIO(data)) as opened:
        return np.asarray(opened)
