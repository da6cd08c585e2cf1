from __future__ import annotations

import pytest

from model_store.errors import RecipeError
from model_store.generators.sections import (
    DrlCascadeSection,
    GeneratorSection,
    SharpXrSection,
    read_generator,
)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            'system = "drl-cascade"\nlevels = 3\nblend = 0.7',
            DrlCascadeSection(system="drl-cascade", levels=3, blend=0.7),
        ),
        (
            'system = "sharpxr"\nwidths = [64, 128]\ndual = true',
            SharpXrSection(system="sharpxr", widths=(64, 128), dual=True),
        ),
    ],
)
def test_the_generator_of_a_recipe_is_read_alone(keys: str, expected: GeneratorSection) -> None:
    assert (
        read_generator(f'name = "x"\n[generator]\n{keys}\n[training]\nanything = 1\n') == expected
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[generator", "not TOML"),
        ("[training]", "generator"),
        ('[generator]\nsystem = "abacus"', "'abacus'"),
        ('[generator]\nsystem = "drl"\ndepth = 3', r"generator\.drl\.depth"),
        ('[generator]\nsystem = "drl-cascade"\nlevels = 1', "levels"),
        ('[generator]\nsystem = "drl-cascade"\nblend = 1.5', "blend"),
        ('[generator]\nsystem = "sharpxr"\nwidths = []', "widths"),
        ('[generator]\nsystem = "sharpxr"\nwidths = [0]', "widths"),
        ('[generator]\nsystem = "drunet"\nblocks = [1, 2]', "blocks are 2 for 4 stages"),
        ('[generator]\nsystem = "drunet"\nblocks = [1, 1, 1, 0]', "blocks"),
        ('[generator]\nsystem = "wgan-vgg"\nresidual = true\nlast_relu = true', "brighten"),
    ],
)
def test_a_malformed_section_is_named(text: str, found: str) -> None:
    with pytest.raises(RecipeError, match=found):
        read_generator(text)
