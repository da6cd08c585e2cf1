import pytest

from model_store.ref import ModelName, ModelRef

SHA = "0" * 64


def test_a_reference_reads_as_name_at_version() -> None:
    assert str(ModelRef("drl-ct", "1.0.0", SHA)) == "drl-ct@1.0.0"


def test_references_sort_and_compare_by_value() -> None:
    assert ModelRef("a", "1.0.0", SHA) == ModelRef("a", "1.0.0", SHA)
    assert ModelRef("a", "1.0.0", SHA) < ModelRef("b", "1.0.0", SHA)


@pytest.mark.parametrize(
    ("name", "version", "sha"),
    [
        ("DRL", "1.0.0", SHA),
        ("../x", "1.0.0", SHA),
        ("", "1.0.0", SHA),
        ("a" * 64, "1.0.0", SHA),
        ("drl", "1.0", SHA),
        ("drl", "1.0.0/..", SHA),
        ("drl", "1.0.0", "0" * 63),
        ("drl", "1.0.0", "G" * 64),
    ],
)
def test_malformed_references_are_refused(name: str, version: str, sha: str) -> None:
    with pytest.raises(ValueError, match=r"model|sha256"):
        ModelRef(name, version, sha)


def test_a_route_writes_an_alias_or_a_version() -> None:
    assert not ModelName.parse("ct-default@production").is_version
    assert ModelName.parse("drl-ct@1.0.0-rc.1").is_version
    assert str(ModelName.parse("ct-default@production")) == "ct-default@production"


@pytest.mark.parametrize("text", ["drl-ct", "@production", "drl-ct@", "a/b@c", "drl@../x", "A@b"])
def test_malformed_names_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="model"):
        ModelName.parse(text)
