"""A good resend repairs a file that is gone, which is no error."""

from __future__ import annotations

from pathlib import Path

from structlog.testing import capture_logs

from tests.support.ledgers import Life


def test_a_repair_is_told_and_is_no_error(tmp_path: Path) -> None:
    life = Life(tmp_path / "node")
    life.associate()
    life.receive("1.2.4.1")
    for path in (life.folder / "instances").rglob("*.dcm"):
        path.unlink()
    with capture_logs() as lines:
        life.receive("1.2.4.1")
    (line,) = [line for line in lines if line["event"] == "instance.repaired"]
    assert (line["log_level"], line["sop_instance_uid"]) == ("warning", "1.2.4.1")
    life.close()
