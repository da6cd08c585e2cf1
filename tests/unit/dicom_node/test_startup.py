"""A node does not start with what it may not run, and starts with what it can go without."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dicom_node.errors import ConfigError
from dicom_node.settings import Settings
from dicom_node.startup import PortTaken, require_model, require_port, require_startable
from tests.support.servers import free_port
from tests.support.site import ALIAS, OLD, Site

# --- start ---------------------------------------------------------------------------------------


def test_a_node_does_not_start_with_a_model_of_nobody_trusted(site: Site) -> None:
    site.move(OLD, None)
    with pytest.raises(ConfigError, match=r"(?s)route 'ct'.*not trusted"):
        require_startable(site.life.settings, site.models(trust=None))


def test_a_node_starts_and_receives_though_a_model_was_changed(site: Site) -> None:
    site.move(OLD, None)
    models = site.models()
    site.spoil(OLD)
    require_startable(site.life.settings, models)
    with pytest.raises(ConfigError, match="quarantine"):
        require_model(models, str(ALIAS))


LISTENS = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listens", flush=True)
time.sleep(600)
"""


@contextmanager
def listening() -> Iterator[tuple[Settings, subprocess.Popen[str]]]:
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-c", LISTENS, str(port)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "listens\n"
            yield Settings(node={"host": "127.0.0.1", "port": port}), process
        finally:
            process.kill()


def test_whoever_holds_the_port_is_named() -> None:
    """A process of a node whose supervisor was killed, say."""
    with listening() as (tree, process), pytest.raises(PortTaken) as caught:
        require_port(tree)
    assert re.search(rf"process {process.pid} .*kill {process.pid}", str(caught.value))


def test_one_that_holds_the_port_and_is_stopped_is_to_go_on_and_nothing_else_is_said() -> None:
    with listening() as (tree, process):
        os.kill(process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        with pytest.raises(PortTaken) as caught:
            require_port(tree)
    assert str(caught.value).endswith(f"let it go on with 'kill -CONT {process.pid}'")
    assert "kill -9" not in str(caught.value)
