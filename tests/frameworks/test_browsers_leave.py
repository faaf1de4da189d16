"""A browser that leaves ends the stream that a web framework sends it, without a block that closes the stream."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from pathlib import Path

import pytest

from humanloop_async.testing import STREAM_HEAD, Action, ScriptedServer, Step, http_chunk
from tests.docs.programs import free_port, listening, require
from tests.events import sse
from tests.frameworks.streams import VIEWS

require("daphne", "django", "fastapi", "hypercorn", "starlette", "uvicorn", "uvloop")

pytestmark = pytest.mark.timeout(240)  # starting a program takes most of it
ROOT = Path(__file__).parents[2]
SERVERS = {
    "uvicorn": ["uvicorn", "{app}:app", "--port={port}", "--log-level=critical", "--lifespan=off", "--loop={loop}"],
    "hypercorn": ["hypercorn", "{app}:app", "--bind=127.0.0.1:{port}", "--log-level=critical", "--worker-class={loop}"],
    "daphne": ["tests.frameworks.daphne_server", "{loop}", "--port={port}", "--verbosity=0", "{app}:app"],
}
APPS = ["fastapi uvicorn", "aiohttp", *(f"{app} {server}" for app in ("starlette", "django") for server in SERVERS)]
WITHIN = 8.0
"""Seconds after which the streams of browsers that left are closed: two, and more where the processor is busy."""


def event(text: str) -> bytes:
    return http_chunk(sse({"data": [{"id": "data_0", "index": 0, "output": text, "finish_reason": None}]}))


SILENT: tuple[Step, ...] = (STREAM_HEAD, event("a"), Action.WAIT)
BUSY: tuple[Step, ...] = (STREAM_HEAD, *(step for _ in range(300) for step in (event("a"), 0.2)))
LARGE: tuple[Step, ...] = (STREAM_HEAD, *[event("a" * 500_000)] * 12, Action.WAIT)
"""More than the buffers of a connection hold."""


async def visit(address: tuple[str, int], path: str) -> socket.socket:
    """Request a page like a browser, and read the beginning of the response."""
    loop = asyncio.get_running_loop()
    browser = socket.socket()
    browser.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    browser.setblocking(False)
    await loop.sock_connect(browser, address)
    await loop.sock_sendall(browser, b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % path.encode())
    received = b""
    while b"a" not in received.partition(b"\r\n\r\n")[2]:
        data = await loop.sock_recv(browser, 1000)
        assert data, received
        received += data
    assert received.startswith(b"HTTP/1.1 200")
    return browser


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("app", APPS)
async def test_a_browser_that_leaves_ends_its_stream(app: str, loop: str, server: ScriptedServer) -> None:
    """One start of each program serves all checks: starting takes longer than checking."""
    framework, _, runner = app.partition(" ")
    module, port = f"tests.frameworks.{framework}_app", free_port()
    parts = SERVERS[runner] if runner else [module, "{port}", "{loop}"]
    command = [sys.executable, "-m", *(part.format(app=module, port=port, loop=loop) for part in parts)]
    env = os.environ | {"HUMANLOOP_BASE_URL": server.url, "HUMANLOOP_API_KEY": "hl_key"}
    left_open: dict[str, int] = {}
    with listening(command, port, cwd=ROOT, env=env):
        for view in VIEWS:
            visits = []
            for script, browsers in ((SILENT, 100), (BUSY, 100), (LARGE, 10)):
                server.add_script(*script)
                visits += [await visit(("127.0.0.1", port), f"/{view}") for _ in range(browsers)]
            await asyncio.sleep(0.3)
            assert server.open_connections == len(visits)
            for browser in visits:
                browser.close()
            left = time.monotonic()
            while server.open_connections and time.monotonic() < left + WITHIN:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.02)
            took = time.monotonic() - left
            print(f"{app} on {loop}, {view}: {server.open_connections} streams are open after {took:.2f} s")
            left_open[view] = server.open_connections
            await server.wait_until_closed()
    assert left_open == dict.fromkeys(VIEWS, 0)
