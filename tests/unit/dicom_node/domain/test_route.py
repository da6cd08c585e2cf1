from __future__ import annotations

import pytest

from dicom_node.domain.route import Output, Route
from model_store.ref import ModelName


def route(strength: float | None, output: Output = Output.DERIVED) -> Route:
    return Route("ct", (), ModelName("toy", "production"), strength, output, ("pacs",), "", "")


@pytest.mark.parametrize(
    ("stated", "recommended", "used"),
    [(None, 0.7, 0.7), (0.5, 0.7, 0.5), (0.0, 0.7, 0.0), (1.0, 0.7, 1.0), (None, 0.0, 0.0)],
)
def test_a_route_states_its_strength_or_takes_the_versions(
    stated: float | None, recommended: float, used: float
) -> None:
    assert route(stated).strength_with(recommended) == used


@pytest.mark.parametrize(
    ("strength", "text"),
    [
        (0.0, "0"), (1.0, "1"), (0.5, "0.5"), (0.85, "0.85"), (1 / 3, "0.333333"),
        (0.1234564, "0.123456"), (0.1234566, "0.123457"), (1e-7, "1e-07"),
    ],
)  # fmt: skip
def test_the_strength_that_is_used_is_the_one_that_uids_are_made_of(
    strength: float, text: str
) -> None:
    for stated, recommended in ((strength, 1.0), (None, strength)):
        one = route(stated)
        used = one.strength_with(recommended)
        assert one.parameters(used)["strength"] == text
        assert used == float(text)


@pytest.mark.parametrize("output", Output)
def test_the_form_is_a_parameter(output: Output) -> None:
    assert route(0.5, output).parameters(0.5) == {"strength": "0.5", "output": output.value}
