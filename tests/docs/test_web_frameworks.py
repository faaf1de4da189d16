"""The programs of docs/frameworks.md: they stream, report errors, and end a generation whose browser left."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from humanloop_async import EmbeddedServer, Humanloop, LogResponse
from humanloop_async.server import ServerSettings
from humanloop_async.server.providers.settings import ProviderSettings

from .conftest import require

require("uvicorn", "fastapi", "starlette", "django", "flask", "gunicorn")

pytestmark = pytest.mark.timeout(240)  # starting a program takes most of it
PROGRAMS = Path(__file__).parents[2] / "docs" / "examples" / "web"
COMMANDS = {
    "fastapi": ["uvicorn", "fastapi_app:app", "--port", "{port}", "--log-level", "warning"],
    "starlette": ["uvicorn", "starlette_app:app", "--port", "{port}", "--log-level", "warning"],
    "django": ["uvicorn", "django_app:app", "--port", "{port}", "--log-level", "warning", "--lifespan", "off"],
    "aiohttp": ["aiohttp_app", "{port}"],
    "flask": ["gunicorn", "--threads", "16", "--bind", "127.0.0.1:{port}", "--log-level", "warning", "flask_app:app"],
}


@pytest.fixture(scope="module")
def settings() -> ServerSettings:
    # 20 to 60 tokens take 0.7 to 2 seconds.
    return ServerSettings(providers=ProviderSettings(mock_tokens_per_second=30), max_body_bytes=2000)


@pytest.fixture(params=COMMANDS)
def address(request: pytest.FixtureRequest, server_environment: dict[str, str]) -> Iterator[str]:
    """A running program."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [part.format(port=port) for part in COMMANDS[request.param]]
    with subprocess.Popen([sys.executable, "-m", *command], cwd=PROGRAMS, env=server_environment) as process:
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
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def log_of(server: EmbeddedServer, topic: str) -> LogResponse:
    """Return the log of the story about a topic, once its generation has ended."""
    with Humanloop(server.api_key, base_url=server.base_url) as client:
        (project,) = [project for project in client.projects.list() if project.name == "stories"]
        deadline = time.monotonic() + 30
        while True:
            (log,) = [log for log in client.logs.list(project.id) if topic in str(log.messages)]
            if log.observability_status != "running":
                return log
            assert time.monotonic() < deadline, "the generation is still running"
            time.sleep(0.1)


def test_a_program_streams_reports_errors_and_stops_when_its_browser_leaves(
    address: str, server: EmbeddedServer, request: pytest.FixtureRequest
) -> None:
    """One start of each program serves all checks: starting takes longer than checking."""
    program = request.node.callspec.params["address"]
    with httpx.Client(base_url=address, timeout=60) as browser:
        # A whole stream, token by token.
        with browser.stream("GET", "/story", params={"topic": f"{program} whole"}) as response:
            pieces = list(response.iter_text())
        log = log_of(server, f"{program} whole")
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert "".join(pieces) == log.raw_output
        assert len(pieces) > 5

        # The browser leaves after the first token.
        with browser.stream("GET", "/story", params={"topic": f"{program} left"}) as response:
            next(response.iter_text())
        log = log_of(server, f"{program} left")
        assert log.error == "the client went away before the generation finished"

        # A response that is not streamed.
        response = browser.get("/story.json", params={"topic": f"{program} json"})
        assert response.json()["data"][0]["finish_reason"] == "stop"

        # The v4 server rejects the call (413): a status, not an empty story.
        for path in ("/story", "/story.json"):
            response = browser.get(path, params={"topic": "x" * 3000})
            assert response.status_code == 502
            assert response.json()["error"].startswith("413")
