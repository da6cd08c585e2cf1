"""A node on disk and the commands on it, as an administrator types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlalchemy import text
from typer.testing import CliRunner, Result

from dicom_node.cli.model.app import app
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.models import Models
from dicom_node.settings import load
from model_store.ref import ModelName
from model_store.store import ModelVersion
from tests.support.factories.released import key_pair, released
from tests.support.ledgers import fresh_url, open_ledger

CONFIG = """
[storage]
path = "{folder}/spool"
[models]
trust = "{folder}/keys"
{models}
[workers]
engine = "onnxruntime"
threads = 1
[[destinations]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
[[routes]]
name = "ct"
when = {{ Modality = "CT" }}
model = "toy-ct@production"
destinations = ["pacs"]
{more}
"""


class Shell:
    """Runs commands on one configuration; a vendor's key is trusted there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "node.toml"
        self.key = key_pair(folder / "keys")
        self.configure()
        self.ledger: Ledger = open_ledger(fresh_url(folder / "spool"))

    def configure(self, models: str = "", more: str = "") -> None:
        text = CONFIG.format(folder=self.folder, models=models, more=more)
        self.config.write_text(text, encoding="utf-8")

    def run(self, *words: str) -> Result:
        result = CliRunner(env={"COLUMNS": "300"}).invoke(
            app, [*words, "--config", str(self.config)]
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def ok(self, *words: str) -> str:
        result = self.run(*words)
        assert result.exit_code == 0, result.stdout + result.stderr
        return " ".join(result.stdout.split())

    def refused(self, *words: str, code: int = 3) -> str:
        result = self.run(*words)
        assert result.exit_code == code, result.stdout + result.stderr
        return " ".join((result.stdout + result.stderr).split())

    def json(self, *words: str, code: int = 0) -> Any:
        result = self.run(*words, "--json")
        assert result.exit_code == code, result.stdout + result.stderr
        return json.loads(result.stdout)

    def vendor(self, version: str = "1.0.0", *, signed: bool = True, **how: Any) -> ModelVersion:
        """A version in the vendor's own folder."""
        key = self.key if signed else None
        return released(self.folder / "vendor", "toy-ct", version, key=key, **how)

    def added(self, version: str = "1.0.0", **how: Any) -> ModelName:
        made = self.vendor(version, **how)
        self.ok("add", str(made.folder))
        return ModelName("toy-ct", version)

    def events(self, event: str) -> list[dict[str, Any]]:
        """Details of these audit events, oldest first."""
        with self.ledger.read() as session:
            statement = text("SELECT detail FROM audit WHERE event = :e ORDER BY id")
            return [json.loads(row[0]) for row in session.execute(statement, {"e": event})]

    def models(self) -> Models:
        """As a node that starts sees them."""
        return Models.open(load(self.config), self.ledger)

    @property
    def store(self) -> Path:
        return self.folder / "spool" / "models"

    def standing(self, alias: str = "toy-ct@production") -> str | None:
        rows = self.json("list")
        return next((row["version"] for row in rows if alias in row["aliases"].split(", ")), None)
