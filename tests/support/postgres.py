"""A PostgreSQL cluster of a test's own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from typing import ClassVar

from tests.support.servers import Server, ServerDidNotStart, find_program, free_port


class Postgres(Server):
    """A PostgreSQL cluster of its own, trusting loopback; user and database are ``node``.

    A commit that was answered outlives the server, not the machine. When the tests run as root the
    server runs as the user ``postgres``, since it refuses root.

    Parameters
    ----------
    port : int, optional
        A free one by default.
    """

    programs: ClassVar[tuple[str, ...]] = ("initdb", "postgres", "pg_isready", "psql", "createdb")
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # "fast": do not wait for clients

    def __init__(self, port: int | None = None) -> None:
        super().__init__()
        self.port = port or free_port()
        self._user = "postgres" if os.geteuid() == 0 else None

    @classmethod
    def missing(cls) -> str | None:
        absent = super().missing()
        if absent is None and os.geteuid() == 0:
            try:
                pwd.getpwnam("postgres")
            except KeyError:
                return "the user 'postgres' (the server refuses to run as root)"
        return absent

    @property
    def url(self) -> str:
        """Address for SQLAlchemy with psycopg 3."""
        return self.url_of("node")

    def url_of(self, database: str) -> str:
        """Return the address of one database of the cluster."""
        return f"postgresql+psycopg://node@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Create an empty database and return its address."""
        self._call("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "node", name)
        return self.url_of(name)

    def start(self) -> None:
        data = self.folder / "data"
        if not data.exists():
            data.mkdir()
            if self._user:
                shutil.chown(self.folder, self._user)
                shutil.chown(data, self._user)
            self._call(
                "initdb", "-D", str(data), "-U", "node", "-A", "trust", "-E", "UTF8",
                "--locale", "C", "--no-sync",
            )  # fmt: skip
        settings = ["fsync=off", "full_page_writes=off"]
        self._run(
            [
                "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(self.port),
                "-k", self.folder, *(word for one in settings for word in ("-c", one)),
            ],
            lambda: self._succeeds(
                "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", "node"
            ),
            user=self._user,
        )  # fmt: skip
        if not self._succeeds(
            "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "node", "-c", "select 1", "node"
        ):
            self.create_database("node")

    def _command(self, name: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        program = find_program(name)
        if program is None:
            raise ServerDidNotStart(f"{name} is not installed")
        return subprocess.run(
            [program, *arguments],
            capture_output=True,
            timeout=60,
            cwd=self.folder,
            user=self._user,
            extra_groups=[] if self._user else None,
            check=False,
        )

    def _succeeds(self, name: str, *arguments: str) -> bool:
        return self._command(name, *arguments).returncode == 0

    def _call(self, name: str, *arguments: str) -> None:
        done = self._command(name, *arguments)
        if done.returncode != 0:
            raise ServerDidNotStart(f"{name} failed: {done.stderr.decode(errors='replace')}")
