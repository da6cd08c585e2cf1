"""Real servers for integration tests: Orthanc, DCMTK storescp and Redis.

Each is a context manager that takes a free port on loopback, keeps its files in a folder of its
own that goes away with it, is ready when `__enter__` returns, and is stopped (then killed) on
`__exit__`. ``Server.missing()`` names the program that is not installed, or is None.

>>> with Orthanc(aet="PACS") as pacs:            # doctest: +SKIP
...     pacs.dicom_port, pacs.http_port, pacs.instances()
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Final, Self, cast

READY_TIMEOUT = 30.0
"""Seconds a server may take to come up."""

STOP_TIMEOUT = 10.0
"""Seconds a server may take to stop before it is killed."""

_POSTGRES_HOMES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)

_HELD: Final[list[socket.socket]] = []


class ServerDidNotStart(RuntimeError):
    """The program ended, or did not answer in time; the message carries the end of its log."""


def free_port() -> int:
    """Return a TCP port on loopback that nothing listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def dead_port() -> int:
    """Return a TCP port on loopback that refuses connections until this process ends.

    It is held without being listened on: no server of another test gets it meanwhile.
    """
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    _HELD.append(held)
    return int(held.getsockname()[1])


def accepts(port: int) -> bool:
    """Return whether something on loopback accepts TCP connections on `port`."""
    with closing(socket.socket()) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def path_with_dcmtk_first(path: str) -> str:
    """`path` with the interpreter's own folder last.

    Where an environment is active, pynetdicom's programs of DCMTK's names would be found first.
    """
    own = Path(sys.executable).parent
    places = [place for place in path.split(os.pathsep) if Path(place).resolve() != own.resolve()]
    return os.pathsep.join([*places, str(own)])


def find_program(name: str) -> str | None:
    """Return the path of a program, also looking where Debian puts what is not on the PATH."""
    places = [os.environ.get("PATH", ""), "/usr/sbin", *map(str, _POSTGRES_HOMES)]
    return shutil.which(name, path=os.pathsep.join(places))


class Server:
    """A program started for one test, with a folder of its own."""

    programs: ClassVar[tuple[str, ...]] = ()
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self) -> None:
        self.folder = Path()
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def missing(cls) -> str | None:
        """Return the first program that is not installed, or None."""
        return next((name for name in cls.programs if find_program(name) is None), None)

    def __enter__(self) -> Self:
        # A short path: PostgreSQL and Redis put UNIX sockets there (at most 107 characters).
        self.folder = Path(tempfile.mkdtemp(prefix="dnt-", dir="/tmp"))
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start the program (again, after `stop` or `kill`, on the same ports and files)."""
        raise NotImplementedError

    def stop(self) -> None:
        """Ask the program to stop, and kill it if it does not."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End the program at once, as a crash would."""
        self._end(signal.SIGKILL)

    def hang(self) -> None:
        """Stop the program where it stands, as a suspended machine would; `go_on` ends that."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def go_on(self) -> None:
        """End what `hang` began."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        """Return what the program has written to its output."""
        log = self.folder / "server.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def _run(
        self,
        command: Sequence[str | Path],
        ready: Callable[[], bool],
        *,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        program = find_program(str(command[0]))
        if program is None:
            raise ServerDidNotStart(f"{command[0]} is not installed")
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [program, *map(str, command[1:])],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={**os.environ, **(environment or {})},
                user=user,
                extra_groups=[] if user else None,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_TIMEOUT
        while not ready():
            ended = self.process.poll()
            if ended is not None or time.monotonic() > deadline:
                why = "did not answer in time" if ended is None else f"ended with {ended}"
                raise ServerDidNotStart(f"{command[0]} {why}\n{self.log()[-4000:]}")
            time.sleep(0.02)

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_TIMEOUT)


class Orthanc(Server):
    """An Orthanc that accepts every AE and every storage SOP class, without a password.

    Parameters
    ----------
    http_port, dicom_port : int, optional
        Ports on loopback; free ones by default.
    aet : str
        Its AE title.
    peers : mapping of str to (AE title, port), optional
        ``DicomModalities``: whom it may C-STORE to, by symbolic name (see `send_to`). More can be
        added while it runs with `add_peer`.
    configuration : mapping, optional
        Further keys of the Orthanc configuration file; they win.
    """

    programs: ClassVar[tuple[str, ...]] = ("Orthanc",)

    def __init__(
        self,
        http_port: int | None = None,
        dicom_port: int | None = None,
        aet: str = "ORTHANC",
        *,
        peers: Mapping[str, tuple[str, int]] | None = None,
        configuration: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.http_port = http_port or free_port()
        self.dicom_port = dicom_port or free_port()
        self.aet = aet
        self._peers = {n: [title, "127.0.0.1", p] for n, (title, p) in (peers or {}).items()}
        self._configuration = dict(configuration or {})

    def start(self) -> None:
        configuration = {
            "Name": "test",
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "HttpPort": self.http_port,
            "HttpServerEnabled": True,
            "HttpBindAddresses": ["127.0.0.1"],
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomServerEnabled": True,
            "DicomAet": self.aet,
            "DicomPort": self.dicom_port,
            "DicomCheckCalledAet": False,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowStore": True,
            "UnknownSopClassAccepted": True,
            "StableAge": 1,
            "DicomScuTimeout": 10,
            "DicomModalities": self._peers,
            "Plugins": [],
        } | self._configuration
        path = self.folder / "orthanc.json"
        path.write_text(json.dumps(configuration, indent=2))
        self._run(
            ["Orthanc", path],
            lambda: accepts(self.http_port) and accepts(self.dicom_port),
            environment={"TCP_NODELAY": "1"},
        )

    def request(self, path: str, body: Any = None, *, method: str | None = None) -> Any:
        """Return the JSON answer of the REST interface; a body makes it a POST."""
        data = None if body is None else (body if isinstance(body, bytes) else _json(body))
        answer = self.download(path, data, method=method)
        return json.loads(answer) if answer else None

    def download(self, path: str, data: bytes | None = None, *, method: str | None = None) -> bytes:
        """Return the bytes of an answer of the REST interface."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http_port}{path}",
            data=data,
            method=method,
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return cast(bytes, answer.read())

    def instances(self) -> dict[str, str]:
        """Return SOP Instance UID -> Orthanc id of every instance it holds."""
        found = self.request("/tools/find", {"Level": "Instance", "Expand": True, "Query": {}})
        return {one["MainDicomTags"]["SOPInstanceUID"]: one["ID"] for one in found}

    def series(self) -> list[dict[str, Any]]:
        """Return every series it holds (``MainDicomTags``, ``Instances``, ``ParentStudy``...)."""
        return cast(list[dict[str, Any]], self.request("/series?expand"))

    def file(self, sop_instance_uid: str) -> bytes:
        """Return the DICOM file of an instance."""
        return self.download(f"/instances/{self.instances()[sop_instance_uid]}/file")

    def add_peer(self, name: str, aet: str, port: int) -> None:
        """Let it C-STORE to an application entity on loopback."""
        self._peers[name] = [aet, "127.0.0.1", port]
        body = {"AET": aet, "Host": "127.0.0.1", "Port": port}
        self.request(f"/modalities/{name}", body, method="PUT")

    def upload(self, data: bytes) -> str:
        """Store a DICOM file through the REST interface; return its Orthanc id."""
        return cast(str, self.request("/instances", data)["ID"])

    def send_to(self, peer: str, orthanc_ids: Sequence[str]) -> None:
        """C-STORE studies, series or instances, by Orthanc id, to a peer; wait for the end."""
        self.request(f"/modalities/{peer}/store", {"Resources": list(orthanc_ids)})


class StoreScp(Server):
    """DCMTK storescp, which stores into `received_folder`.

    Parameters
    ----------
    *options : str
        Further options, such as ``+xi`` (implicit VR only), ``+xa`` (all syntaxes), ``--refuse``,
        ``--abort-after``, ``--abort-during``, ``--ignore``, ``--sleep-after``, ``1``.
    port : int, optional
        A free one by default.
    aet : str
        Its AE title.
    bit_preserving : bool
        Write the data set exactly as read.
    """

    programs: ClassVar[tuple[str, ...]] = ("storescp",)

    def __init__(
        self,
        *options: str,
        port: int | None = None,
        aet: str = "STORESCP",
        bit_preserving: bool = True,
    ) -> None:
        super().__init__()
        self.port = port or free_port()
        self.aet = aet
        self._options = (*(["+B"] if bit_preserving else []), *options)

    @property
    def received_folder(self) -> Path:
        """Folder of the received files (``<modality>.<SOP Instance UID>``)."""
        return self.folder / "received"

    def received(self) -> dict[str, Path]:
        """Return SOP Instance UID -> file."""
        return {p.name.split(".", 1)[1]: p for p in sorted(self.received_folder.iterdir())}

    def start(self) -> None:
        self.received_folder.mkdir(exist_ok=True)
        command = ["storescp", "-v", "-dhl", "-aet", self.aet, "-od", str(self.received_folder)]
        self._run(
            [*command, *self._options, str(self.port)],
            lambda: accepts(self.port),
            environment={"TCP_NODELAY": "1"},
        )


class Redis(Server):
    """A Redis without a password; nothing is written to disk unless `append_only`."""

    programs: ClassVar[tuple[str, ...]] = ("redis-server",)

    def __init__(self, port: int | None = None, *, append_only: bool = False) -> None:
        super().__init__()
        self.port = port or free_port()
        self._append_only = append_only

    @property
    def url(self) -> str:
        """Address for Celery and redis-py."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        keep = ["--appendonly", "yes" if self._append_only else "no", "--dir", str(self.folder)]
        self._run([*command, *keep], self._answers)

    def _answers(self) -> bool:
        if not accepts(self.port):
            return False
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as client:
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()
