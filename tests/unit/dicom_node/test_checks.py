"""A check says of every model who vouches for it."""

from __future__ import annotations

from dicom_node.checks import look
from tests.support.site import ALIAS, NEW, OLD, Site


def test_check_says_who_signed_and_what_is_not_used(site: Site) -> None:
    site.move(OLD, None)
    site.spoil(NEW)
    findings = {each.what: each for each in look(site.life.settings, destinations=False)}
    assert findings["models"].ok
    assert "1 trusted key" in findings["models"].message
    assert f"not used: {NEW}" in findings["models"].message
    said = findings[f"model {ALIAS}"]
    assert said.ok
    assert f"signed by The site ({site.key.id})" in said.message
