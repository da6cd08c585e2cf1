"""A machine that has nothing of ours: a private file system in which commands run as documented.

The system's programs are there read-only, accounts and settings as a copy, ``/opt``, ``/var`` and
``/tmp`` are empty, and the only Python is the machine's own, without packages. What is run there
sees the user, folders, environment, capabilities and read-only root that its form declares; the
network, the kernel and the process table are the machine's. Needs root and ``unshare``.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from tests import NO_PACKAGE

ROOT = Path(__file__).resolve().parents[2]
SOURCES = "/src"
_STOP_SECONDS = 60.0
_SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr")
_ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL")
_PASSED_ON = ("pip_", "ssl_", "requests_", "http_proxy", "https_proxy", "no_proxy")
_MADE = ("site", "build", "dist", "demo-report")
_PROGRAMS = ("unshare", "nsenter", "setpriv", "chroot", "mount")

# All that a sandbox asks of the kernel: a machine that forbids it is told from a broken sandbox.
_PROBE = """
set -e
mount -t tmpfs none /mnt
mkdir /mnt/usr /mnt/proc
mount --rbind /usr /mnt/usr
mount --rbind /proc /mnt/proc
mount -o remount,bind,ro /mnt
setpriv --reuid 1 --regid 1 --clear-groups --bounding-set=-all --inh-caps=-all -- true
"""

_BUILD = """
set -eu
root=$1; shift
# In memory: it goes away with its last process, and thousands of small files cost nothing.
mount -t tmpfs -o mode=755,size=3g none "$root"
for name in {system}; do
    if [ -L "/$name" ]; then cp -a "/$name" "$root/$name"
    elif [ -d "/$name" ]; then mkdir "$root/$name"; mount --rbind "/$name" "$root/$name"; fi
done
cp -a /etc "$root/etc"
if [ -L /etc/resolv.conf ]; then  # into /run, which is empty there
    rm "$root/etc/resolv.conf"; cat /etc/resolv.conf >"$root/etc/resolv.conf" || true
fi
mkdir -p "$root/opt" "$root/shims" "$root/var/lib" "$root/var/cache" "$root/var/tmp"
mkdir "$root/proc" "$root/dev" "$root/run" "$root{sources}"
mkdir -m 1777 "$root/tmp"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
for each in "$@"; do
    [ -e "$each" ] && [ ! -e "$root$each" ] || continue
    if [ -d "$each" ]; then mkdir -p "$root$each"
    else mkdir -p "$root${{each%/*}}"; : >"$root$each"; fi
    mount --rbind "$each" "$root$each"
done
echo ready
exec sleep infinity
"""

_ENTER = """
set -eu
root=$1; shift
while [ "$1" != -- ]; do
    [ -e "$root$2" ] || mkdir -p "$root$2"
    case $1 in
        tmpfs) mount -t tmpfs -o mode=1777 none "$root$2"; shift 2 ;;
        bind) if [ -f "$3" ] && [ -d "$root$2" ]; then rmdir "$root$2"; : >"$root$2"; fi
            mount --bind "$3" "$root$2"; shift 3 ;;
        read-only) mount -o remount,bind,ro "$root$2"; shift 2 ;;
    esac
done
shift
exec chroot "$root" "$@"
"""

SUDO = """#!/bin/sh
# As `sudo`, of which only `sudo COMMAND` and `sudo -u USER COMMAND` are documented.
if [ "$1" = -u ]; then
    user=$2; shift 2
    exec setpriv --reuid "$user" --regid "$user" --clear-groups -- "$@"
fi
exec "$@"
"""
SYSTEMCTL = """#!/bin/sh
# There is no systemd here; what it would be told is kept.
echo "$@" >>/run/systemctl
"""


@dataclass(frozen=True)
class Process:
    """One process of a form, as the form declares it.

    Attributes
    ----------
    command : sequence of str
    environment : mapping
        All of it; nothing of the tests' own is passed on.
    user, group : str
        Name or number.
    folder : str
        Working folder.
    binds : mapping of str to Path
        Path in the sandbox to folder or file of the machine.
    temporary : sequence of str
        Empty folders in memory.
    read_only : bool
        Whether everything but `writable`, `binds` that are not in `locked`, and `temporary` is
        read-only.
    writable : sequence of str
        Folders of the sandbox that stay writable.
    locked : sequence of str
        Binds that are read-only.
    capabilities : str
        setpriv's bounding set.
    umask : str
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    user: str
    group: str
    folder: str = "/"
    binds: Mapping[str, Path] = field(default_factory=dict)
    temporary: Sequence[str] = ()
    read_only: bool = True
    writable: Sequence[str] = ()
    locked: Sequence[str] = ()
    capabilities: str = "-all"
    umask: str = "0022"


def missing() -> str | None:
    """Why there can be no sandbox here; None if there can."""
    if os.geteuid() != 0:
        return f"{NO_PACKAGE}: root, without whom nothing is mounted"
    absent = [program for program in _PROGRAMS if shutil.which(program) is None]
    if absent:
        return f"{', '.join(absent)} not installed"
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", _PROBE],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 0:
        return None
    return f"{NO_PACKAGE}: the right to mount, refused here ({done.stderr.strip()})"


class Sandbox:
    """A private file system, until it is left."""

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="dnf-"))
        self._holder: subprocess.Popen[str] | None = None
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        build = _BUILD.format(system=" ".join(_SYSTEM), sources=SOURCES)
        self._holder = subprocess.Popen(
            [*_ENDS_WITH_US, "unshare", "--mount", "--propagation", "private",
             "sh", "-c", build, "sh", str(self._root), *_needed_by_python()],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._holder.stdout is not None
        if self._holder.stdout.readline().strip() != "ready":
            raise RuntimeError("the sandbox could not be made")
        self._make_shims()
        self._copy_sources()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end_processes()
        if self._holder is not None:
            self._holder.kill()
            self._holder.wait()
        self._root.rmdir()

    @property
    def search_path(self) -> str:
        """PATH of whoever installs: the documented commands' own names, and the bare Python."""
        return f"/shims:{sys.base_prefix}/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    def install(self, script: str, folder: str = SOURCES, **environment: str) -> None:
        """Run documented lines as root; what fails is an error.

        Raises
        ------
        AssertionError
            With what the lines printed.
        """
        passed = {
            key: value for key, value in os.environ.items() if key.lower().startswith(_PASSED_ON)
        }
        process = Process(
            ["sh", "-e", "-c", script],
            {"PATH": self.search_path, "HOME": str(Path.home()), **passed, **environment},
            "0", "0", folder, read_only=False, capabilities="+all",
        )  # fmt: skip
        done = self.run(process)
        assert done.returncode == 0, f"{script}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"

    def run(self, process: Process, timeout: float = 800.0) -> subprocess.CompletedProcess[str]:
        """Run a process to its end."""
        return subprocess.run(
            self._arguments(process), capture_output=True, text=True, timeout=timeout, check=False
        )

    def start(self, process: Process, log: Path) -> subprocess.Popen[bytes]:
        """Start a process; its output goes to `log`."""
        with log.open("ab") as output:
            started = subprocess.Popen(
                self._arguments(process), stdout=output, stderr=output, start_new_session=True
            )
        self._started.append(started)
        return started

    def also(self, process: Process, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run another command where `process` runs, such as its health check."""
        return self.run(replace(process, command=command))

    def path(self, inside: str) -> Path:
        """Where this machine finds a path of the sandbox."""
        assert self._holder is not None
        return Path(f"/proc/{self._holder.pid}/root{self._root}{inside}")

    def called(self, inside: str) -> str:
        """What a process there calls that path."""
        return inside

    def read(self, inside: str) -> str:
        """Text of a file in the sandbox."""
        return self.path(inside).read_text(encoding="utf-8")

    def write(self, inside: str, text: str) -> None:
        """Write a file in the sandbox; owner and mode stay those of a file that is there."""
        self.path(inside).write_text(text, encoding="utf-8")

    def _arguments(self, process: Process) -> list[str]:
        assert self._holder is not None
        mounts: list[str] = []
        for path, origin in process.binds.items():
            mounts += ["bind", path, str(origin)]
        for path in process.writable:
            mounts += ["bind", path, f"{self._root}{path}"]
        for path in process.temporary:
            mounts += ["tmpfs", path]
        for path in process.locked:
            mounts += ["read-only", path]
        if process.read_only:
            mounts += ["read-only", "/"]
        inner = f'umask {process.umask}; cd {shlex.quote(process.folder)}; exec "$@"'
        words = [f"{key}={value}" for key, value in process.environment.items()]
        return [
            "nsenter", "--target", str(self._holder.pid), "--mount", "--",
            "unshare", "--mount", "--propagation", "private", "--",
            "sh", "-c", _ENTER, "sh", str(self._root), *mounts, "--",
            *_ENDS_WITH_US, "--reuid", process.user, "--regid", process.group, "--clear-groups",
            *([] if process.capabilities == "+all" else
              ["--no-new-privs", f"--bounding-set={process.capabilities}",
               "--inh-caps=-all"]),
            "--", "env", "-i", *words, "sh", "-c", inner, "sh", *process.command,
        ]  # fmt: skip

    def _end_processes(self) -> None:
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _copy_sources(self) -> None:
        for name in _sources():
            copy = self.path(f"{SOURCES}/{name}")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy, follow_symlinks=False)

    def _make_shims(self) -> None:
        shims = self.path("/shims")
        for name, text in (("sudo", SUDO), ("systemctl", SYSTEMCTL)):
            (shims / name).write_text(text, encoding="utf-8")
            (shims / name).chmod(0o755)
        if not (Path(sys.base_prefix) / "bin" / "python").exists():
            (shims / "python").symlink_to(getattr(sys, "_base_executable", sys.executable))


class Folder(Sandbox):
    """Where nothing can be mounted: the sources in a folder, for a form that stays inside it.

    Commands see the whole machine, whoever runs the tests is their user, and no process can be had
    that declares more than an environment and a working folder.
    """

    def __enter__(self) -> Self:
        self.path("/shims").mkdir()
        self._make_shims()
        self._copy_sources()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end_processes()
        shutil.rmtree(self._root)

    @property
    def search_path(self) -> str:
        return self.called(super().search_path)

    def path(self, inside: str) -> Path:
        return Path(self.called(inside))

    def called(self, inside: str) -> str:
        return f"{self._root}{inside}"

    def _arguments(self, process: Process) -> list[str]:
        if process.read_only or process.binds or process.temporary:
            raise ValueError("a process of a folder declares no mounts")
        inner = f'cd {shlex.quote(self.called(process.folder))}; exec "$@"'
        words = [f"{key}={value}" for key, value in process.environment.items()]
        return [*_ENDS_WITH_US, "--", "env", "-i", *words, "sh", "-c", inner, "sh",
                *process.command]  # fmt: skip


def _sources() -> list[str]:
    """Files of a fresh copy of the sources: what git has, or without git what nothing has made."""
    if shutil.which("git") and (ROOT / ".git").exists():
        listed = subprocess.run(
            ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files", "-z"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        return [name for name in listed.split("\0") if name and (ROOT / name).exists()]
    paths = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return [
        str(path) for path in paths
        if "__pycache__" not in path.parts
        and (len(path.parts) == 1 or not path.parts[0].startswith((".", *_MADE)))
    ]  # fmt: skip


def _needed_by_python() -> list[str]:
    """The bare Python, and where pip finds its settings, its cache and folders of packages."""
    asked = [sys.executable, "-m", "pip", "config", "list"]
    settings = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    named = map(Path, re.findall(r"(?:(?<=file://)|(?<=[\s'\"]))/[^\s'\"]+", settings))
    return [
        sys.base_prefix, str(Path.home() / ".config"), str(Path.home() / ".cache" / "pip"),
        # An index links to files beside its own folder.
        *(str(path.parent if path.name == "simple" else path) for path in named),
    ]  # fmt: skip
