from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from scipy import ndimage

from model_store.errors import DataError
from model_store.evaluation.lpips import FEATURES, HEADS, Lpips
from tests import NO_PACKAGE

Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def weights(shared_data: Path) -> Path:
    folder = shared_data.parent / "weights"
    if not any((folder / name).exists() for name in FEATURES):
        pytest.skip(f"{NO_PACKAGE}: weights of LPIPS")
    return folder


@pytest.fixture(scope="module")
def lpips(weights: Path) -> Lpips:
    return Lpips(weights)


def _pattern() -> Floats:
    y, x = np.mgrid[0:64, 0:64].astype(np.float32)
    clean: Floats = (0.5 + 0.25 * np.sin(x / 5) + 0.2 * np.cos(y / 9)).astype(np.float32)
    return clean


def _grain() -> Floats:
    y, x = np.mgrid[0:64, 0:64]
    grain: Floats = np.where((x * 7 + y * 13) % 5 < 2, 0.1, -0.1).astype(np.float32)
    return grain


def test_agrees_with_the_reference_implementation(lpips: Lpips) -> None:
    # pinned: what the authors' package (lpips 0.1.4, net "alex") gives for these images with the
    # same weights; its example photographs are not at hand
    clean = _pattern()
    assert lpips(clean + _grain(), clean) == pytest.approx(0.754411, abs=2e-5)
    assert lpips(ndimage.gaussian_filter(clean, 2), clean) == pytest.approx(0.002589, abs=2e-6)


def test_is_a_distance(lpips: Lpips) -> None:
    clean = _pattern()
    noisy = clean + _grain()
    assert lpips(clean, clean) == 0
    assert lpips(noisy, clean) == pytest.approx(lpips(clean, noisy))
    assert lpips(clean + 0.3 * _grain(), clean) < lpips(noisy, clean)


def test_shapes_must_agree_and_be_large_enough(lpips: Lpips) -> None:
    with pytest.raises(DataError, match="one shape"):
        lpips(_pattern(), _pattern()[1:])
    with pytest.raises(DataError, match="32 x 32"):
        lpips(_pattern()[:20], _pattern()[:20])


def test_published_files_are_taken_by_what_they_hold(weights: Path, tmp_path: Path) -> None:
    for names, more in ((FEATURES, "classifier.6.bias"), (HEADS, "more")):
        held = load_file(next(path for name in names if (path := weights / name).exists()))
        torch.save({**held, more: torch.zeros(3)}, tmp_path / names[0])
    found = Lpips.where(tmp_path)
    assert found is not None
    clean = _pattern()
    assert found(clean + _grain(), clean) == Lpips(weights)(clean + _grain(), clean)


@pytest.mark.parametrize("names", [FEATURES, HEADS])
def test_other_weights_are_refused(names: tuple[str, ...], weights: Path, tmp_path: Path) -> None:
    for each in (FEATURES, HEADS):
        held = load_file(next(path for name in each if (path := weights / name).exists()))
        if each is names:
            held[min(held)][0] += 1e-3
        torch.save(held, tmp_path / each[0])
    with pytest.raises(DataError, match="not the weights that LPIPS is defined by"):
        Lpips(tmp_path)


def test_missing_and_damaged_weights_say_what_to_get(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"takes alexnet-owt-7be5be79\.pth or "):
        Lpips(tmp_path)
    assert Lpips.where(tmp_path) is None
    assert Lpips.where(None) is None
    for names in (FEATURES, HEADS):
        (tmp_path / names[0]).write_bytes(b"something else")
    with pytest.raises(DataError, match="not readable"):
        Lpips(tmp_path)
