"""Destinations, and what each has not taken."""

from __future__ import annotations

from tests.support.ledgers import Life
from tests.unit.dicom_node.cli.shell import Shell


def test_a_removed_destination_is_still_listed(shell: Shell, busy: Life) -> None:
    config = shell.config.read_text(encoding="utf-8")
    shell.config.write_text(
        config.replace('"archive"', '"other"').replace('["pacs", "other"]', '["pacs"]'),
        encoding="utf-8",
    )
    rows = {row["destination"]: row for row in shell.json("destination", "list")}
    assert rows["archive"]["address"] == "(removed)"
    assert rows["archive"]["failed"] == 3
