"""A node does not start with what it may not run, and starts with what it can go without."""

from __future__ import annotations

import pytest

from dicom_node.errors import ConfigError
from dicom_node.startup import require_model, require_startable
from tests.support.site import ALIAS, OLD, Site

# --- start ---------------------------------------------------------------------------------------


def test_a_node_does_not_start_with_a_model_of_nobody_trusted(site: Site) -> None:
    site.move(OLD, None)
    with pytest.raises(ConfigError, match=r"(?s)route 'ct'.*not trusted"):
        require_startable(site.life.settings, site.models(trust=None))


def test_a_node_starts_and_receives_though_a_model_was_changed(site: Site) -> None:
    site.move(OLD, None)
    models = site.models()
    site.spoil(OLD)
    require_startable(site.life.settings, models)
    with pytest.raises(ConfigError, match="quarantine"):
        require_model(models, str(ALIAS))
