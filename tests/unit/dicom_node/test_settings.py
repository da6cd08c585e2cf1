"""The settings tree: what it takes, and what it says of what it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicom_node.errors import ConfigError
from dicom_node.settings import Settings, load

ROOT = Path(__file__).resolve().parents[3]
DESTINATION = '[[destinations]]\nname = "pacs"\nae_title = "PACS"\nhost = "10.0.0.1"\n'
ROUTE = '[[routes]]\nname = "ct"\nmodel = "ct-default@production"\ndestinations = ["pacs"]\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "node.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DICOM_NODE_CONFIG", raising=False)


@pytest.mark.parametrize(
    "path",
    [*sorted((ROOT / "deploy" / "examples").glob("*.toml")), ROOT / "dicom_node" / "node.toml"],
    ids=lambda path: path.name,
)
def test_every_example_loads(path: Path) -> None:
    assert load(path).routes


def test_without_a_file_everything_has_its_default() -> None:
    settings = load()
    assert settings.node.ae_title == "DENOISE"
    assert settings.node.port == 11112
    assert settings.database_url == "sqlite:////var/lib/dicom-node/ledger.sqlite"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[nod]\nport = 1", "nod"),
        ("[node]\nprt = 1", "node.prt"),
        ('[node]\nport = "x"', "node.port"),
        ("[node]\nport = 70000", "node.port"),
        ("node = 3", "node"),
        ("_env_file = 'x'", "_env_file"),
        ("_foo = 1", "_foo"),
        ('[[peers]]\nae_title = "A\\\\B"', "peers.0.ae_title"),
        ('[[peers]]\nae_title = "   "', "peers.0.ae_title"),
        ('[[peers]]\nae_title = "12345678901234567"', "peers.0.ae_title"),
        ('[[peers]]\nae_title = "A"\nhost = "nonsense/99"', "peers.0.host"),
        ('[[destinations]]\nname = "p"\nae_title = "P"', "destinations.0.host"),
        (DESTINATION + DESTINATION, "'pacs'"),
        (DESTINATION + ROUTE + ROUTE, "'ct'"),
        (DESTINATION + ROUTE.replace('["pacs"]', '["pasc"]'), "'pasc'"),
        (DESTINATION + ROUTE.replace('["pacs"]', '["pacs", "pacs"]'), "routes.0.destinations"),
        (DESTINATION + ROUTE.replace('["pacs"]', "[]"), "routes.0.destinations"),
        (DESTINATION + ROUTE.replace("@production", ""), "routes.0.model"),
        (DESTINATION + ROUTE + "strength = 1.5", "routes.0.strength"),
        (DESTINATION + ROUTE + "strength = nan", "routes.0.strength"),
        (DESTINATION + ROUTE + 'output = "video"', "routes.0.output"),
        (DESTINATION + ROUTE + 'series_description = "{PatientName}"', "series_description"),
        (DESTINATION + ROUTE + 'series_description = "{"', "series_description"),
        (DESTINATION + ROUTE + 'series_description = "{route:>9999999999}"', "series_description"),
        (DESTINATION + ROUTE + 'series_number = "{SeriesNumber:c}"', "series_number"),
        (DESTINATION + ROUTE + "when = { Modalty = 'CT' }", "'Modalty'"),
        (DESTINATION + ROUTE + "when = { Modality = [] }", "Modality"),
        (DESTINATION + ROUTE + "when = { Modality = true }", "Modality"),
        (DESTINATION + ROUTE + "when = { Modality = { equals = true } }", "Modality"),
        (DESTINATION + ROUTE + "when = { Modality = { equal = 'CT' } }", "Modality"),
        (DESTINATION + ROUTE + "when = { Modality = { one_of = [] } }", "Modality"),
        (DESTINATION + ROUTE + "when = { Modality = { not = true } }", "Modality"),
        (DESTINATION + ROUTE + "when = { Modality = { regex = '[' } }", "Modality"),
        (DESTINATION + ROUTE + "when = { Rows = { min = 5, max = 1 } }", "Rows"),
        (DESTINATION + ROUTE + "when = { Rows = { min = nan } }", "Rows"),
        (DESTINATION + ROUTE + f"when = {{ Rows = 1{'0' * 400} }}", "Rows"),
        ("[delivery]\nretry_first_seconds = 700", "retry_longest_seconds"),
        ("[delivery]\nretry_factor = inf", "delivery.retry_factor"),
        ("[delivery]\ngive_up_hours = inf", "delivery.give_up_hours"),
        ("[storage]\nkeep_hours = 1e300", "storage.keep_hours"),
        ("[batching]\nquiet_seconds = inf", "batching.quiet_seconds"),
        ("[batching]\nquiet_seconds = nan", "batching.quiet_seconds"),
        ("[batching]\nquiet_seconds = 0", "batching.quiet_seconds"),
        ('[results]\nuid_root = "1.2.x"', "results.uid_root"),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text))
    assert named in str(caught.value)
    assert "function-after" not in str(caught.value)


def test_a_wrong_route_is_named_by_its_name(tmp_path: Path) -> None:
    second = ROUTE.replace('"ct"', '"xray"') + "strength = 7"
    with pytest.raises(ConfigError, match="xray"):
        load(write(tmp_path, DESTINATION + ROUTE + second))


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    ("text", "key"),
    [
        (DESTINATION + ROUTE + "strength = ", "strength"),
        ("[delivery]\nretry_factor = ", "retry_factor"),
        ("[storage]\nminimum_free_percent = ", "minimum_free_percent"),
    ],
)
def test_what_is_no_number_is_said_to_be_none(
    tmp_path: Path, text: str, key: str, value: str
) -> None:
    """Not to be too large or too small, which it is not."""
    with pytest.raises(ConfigError, match=f"{key}.*finite number"):
        load(write(tmp_path, text + value))


def test_every_fault_is_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, "[node]\nport = 0\nprt = 1\n[log]\nlevel = 'loud'"))
    assert all(name in str(caught.value) for name in ("node.port", "node.prt", "log.level"))


@pytest.mark.parametrize("data", [b"x = ", b"\xff\xfe", b"[node]\n[node]"])
def test_what_is_not_toml_is_said_so(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "node.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="not TOML"):
        load(path)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="config init"):
        load(tmp_path / "node.toml")


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        load(tmp_path)


def test_the_environment_overrides_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DICOM_NODE_NODE__PORT", "4242")
    monkeypatch.setenv("DICOM_NODE_PEERS", '[{"ae_title": "CT9"}]')
    settings = load(write(tmp_path, '[node]\nport = 1\nae_title = "X"'))
    assert (settings.node.port, settings.node.ae_title) == (4242, "X")
    assert settings.peers[0].ae_title == "CT9"


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("DICOM_NODE_NODE__PROT", "1", "node.prot"),
        ("DICOM_NODE_NODE__PORT", "x", "node.port"),
        ("DICOM_NODE_ROUTES", "not json", "DICOM_NODE_ROUTES"),
        ("DICOM_NODE_NODE", "x", "DICOM_NODE_NODE"),
    ],
)
def test_a_wrong_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, named: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load()
    assert named in str(caught.value)


def test_the_file_that_the_environment_names_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DICOM_NODE_CONFIG", str(write(tmp_path, "[node]\nport = 4243")))
    assert load().node.port == 4243


def test_overrides_replace_single_keys(tmp_path: Path) -> None:
    settings = load(
        write(tmp_path, '[node]\nport = 1\nae_title = "X"'), {"node": {"port": 2}, "routes": []}
    )
    assert (settings.node.port, settings.node.ae_title) == (2, "X")


def test_overrides_of_a_section_that_is_none_are_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="node"):
        load(write(tmp_path, "node = 3"), {"node": {"port": 2}})


SECRETS = (
    '[database]\nurl = "postgresql://u:hush-1@db/node"\n[broker]\nurl = "redis://:hush-2@r:6379/0"'
)


def test_secrets_are_masked_wherever_settings_are_shown(tmp_path: Path) -> None:
    settings = load(write(tmp_path, SECRETS))
    for text in (repr(settings), str(settings), settings.model_dump_json(), f"{settings.database}"):
        assert "hush" not in text
    assert settings.database_url == "postgresql+psycopg://u:hush-1@db/node"


def test_secrets_are_not_in_error_messages(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, SECRETS + "\nuser = 'hush-3'\n[database.x]\ny = 'hush-4'"))
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["postgresql://u@h/d", "postgresql+psycopg://u@h/d", "postgres://u@h/d"]
)
def test_every_spelling_of_a_postgresql_address_names_the_driver(tmp_path: Path, url: str) -> None:
    settings = load(write(tmp_path, f'[database]\nurl = "{url}"'))
    assert settings.database_url == "postgresql+psycopg://u@h/d"


def test_the_tree_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().node.port = 3  # type: ignore[misc]


@pytest.mark.parametrize(("first", "longest"), [("1", "5.5"), ("5.5", "5.5"), ("1", "600")])
def test_sensible_waits_are_taken(tmp_path: Path, first: str, longest: str) -> None:
    text = f"[delivery]\nretry_first_seconds = {first}\nretry_longest_seconds = {longest}"
    assert load(write(tmp_path, text)).delivery.retry_first_seconds == float(first)
