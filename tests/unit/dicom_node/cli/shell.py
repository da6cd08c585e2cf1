"""Commands on one configuration, as typed, and images whose patient no output names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from dicom_node.cli import app
from tests.support.factories import ct_slice, to_bytes
from tests.support.ledgers import Life

MARKERS = ("MARKER", "19010203")
PATIENT = {
    "PatientName": "PHI^MARKER", "PatientID": "PHI-MARKER", "PatientBirthDate": "19010203",
    "AccessionNumber": "MARKER", "StudyDescription": "MARKER", "SeriesDescription": "MARKER",
    "ReferringPhysicianName": "MARKER^DR", "InstitutionName": "MARKER", "StudyID": "MARKER",
    "OtherPatientIDs": "MARKER", "PatientComments": "MARKER",
}  # fmt: skip
CONFIG = """
[storage]
path = "{folder}"
[log]
format = "json"
[[destinations]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
[[destinations]]
name = "archive"
ae_title = "ARCHIVE"
host = "127.0.0.1"
[[routes]]
name = "ct"
when = {{ Modality = "CT", SeriesDescription = {{ regex = "[XYZ]|[/]", not = true }} }}
model = "toy@1.0.0"
destinations = ["pacs", "archive"]
"""


class Shell:
    """Runs commands on one configuration."""

    def __init__(self, config: Path) -> None:
        self.config = config

    def run(self, *arguments: str) -> Result:
        result = CliRunner(env={"COLUMNS": "300"}).invoke(
            app, [*arguments, "--config", str(self.config)]
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert not any(marker in result.stdout + result.stderr for marker in MARKERS)
        return result

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0
        return json.loads(result.stdout)


def receive(life: Life, numbers: Sequence[int], **attributes: Any) -> None:
    for number in numbers:
        uid = f"1.2.4.{number}"
        values = PATIENT | {
            "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.4", "SOPInstanceUID": uid,
        } | attributes  # fmt: skip
        life.receive(uid, data=to_bytes(ct_slice(size=(4, 4), **values)))
