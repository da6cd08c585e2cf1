"""A file comes from whatever index pip is configured for, with the pinned bytes or not at all."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dicom_node.demo.errors import ImagesUnavailable, IndexUnreachable
from dicom_node.demo.index import (
    Index,
    IndexConfig,
    config_from,
    configured,
    default_index,
    parse_config,
)
from dicom_node.demo.network import LOOPBACK
from tests.support.servers import dead_port

BODY = b"archive" * 50_000
SHA256 = hashlib.sha256(BODY).hexdigest()
HTML = (
    '<a href="../../files/thing-1.tar.gz#sha256=0">other</a><a href="../../files/a%2B1.whl">x</a>'
)
JSON = json.dumps({"files": [{"url": "/files/thing-1.tar.gz"}]})

Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start simple indexes; returns the URL of each."""
    servers = []

    def start(page: str = HTML, kind: str = "text/html", credentials: str | None = None) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if credentials and self.headers.get("Authorization") != credentials:
                    self.send_error(401)
                    return
                answers = {
                    "/simple/thing/": (page.encode(), kind),
                    "/files/thing-1.tar.gz": (BODY, "application/octet-stream"),
                    "/files/a%2B1.whl": (BODY, "application/octet-stream"),
                }
                path = urlsplit(self.path).path  # a proxy is asked for whole addresses
                if path not in answers:
                    self.send_error(404)
                    return
                body, content_type = answers[path]
                self.send_response(200)
                self.send_header("Content-Type", content_type)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://{LOOPBACK}:{server.server_address[1]}/simple"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def fetch(
    target: Path, *indexes: str, name: str = "thing-1.tar.gz", sha256: str = SHA256
) -> list[int]:
    pieces: list[int] = []
    Index(IndexConfig(indexes)).fetch("thing", name, sha256, target, pieces.append)
    return pieces


@pytest.mark.parametrize(
    ("page", "kind"), [(HTML, "text/html"), (JSON, "application/vnd.pypi.simple.v1+json")]
)
def test_both_forms_of_index_are_read(serve: Serve, tmp_path: Path, page: str, kind: str) -> None:
    pieces = fetch(tmp_path / "file", serve(page, kind))
    assert (tmp_path / "file").read_bytes() == BODY
    assert sum(pieces) == len(BODY)


def test_escaped_names_are_found(serve: Serve, tmp_path: Path) -> None:
    fetch(tmp_path / "file", serve(), name="a+1.whl")
    assert (tmp_path / "file").read_bytes() == BODY


def test_other_bytes_are_refused_and_not_kept(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(ImagesUnavailable, match="expected"):
        fetch(tmp_path / "file", serve(), sha256="0" * 64)
    assert not (tmp_path / "file").exists()


def test_the_next_index_is_asked_when_one_has_no_such_file(serve: Serve, tmp_path: Path) -> None:
    fetch(tmp_path / "file", serve("<p>nothing here</p>"), serve())
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_file_that_nobody_lists_is_unavailable_but_the_index_is_not(
    serve: Serve, tmp_path: Path
) -> None:
    with pytest.raises(ImagesUnavailable, match="does not list") as caught:
        fetch(tmp_path / "file", serve("<p>nothing here</p>"))
    assert not isinstance(caught.value, IndexUnreachable)


def test_no_network_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(IndexUnreachable, match="refused"):
        fetch(tmp_path / "file", f"http://{LOOPBACK}:{dead_port()}/simple")


def test_credentials_in_the_url_are_sent_and_not_repeated(serve: Serve, tmp_path: Path) -> None:
    open_url = serve(credentials="Basic dXNlcjpwQHNz")
    private = open_url.replace("http://", "http://user:p%40ss@")
    fetch(tmp_path / "file", private)
    assert (tmp_path / "file").read_bytes() == BODY
    with pytest.raises(ImagesUnavailable) as caught:
        fetch(tmp_path / "file", private.replace("p%40ss", "wrong"))
    assert "wrong" not in str(caught.value)


def test_the_proxy_of_pip_is_asked(serve: Serve, tmp_path: Path) -> None:
    settings = {"index-url": "http://index.invalid/simple", "proxy": serve().rpartition("/")[0]}
    index = Index(config_from(settings))
    index.fetch("thing", "thing-1.tar.gz", SHA256, tmp_path / "file", lambda _: None)
    assert (tmp_path / "file").read_bytes() == BODY


def test_find_links_folders_come_first(tmp_path: Path) -> None:
    links = tmp_path / "links"
    links.mkdir()
    (links / "thing-1.tar.gz").write_bytes(BODY)
    index = Index(IndexConfig((), (str(links),)))
    index.fetch("thing", "thing-1.tar.gz", SHA256, tmp_path / "file", lambda _: None)
    assert (tmp_path / "file").read_bytes() == BODY


def test_environment_beats_command_beats_global() -> None:
    listing = (
        "download.index-url='https://command.example/simple'\n"
        "global.index-url='https://global.example/simple'\n"
        "global.cert='/ca.pem'\n"
        ":env:.extra-index-url='https://b.example https://c.example'\n"
    )
    config = config_from(parse_config(listing))
    assert config.indexes == (
        "https://command.example/simple",
        "https://b.example",
        "https://c.example",
    )
    assert config.certificates == "/ca.pem"
    environment = ":env:.index-url='https://env.example'\n"
    assert parse_config(environment + listing)["index-url"] == "https://env.example"


def test_no_index_leaves_only_folders() -> None:
    config = config_from({"no-index": "true", "index-url": "https://a.example", "find-links": "/w"})
    assert config == IndexConfig((), ("/w",))


def test_the_default_is_pips_own() -> None:
    text = "-i, --index-url <url>  Base URL (default\n      https://x.example/simple). This"
    assert default_index(text) == "https://x.example/simple"
    assert default_index("nothing of the kind") is None


def test_pip_here_names_an_index_or_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://chosen.example/simple")
    assert configured().indexes[0] == "https://chosen.example/simple"
