"""Programs that the tests of the documentation start, and the libraries that they need."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from humanloop_async import EmbeddedServer, Humanloop, LogResponse


def require(*modules: str) -> None:
    """Skip a test or module whose libraries are missing."""
    if missing := [module for module in modules if find_spec(module) is None]:
        pytest.skip(f"{', '.join(missing)} is not installed (pip install --group docs)", allow_module_level=True)


def program(name: str) -> str:
    """Return the path of a program; skip the test if it is missing."""
    path = shutil.which(name, path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def listening(
    command: list[str], port: int, *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Generator[None]:
    """Run a program. The block begins when it listens on a port of 127.0.0.1, and its end stops the program."""
    with subprocess.Popen(command, cwd=cwd, env=env) as process:
        try:
            deadline = time.monotonic() + 120
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert process.poll() is None, "the program ended"
                    assert time.monotonic() < deadline, "the program does not listen"
                    time.sleep(0.1)
            yield
        finally:
            process.terminate()


def ended_log(server: EmbeddedServer, project: str, text: str = "") -> LogResponse:
    """Return the one log of a project whose messages contain a text, once its generation has ended."""
    with Humanloop(server.api_key, base_url=server.base_url) as client:
        (found,) = [record for record in client.projects.list() if record.name == project]
        deadline = time.monotonic() + 30
        while True:
            (log,) = [log for log in client.logs.list(found.id) if text in str(log.messages)]
            if log.observability_status != "running":
                return log
            assert time.monotonic() < deadline, "the generation is still running"
            time.sleep(0.1)
