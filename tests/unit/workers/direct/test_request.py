"""What is asked for is complete and sensible, or refused; a route fills in what is not said."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from dicom_node.domain.route import Output
from dicom_node.errors import ConfigError
from dicom_node.settings import Settings
from model_store.ref import ModelName
from tests.support.direct import settings
from workers.direct.request import Request, hounsfield
from workers.load import Rescale

ROUTE = {
    "name": "ct", "model": "toy-ct@1.0.0", "strength": 0.25, "output": "derived",
    "destinations": ["pacs"], "series_description": "soft", "series_number": "77",
}  # fmt: skip


@pytest.fixture
def site(tmp_path: Path) -> Settings:
    pacs = [{"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1"}]
    return settings(tmp_path, destinations=pacs, routes=[ROUTE])


def test_two_grey_values_say_what_all_are_in_hu() -> None:
    assert hounsfield("0=-1024,4095=3071") == Rescale(1.0, -1024.0)
    assert hounsfield("10=100, 20=0") == Rescale(-10.0, 200.0)


@pytest.mark.parametrize(
    "text", ["", "1", "0=1", "0=1,2", "0=1,2=3,4=5", "a=1,2=3", "0=1,0=3", "0=5,9=5", "0=nan,1=2",
             "0=1,inf=2"],
)  # fmt: skip
def test_anything_else_is_no_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"0=-1024,4095=3071|finite|twice"):
        hounsfield(text)


@pytest.mark.parametrize(
    "changes",
    [{"strength": math.nan}, {"strength": 1.1}, {"strength": -0.1}, {"bits": 7}, {"bits": 17},
     {"at": datetime(2026, 1, 2)}],
)  # fmt: skip
def test_what_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"strength|bits|zone"):
        Request(**changes)


def test_a_route_is_made_as_it_stands(site: Settings) -> None:
    asked = Request.of_route(site, "ct")
    assert asked.rule("HU") == replaced(site)
    assert asked.rule("stored").model == ModelName("toy-ct", "1.0.0")


def replaced(site: Settings) -> object:
    """The route without what decides where results go, and what takes images."""
    (route,) = site.domain_routes()
    return type(route)(route.name, (), route.model, route.strength, route.output, (), "soft", "77")


def test_what_is_said_counts_more_than_the_route(site: Settings) -> None:
    asked = Request.of_route(site, "ct", strength=0.0, output=Output.SECONDARY_CAPTURE, model=None)
    assert (asked.strength, asked.output) == (0.0, Output.SECONDARY_CAPTURE)
    assert asked.model == ModelName("toy-ct", "1.0.0")


def test_a_route_that_is_not_there_is_named_with_those_that_are(site: Settings) -> None:
    with pytest.raises(ConfigError, match="no route 'xray'; there is ct"):
        Request.of_route(site, "xray")


def test_without_routes_a_name_is_only_a_name(tmp_path: Path) -> None:
    site = settings(tmp_path)
    assert Request.of_route(site, "ct").rule("HU").name == "ct"
    assert Request.of_route(site, None).rule("HU").name == "command-line"
    with pytest.raises(ConfigError, match="1 to 63"):
        Request.of_route(site, "a b")


def test_the_default_model_is_that_of_the_kind_of_image() -> None:
    assert Request().rule("HU").model == ModelName("ct-default", "production")
    assert Request().rule("stored").model == ModelName("xray-default", "production")
