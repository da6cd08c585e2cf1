"""From an ONNX file of somebody else to a model version: checked, measured, and written whole."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from model_store.adoption.facts import Answers, Found
from model_store.adoption.measuring import (
    measure_reach,
    measure_stride,
    measure_tiling,
    output_of,
)
from model_store.adoption.network import ForeignNetwork
from model_store.engines.behaviour import check_behaviour
from model_store.engines.golden import GOLDEN, Golden, golden_images
from model_store.engines.onnxruntime import OnnxRuntimeEngine
from model_store.engines.tiles import tile_difference
from model_store.errors import (
    BehaviourError,
    ContentError,
    GraphError,
    ManifestError,
    VersionTakenError,
)
from model_store.evaluation.card import render_card
from model_store.file_names import CARD, MANIFEST, ONNX
from model_store.folder_content import FolderContent
from model_store.graph import LARGEST_FILE, Graph, check_graph
from model_store.manifest import ADOPTED, Manifest, TilingSpec
from model_store.store import ModelStore, ModelVersion, packaged_zoo
from model_store.version_files import VersionFiles


def read_network(path: Path) -> bytes:
    """Read a foreign ONNX file.

    Raises
    ------
    ContentError
        If it cannot be read.
    GraphError
        If it is too large.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise GraphError(f"{path} has more than {LARGEST_FILE >> 20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise ContentError(f"{path} cannot be read: {error.strerror or error}") from error


def refuse_taken(answers: Answers, zoo: Path) -> None:
    """Make sure that a name and version are free, and the name not that of something else.

    Raises
    ------
    VersionTakenError
        If not.
    """
    taken = f"{answers.name}@{answers.version}"
    if (zoo / answers.name / answers.version).exists():
        raise VersionTakenError(
            f"{taken} is in {zoo}: a version never changes; adopt this one under a new number"
        )
    own = zoo.resolve() == packaged_zoo().resolve()
    roots = () if own or not zoo.is_dir() else (zoo,)
    for other in ModelStore(more=roots).versions():
        if other.ref.name != answers.name:
            continue
        if other.manifest.adopted is None:
            raise VersionTakenError(
                f"{answers.name} is the name of {other.ref}, which was trained from a recipe: give "
                "the network a name of its own"
            )
        if other.manifest.input.units != answers.input.units:
            raise VersionTakenError(
                f"{answers.name} is the name of {other.ref}, which is for "
                f"{', '.join(other.manifest.modality)}: give the network a name of its own"
            )


def look(
    data: bytes, answers: Answers, threads: int = 0, tell: Callable[[str], object] = str
) -> tuple[Found, Manifest]:
    """Find out what a network shows of itself, and put it into a manifest.

    Parameters
    ----------
    data : bytes
        The ONNX file.
    answers : Answers
        What only a person can say.
    threads : int
        Processor threads; 0 leaves the choice to ONNX Runtime.
    tell : callable
        Told what is being done.

    Raises
    ------
    GraphError
        If it is not of the kind that an engine may be given.
    EngineError
        If ONNX Runtime cannot run it.
    BehaviourError
        If it takes no size, depends on the whole image, or does not show what it gives.
    ManifestError
        If the answers make no manifest.
    """
    tell("looking through the file")
    graph = check_graph(data)
    network = ForeignNetwork(data, threads)
    tell("stride")
    stride = answers.stride or measure_stride(network)
    manifest = _manifest(data, answers, graph, TilingSpec(margin=0, stride=stride))
    tell("what it gives")
    shown = output_of(network, manifest)
    if shown is None and answers.output is None:
        raise BehaviourError(
            "whether it gives the denoised image or what is to be added does not show on test "
            "images: say which (--output), if the normalisation is the one that it was trained with"
        )
    if None not in (shown, answers.output) and shown != answers.output:
        raise BehaviourError(
            f"it was said to give {answers.output!r}, but what it gives is close to "
            f"{'the image' if shown == 'image' else 'zero'}: output or normalisation are not those "
            "of the network"
        )
    output = answers.output or shown or "image"
    tell("reach")
    low, high = float(golden_images(manifest).min()), float(golden_images(manifest).max())
    reach = measure_reach(network, stride, low, high)
    tell("tiles")
    tiling = (
        measure_tiling(network, manifest, stride, reach)
        if answers.margin is None
        else TilingSpec(margin=answers.margin, stride=stride)
    )
    manifest = manifest.model_copy(update={"tiling": tiling, "output": output})
    difference = tile_difference(network.run, manifest)
    return Found(graph, stride, reach, tiling, output, difference, network.library), manifest


def adopt(
    data: bytes,
    found: Found,
    manifest: Manifest,
    zoo: Path,
    *,
    source: str,
    like: str,
    limits: str,
) -> Path:
    """Write a version whole, or not at all: graph, golden outputs, card and manifest.

    It is run before, and held against its manifest as a node does it.

    Parameters
    ----------
    data : bytes
        The ONNX file.
    found, manifest
        As `look` gives them.
    zoo : Path
        Folder of model versions.
    source, like : str
        Name of the file, and of the version whose input it takes; for the manifest.
    limits : str
        Where it should not be used, for the card.

    Returns
    -------
    Path
        Folder of the version.

    Raises
    ------
    BehaviourError
        If the network does something else than the manifest says.
    VersionTakenError, ContentError
        If the version cannot be added; nothing is left then.
    """
    manifest = manifest.model_copy(
        update={"metrics": {ADOPTED: found.entry(source, like, limits)}, "reference": "onnxruntime"}
    )
    with tempfile.TemporaryDirectory(prefix="adopt-") as place:
        folder = Path(place)
        golden = _golden(data, manifest, folder)
        files = {ONNX: data, GOLDEN: golden.encode()}
        files[CARD] = render_card(manifest, None).encode()
        digests = {name: hashlib.sha256(each).hexdigest() for name, each in files.items()}
        whole = Manifest.model_validate({**manifest.model_dump(), "files": digests})
        whole.write(folder / MANIFEST)
        files[MANIFEST] = (folder / MANIFEST).read_bytes()
    content = FolderContent(zoo)
    return content.put(VersionFiles.of(files, source)).folder


def _golden(data: bytes, manifest: Manifest, folder: Path) -> Golden:
    """What ONNX Runtime gives for the golden images, if it does what the manifest says."""
    (folder / ONNX).write_bytes(data)
    version = ModelVersion(manifest.ref, manifest, folder)
    images = golden_images(manifest)
    with OnnxRuntimeEngine(version) as engine:
        check_behaviour(engine, manifest)
        outputs = np.concatenate([engine.infer(image) for image in images[:, np.newaxis]])
    return Golden(images, outputs)


def _manifest(data: bytes, answers: Answers, graph: Graph, tiling: TilingSpec) -> Manifest:
    hounsfield = answers.input.units == "HU"
    if hounsfield != (tuple(answers.modality) == ("CT",)):
        raise ManifestError(
            f"modality {', '.join(answers.modality)} and input in "
            f"{'HU' if hounsfield else 'stored values'} do not go together: HU are for CT alone; "
            "name a version of the same kind of image with --like"
        )
    try:
        return Manifest(
            name=answers.name,
            version=answers.version,
            system="other",
            modality=tuple(answers.modality),
            body_parts=tuple(answers.body_parts),
            input=answers.input,
            tiling=tiling,
            trained_noise=answers.noise,
            onnx=ONNX,
            files={ONNX: hashlib.sha256(data).hexdigest()},
            parameters=graph.numbers,
            macs_per_pixel=graph.macs_per_pixel,
            intended_use=answers.intended_use,
            training_data=answers.training_data,
            licence=answers.licence,
            strength=answers.strength,
        )
    except ValueError as error:
        raise ManifestError(f"{answers.name}@{answers.version}: {error}") from error
