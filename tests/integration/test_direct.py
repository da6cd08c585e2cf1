"""``dicom-node denoise`` makes what a node would send, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from dicom_node.settings import load
from tests.support.factories import ct_series, dx_image, enhanced_ct, multiframe, write
from tests.support.factories.dicom import BIG
from tests.support.factories.models import STORED, model_version, small_unet
from tests.support.node import RunningNode, done
from tests.support.pacs import FakePacs
from tests.support.scanner import send
from workers.direct.request import Request
from workers.direct.service import Service

ROUTES = (
    'name = "ct"\nwhen = { Modality = "CT" }\nmodel = "toy-ct@1.0.0"\nstrength = 0.7\n'
    'series_description = "{SeriesDescription} soft {strength}"\ndestinations = ["pacs"]',
    'name = "xray"\nwhen = { Modality = ["DX", "XA"] }\nmodel = "toy-xray@1.0.0"\n'
    'output = "derived"\ndestinations = ["pacs"]',
)


@pytest.fixture(scope="module")
def sent() -> list[Dataset]:
    return [
        *ct_series(2, size=(96, 80), InstitutionName="Hospital"),
        enhanced_ct(2, slopes=(1.0, 2.0), intercepts=(-1024.0, -1000.0)),
        dx_image(photometric="MONOCHROME1", bits_stored=14),
        dx_image(transfer_syntax=BIG, TimezoneOffsetFromUTC="+0530"),
        multiframe(2),
    ]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, sent: list[Dataset]) -> Iterator[RunningNode]:
    """A node that has denoised every image; what it delivered lies in ``results``."""
    folder = tmp_path_factory.mktemp("direct")
    models = folder / "models"
    model_version(models)
    model_version(
        models, "toy-xray", network=small_unet(), input_spec=STORED, modality=("DX", "XA"),
        strength=0.8,
    )  # fmt: skip
    node = RunningNode(folder / "node")
    with FakePacs() as pacs:
        node.configure(
            {"pacs": ("PACS", pacs.port)},
            ROUTES,
            f'[models]\npath = "{models}"\nunsigned = "accept"\n'
            '[results]\ninstitution_name = "Site"\nuid_root = "1.2.826.0.1.3680043.8.4"\n'
            '[workers]\nengine = "onnxruntime"\nthreads = 1\n',
        )
        node.start()
        assert set(send(sent, node.port, folder)) == {0}
        node.wait(done(len(sent)))
        (folder / "results").mkdir()
        for each in pacs.received:
            (folder / "results" / each.sop_instance_uid).write_bytes(each.data)
        (folder / "sent").mkdir()
        for image in sent:
            write(image, folder / "sent")
        yield node
    node.kill()


def delivered(node: RunningNode) -> dict[str, tuple[Dataset, bytes]]:
    """SOP Instance UID of a source to its result, read and as it was sent."""
    found: dict[str, tuple[Dataset, bytes]] = {}
    for path in (node.folder.parent / "results").iterdir():
        result = dcmread(path, force=True)
        source = result.SourceImageSequence[0].ReferencedSOPInstanceUID
        found[str(source)] = (result, path.read_bytes())
    return found


def data_set(data: bytes) -> bytes:
    """What C-STORE sends of a file: all behind its file meta information."""
    meta = dcmread(BytesIO(data), stop_before_pixels=True).file_meta
    return data[144 + meta.FileMetaInformationGroupLength :]


def planned_at(result: Dataset) -> datetime:
    return datetime.strptime(
        str(result.ContributingEquipmentSequence[-1].ContributionDateTime), "%Y%m%d%H%M%S%z"
    )


def test_every_object_gives_the_bytes_that_the_node_delivered(
    node: RunningNode, sent: list[Dataset]
) -> None:
    results = delivered(node)
    assert len(results) == len(sent)
    settings = load(node.config)
    service = Service(settings)
    for image in sent:
        result, data = results[image.SOPInstanceUID]
        route = "ct" if image.Modality == "CT" else "xray"
        asked = Request.of_route(settings, route, at=planned_at(result))
        file = node.folder.parent / "sent" / f"{image.SOPInstanceUID}.dcm"
        made = service.denoise(file.read_bytes(), asked)
        assert data_set(made.data) == data, image.SOPClassUID
        assert made.series_uid == result.SeriesInstanceUID


def test_the_command_gives_them_too(node: RunningNode, sent: list[Dataset], tmp_path: Path) -> None:
    result, data = delivered(node)[sent[0].SOPInstanceUID]
    source = node.folder.parent / "sent" / f"{sent[0].SOPInstanceUID}.dcm"
    said = node.command(
        "denoise", str(source), "-o", f"{tmp_path}/", "--route", "ct", "--json",
        "--at", planned_at(result).isoformat(),
    )  # fmt: skip
    (row,) = json.loads(said)
    assert data_set(Path(row["result"]).read_bytes()) == data
    assert row["series_uid"] == result.SeriesInstanceUID
    assert row["strength"] == 0.7
