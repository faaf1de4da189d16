"""The programs of docs/frameworks.md: they stream, report errors, and end a generation whose browser left."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from humanloop_async import EmbeddedServer
from humanloop_async.server import ServerSettings
from humanloop_async.server.providers.settings import ProviderSettings
from tests.docs.programs import ended_log, free_port, listening, require

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
    """The address of a running program."""
    port = free_port()
    command = [sys.executable, "-m", *(part.format(port=port) for part in COMMANDS[request.param])]
    with listening(command, port, cwd=PROGRAMS, env=server_environment):
        yield f"http://127.0.0.1:{port}"


def test_a_program_streams_reports_errors_and_stops_when_its_browser_leaves(
    address: str, server: EmbeddedServer, request: pytest.FixtureRequest
) -> None:
    """One start of each program serves all checks: starting takes longer than checking."""
    program = request.node.callspec.params["address"]
    with httpx.Client(base_url=address, timeout=60) as browser:
        # A whole stream, token by token.
        with browser.stream("GET", "/story", params={"topic": f"{program} whole"}) as response:
            pieces = list(response.iter_text())
        log = ended_log(server, "stories", f"{program} whole")
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert "".join(pieces) == log.raw_output
        assert len(pieces) > 5

        # The browser leaves after the first token.
        with browser.stream("GET", "/story", params={"topic": f"{program} left"}) as response:
            next(response.iter_text())
        log = ended_log(server, "stories", f"{program} left")
        assert log.error == "the client disconnected before the generation finished"

        # Chunks as lines of JSON.
        with browser.stream("GET", "/story.jsonl", params={"topic": f"{program} lines"}) as response:
            chunks = [json.loads(line) for line in response.iter_lines()]
        log = ended_log(server, "stories", f"{program} lines")
        assert response.headers["Content-Type"].startswith("application/jsonl")
        assert "".join(chunk["output"] for chunk in chunks) == log.raw_output
        assert chunks[-1]["finish_reason"] == "stop"

        # A response that is not streamed.
        response = browser.get("/story.json", params={"topic": f"{program} json"})
        assert response.json()["data"][0]["finish_reason"] == "stop"

        # The v4 server rejects the call (413): a status, not an empty story.
        for path in ("/story", "/story.jsonl", "/story.json"):
            response = browser.get(path, params={"topic": "x" * 3000})
            assert response.status_code == 502
            assert response.json()["error"].startswith("413")
