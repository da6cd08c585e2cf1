"""A network that was trained elsewhere becomes a version in one command, or it is said why not."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from typer.testing import CliRunner, Result

from model_store.adoption import adopt as adopting
from model_store.cli import app
from model_store.engines.equivalence import certify
from model_store.engines.golden import golden_outputs
from model_store.engines.openvino import OpenVinoEngine
from model_store.store import ModelVersion
from model_store.trust.signature import sign
from tests.support.factories.models import convolutions, model_version
from tests.support.factories.released import key_pair

foreign = pytest.importorskip("tests.support.factories.foreign")

STATED = {
    "--name": "theirs", "--version": "1.0.0", "--licence": "MIT", "--intended-use": "Trials.",
    "--training-data": "Their hospital.", "--noise": "white", "--noise-min": "5",
    "--noise-max": "50", "--limits": "Children were not seen.",
}  # fmt: skip


def _adopt(
    root: Path, data: bytes, *more: str, like: str = "drunet-ct@1.2.0", said: str | None = None,
    **changed: str | None,
) -> Result:  # fmt: skip
    file = root / "Their Net.onnx"
    file.write_bytes(data)
    stated = STATED | {f"--{key.replace('_', '-')}": value for key, value in changed.items()}
    options = [part for key, value in stated.items() if value is not None for part in (key, value)]
    command = ["adopt", str(file), "--like", like, "--zoo", str(root / "zoo"), *options, *more]
    return CliRunner().invoke(app, command, input=said, env={"COLUMNS": "200"})


def _version(root: Path, name: str = "theirs") -> ModelVersion:
    return ModelVersion.open(root / "zoo" / name / "1.0.0")


@pytest.mark.parametrize(
    ("kind", "stride", "margin"),
    [
        ("gelu", 1, 3), ("layer norm", 1, 3), ("window attention", 8, 9), ("pixel shuffle", 2, 5),
        ("unet", 2, 5), ("pads itself", 4, 5),
    ],
)  # fmt: skip
def test_each_kind_is_measured_and_runs_on_the_nodes_engine_as_its_reference_says(
    kind: str, stride: int, margin: int, tmp_path: Path
) -> None:
    done = _adopt(tmp_path, foreign.foreign(kind))
    assert done.exit_code == 0, done.output
    version = _version(tmp_path)
    manifest = version.manifest
    assert (manifest.tiling.stride, manifest.tiling.margin) == (stride, margin)
    assert (manifest.output, manifest.reference, manifest.strength) == ("image", "onnxruntime", 0.5)
    version.verify()
    golden = golden_outputs(version)
    assert golden is not None
    with OpenVinoEngine(version, "f32", 1) as engine:
        assert certify(version, engine, 0.1).passed
    card = (version.folder / "card.md").read_text()
    assert "Trained elsewhere and adopted from `Their Net.onnx`" in card
    assert "Children were not seen." in card
    sign(version, key := key_pair(tmp_path / "keys"))
    trust = ["--zoo", str(tmp_path / "zoo"), "--trust", str(_trusted(tmp_path, key))]
    verified = CliRunner().invoke(app, ["verify", "theirs@1.0.0", "--run", *trust])
    assert verified.exit_code == 0, verified.output


def _trusted(root: Path, key: Any) -> Path:
    folder = root / "trust"
    folder.mkdir()
    for file in (root / "keys").glob("*.pub"):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_whether_it_gives_the_image_or_the_change_is_seen(tmp_path: Path) -> None:
    assert _adopt(tmp_path, foreign.foreign("plain", residual=True)).exit_code == 0
    assert _version(tmp_path).manifest.output == "residual"
    said = _adopt(tmp_path, foreign.foreign("plain"), "--output", "residual", name="other")
    assert said.exit_code == 1
    assert "said to give 'residual'" in said.output


def test_a_dry_run_says_what_was_found_and_writes_nothing(tmp_path: Path) -> None:
    done = _adopt(tmp_path, foreign.foreign("plain"), "--dry-run")
    assert done.exit_code == 0, done.output
    for found in ("image: [N, 1, H, W]", "Conv 2", "multiples of 1", "2 pixels", "(HU + 0) / 1024"):
        assert found in done.output
    assert not (tmp_path / "zoo").exists()


def test_nothing_is_guessed_where_nobody_can_be_asked(tmp_path: Path) -> None:
    done = _adopt(tmp_path, foreign.foreign("plain"), licence=None, limits=None, noise_max=None)
    assert done.exit_code == 2
    for option in ("--licence", "--limits", "--noise-max"):
        assert option in done.output
    assert not (tmp_path / "zoo").exists()
    assert _adopt(tmp_path, foreign.foreign("plain"), licence=" ").exit_code == 2


def test_a_person_is_asked_what_no_option_says(tmp_path: Path) -> None:
    said = "\n".join(["", "", "Trials.", "Theirs.", "white", "much", "5", "50", "None.", "MIT", ""])
    nothing: dict[str, Any] = dict.fromkeys(key[2:].replace("-", "_") for key in STATED)
    done = _adopt(tmp_path, foreign.foreign("plain"), "--ask", said=said, **nothing)
    assert done.exit_code == 0, done.output
    version = _version(tmp_path, "their-net")
    assert version.manifest.trained_noise.maximum_sd == 50
    assert version.manifest.licence == "MIT"


def _model(change: Any) -> bytes:
    model = onnx.load(io.BytesIO(foreign.foreign("plain")))
    change(model)
    return bytes(model.SerializeToString())


def _outside(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    model.graph.initializer[0].external_data.add(key="location", value="weights.bin")


def _no_number(model: onnx.ModelProto) -> None:
    weights = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weights[0] = np.nan
    model.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(weights, model.graph.initializer[0].name)
    )


def _half(model: onnx.ModelProto) -> None:
    weights = numpy_helper.to_array(model.graph.initializer[0]).astype(np.float16)
    model.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(weights, model.graph.initializer[0].name)
    )


def _two_outputs(model: onnx.ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("more", 1, ["n", 1, "h", "w"]))


def _two_inputs(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("sigma", 1, ["n", 1, 1, 1]))


REFUSED: dict[str, tuple[Any, str]] = {
    "no ONNX": (lambda: b"PK\x03\x04 a zip", "not an ONNX file"),
    "nothing": (lambda: b"", "IR version 0"),
    "weights beside it": (lambda: _model(_outside), "is in another file"),
    "weights that are no numbers": (lambda: _model(_no_number), "not finite"),
    "float16": (lambda: _model(_half), "float16; convert the model to float32"),
    "two outputs": (lambda: _model(_two_outputs), "2 outputs"),
    "two inputs": (lambda: _model(_two_inputs), r"2 inputs \(image, sigma\)"),
    "an operator set that is too new": (
        lambda: _model(lambda m: setattr(m.opset_import[0], "version", 30)), "13 to 21"
    ),
    "an operator set that is too old": (
        lambda: _model(lambda m: setattr(m.opset_import[0], "version", 9)), "13 to 21"
    ),
    "fixed sizes": (
        lambda: foreign.onnx_bytes(foreign.network("plain"), free=False, size=(1, 1, 256, 256)),
        "free N, H and W.*dynamic_axes",
    ),
    "a fixed batch": (
        lambda: foreign.onnx_bytes(
            foreign.network("plain"), size=(1, 1, 64, 64),
            dynamic_axes={"image": {2: "h", 3: "w"}, "denoised": {2: "h", 3: "w"}},
        ),
        "free N, H and W",
    ),
    "colour": (
        lambda: foreign.onnx_bytes(foreign.convolution(3, 3).eval(), size=(2, 3, 64, 64)),
        r"\['free', 3, 'free', 'free'\]",
    ),
    "a border that is cropped": (lambda: foreign.foreign("crops its border"), "4 rows"),
    "the mean of the image": (lambda: foreign.foreign("channel attention"), "whole image"),
    "weights that do anything": (
        lambda: foreign.foreign("plain", strength=3.0), "does not show"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_used_is_refused_with_the_reason_and_leaves_nothing(
    what: str, tmp_path: Path
) -> None:
    make, words = REFUSED[what]
    done = _adopt(tmp_path, make())
    assert done.exit_code == 1, done.output
    assert re.search(words, " ".join(done.output.split())), done.output
    assert not list(tmp_path.glob("zoo/*/*"))


def test_a_network_of_radiographs_is_not_taken_for_one_of_ct(tmp_path: Path) -> None:
    class Grey(foreign.torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return x.clamp(0, 1) + 0.001 * self.conv(x)

        def __init__(self) -> None:
            super().__init__()
            self.conv = foreign.convolution(1, 1)

    data = foreign.onnx_bytes(Grey().eval())
    done = _adopt(tmp_path, data, "--output", "image")
    assert done.exit_code == 1
    assert "normalisation" in done.output
    noise = {"noise_min": "0.01", "noise_max": "0.05"}
    assert _adopt(tmp_path, data, like="n2n-unet-xray@1.0.0", **noise).exit_code == 0
    said = _adopt(tmp_path, data, "--modality", "DX", name="dx")
    assert "do not go together" in " ".join(said.output.split())


def test_names_that_are_taken_are_refused_before_anything_is_run(tmp_path: Path) -> None:
    data = foreign.foreign("plain")
    assert "trained from a recipe" in _adopt(tmp_path, data, name="drunet-ct").output
    model_version(tmp_path / "zoo", "own-ct", "0.9.0")
    assert "trained from a recipe" in _adopt(tmp_path, data, name="own-ct").output
    assert _adopt(tmp_path, data).exit_code == 0
    before = (tmp_path / "zoo/theirs/1.0.0/manifest.json").read_bytes()
    again = _adopt(tmp_path, foreign.foreign("gelu"))
    assert again.exit_code == 1
    assert "a version never changes" in " ".join(again.output.split())
    assert (tmp_path / "zoo/theirs/1.0.0/manifest.json").read_bytes() == before
    assert _adopt(tmp_path, data, name="NO NAME").exit_code == 1
    assert _adopt(tmp_path, data, like="nobody@1.0.0").exit_code == 1


def test_an_interruption_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    for place in ("check_behaviour", "render_card"):
        with monkeypatch.context() as patch:
            patch.setattr(adopting, place, interrupted)
            assert _adopt(tmp_path, foreign.foreign("plain")).exit_code != 0
            assert not list(tmp_path.glob("zoo/*/*"))
    assert _adopt(tmp_path, foreign.foreign("plain")).exit_code == 0


def test_convolutions_whose_margin_is_stated_too_small_are_refused_with_the_figure(
    tmp_path: Path,
) -> None:
    done = _adopt(tmp_path, convolutions(amplitude=0.003).SerializeToString(), "--margin", "1")
    assert done.exit_code == 1
    assert "margin of 1 change a pixel by" in " ".join(done.output.split())
