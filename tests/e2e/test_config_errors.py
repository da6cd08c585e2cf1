"""A configuration that cannot work is refused in plain words: the key, the remedy, no secrets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner
from typer.testing import Result as Outcome

from dicom_node.cli import app
from tests.support.servers import free_port

PASSWORD = "hunter2secret"
DESTINATION = '[[destinations]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = 9\n'


@dataclass(frozen=True)
class Wrong:
    """A configuration that cannot work, and what must be said of it.

    Attributes
    ----------
    text : str
        The file; ``{spool}`` is a folder that can be written.
    says : tuple of str
        Words that both commands must print: the key, and what to do.
    """

    name: str
    text: str
    says: tuple[str, ...]


def route(name: str = "ct", model: str = "ct-default@production", to: str = "pacs") -> str:
    return f'[[routes]]\nname = "{name}"\nmodel = "{model}"\ndestinations = ["{to}"]\n'


STORAGE = '[storage]\npath = "{spool}"\n'
WRONG = [
    Wrong("an unknown key", "[node]\nae_titel = 1\n", ("node.ae_titel", "unknown key")),
    Wrong("an unknown section", "[nodes]\nport = 1\n", ("nodes", "unknown key")),
    Wrong("a wrong type", '[node]\nport = "eleven"\n', ("node.port", "valid integer")),
    Wrong("a list in place of a table", "node = [1]\n", ("node",)),
    Wrong("a port out of range", "[node]\nport = 70000\n", ("node.port", "65535")),
    Wrong("no TOML", "[node\nport = 1\n", ("node.toml", "not TOML", "line 1")),
    Wrong("bytes that are no text", "[node]\nae_title = '\udcff'\n", ("node.toml", "not TOML")),
    Wrong("two routes of one name", STORAGE + DESTINATION + route() + route(),
          ("[[routes]]", "'ct'", "unique")),
    Wrong("two destinations of one name", STORAGE + DESTINATION * 2,
          ("[[destinations]]", "'pacs'")),
    Wrong("a route to nowhere", STORAGE + DESTINATION + route(to="pax"),
          ("'ct'", "'pax'", "[[destinations]]")),
    Wrong("a model nobody has", STORAGE + DESTINATION + route(model="no-such@1.0.0"),
          ("no-such", "[models] path")),
    Wrong("an alias nobody has", STORAGE + DESTINATION + route(model="no-such@production"),
          ("no-such@production", "[models] path")),
    Wrong("a model that is no name", STORAGE + DESTINATION + route(model="x"), ("routes", "model")),
    Wrong("PostgreSQL is away",
          STORAGE + f'[database]\nurl = "postgresql://u:{PASSWORD}@127.0.0.1:9/n"\n',
          ("[database] url", "refused")),
    Wrong("a database host that does not exist",
          STORAGE + f'[database]\nurl = "postgresql://u:{PASSWORD}@no-such-host.invalid/n"\n',
          ("[database] url", "no-such-host.invalid")),
    Wrong("a database of another kind",
          STORAGE + f'[database]\nurl = "oracle9://u:{PASSWORD}@h/n"\n',
          ("[database] url", "postgresql://")),
    Wrong("no database URL", STORAGE + f'[database]\nurl = "{PASSWORD}"\n',
          ("[database] url", "postgresql://")),
    Wrong("a database port that is no number",
          STORAGE + f'[database]\nurl = "postgresql://u:{PASSWORD}@h:port/n"\n',
          ("[database] url", "postgresql://")),
    Wrong("Redis is away", STORAGE + f'[broker]\nurl = "redis://:{PASSWORD}@127.0.0.1:9/0"\n',
          ("[broker] url", "127.0.0.1:9", "refused")),
    Wrong("a broker of another kind",
          STORAGE + f'[broker]\nurl = "carrot://:{PASSWORD}@127.0.0.1:9/0"\n',
          ("[broker] url", "redis://")),
    Wrong("no broker URL", STORAGE + f'[broker]\nurl = "{PASSWORD}"\n',
          ("[broker] url", "redis://")),
    Wrong("a storage path below a file", '[storage]\npath = "{file}/spool"\n',
          ("[storage] path", "Not a directory")),
    Wrong("a storage path that cannot be made", '[storage]\npath = "/proc/dicom-node"\n',
          ("[storage] path", "/proc/dicom-node")),
    Wrong("a port in use", STORAGE + '[node]\nhost = "127.0.0.1"\nport = {taken}\n',
          ("[node] port", "in use")),
    Wrong("an address of another machine", STORAGE + '[node]\nhost = "192.0.2.7"\nport = {free}\n',
          ("[node] host", "192.0.2.7")),
]  # fmt: skip


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture(autouse=True)
def no_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in this process must not take its signals."""
    monkeypatch.setattr("dicom_node.supervisor.signal.signal", lambda *_: None)
    monkeypatch.delenv("DICOM_NODE_CONFIG", raising=False)


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all: making it is most of the work."""
    return tmp_path_factory.mktemp("config") / "spool"


@pytest.fixture
def written(tmp_path: Path, taken: int, spool: Path) -> Callable[[str], Path]:
    """Writes a configuration, with what stands in braces filled in."""

    def write(text: str) -> Path:
        file = tmp_path / "a file"
        file.touch()
        for key, value in (("spool", spool), ("file", file), ("taken", taken),
                           ("free", free_port())):  # fmt: skip
            text = text.replace(f"{{{key}}}", str(value))
        path = tmp_path / "node.toml"
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        return path

    return write


def run(*arguments: str) -> Outcome:
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize("command", ["up", "check"])
@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_says_which_key_and_what_to_do(
    wrong: Wrong,
    command: str,
    written: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[int] = []
    monkeypatch.setattr("dicom_node.supervisor.Supervisor.run", lambda *_: started.append(1))
    monkeypatch.setattr("dicom_node.startup.PORT_SECONDS", 0)
    done = run(command, "--config", str(written(wrong.text)))
    assert done.exit_code == 1, done.output
    assert isinstance(done.exception, SystemExit), done.exception
    assert not started
    said = " ".join(done.output.split())
    for word in wrong.says:
        assert word in said
    assert "Traceback" not in said
    assert PASSWORD not in said


def test_check_goes_on_after_a_fault(written: Callable[[str], Path]) -> None:
    text = (
        STORAGE + f'[broker]\nurl = "redis://:{PASSWORD}@127.0.0.1:9/0"\n' + DESTINATION
        + route(model="no-such@production")
    )  # fmt: skip
    done = run("check", "--config", str(written(text)))
    lines = [line for line in done.output.splitlines() if line.startswith(("ok", "FAIL"))]
    assert [line.split(":")[0].split(maxsplit=1) for line in lines] == [
        ["ok", "configuration"], ["ok", "spool"], ["ok", "ledger"], ["FAIL", "broker"],
        ["ok", "models"], ["FAIL", "model no-such@production"], ["ok", "address"],
        ["FAIL", "destination pacs"],
    ]  # fmt: skip


def test_a_real_process_ends_with_one_and_says_it_once(written: Callable[[str], Path]) -> None:
    wrong = next(each for each in WRONG if each.name == "a port in use")
    done = subprocess.run(
        [sys.executable, "-m", "dicom_node", "up", "--config", str(written(wrong.text))],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ},
    )  # fmt: skip
    assert done.returncode == 1
    assert "[node] port" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) < 5


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    done = run("check", "--config", str(tmp_path / "none.toml"))
    assert done.exit_code == 1
    assert "dicom-node config init" in " ".join(done.output.split())


def test_words_in_brackets_are_printed(tmp_path: Path) -> None:
    """Markup of the console must not eat keys, nor reasons that hold brackets."""
    path = tmp_path / "node.toml"
    path.write_text("[node]\nport = 1\n[[routes]]\nname = 1\n", encoding="utf-8")
    assert "routes.0" in run("check", "--config", str(path)).output
