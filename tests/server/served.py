"""A server under test: plain HTTP to it, and its SQLite file from outside."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp

from humanloop_async.server.embedded import EmbeddedServer

CHAT: dict[str, Any] = {
    "project": "greeter",
    "messages": [{"role": "user", "content": "Hello"}],
    "model_config": {"provider": "mock", "model": "words", "max_tokens": 5},
}
COMPLETION: dict[str, Any] = {
    "project": "greeter",
    "inputs": {"name": "Ada"},
    "model_config": {"provider": "mock", "model": "words", "max_tokens": 5, "prompt_template": "Greet {{ name }}"},
}


def with_config(call: dict[str, Any], **config: Any) -> dict[str, Any]:
    """A call with parts of its model config replaced; None removes one."""
    merged = {**call["model_config"], **config}
    return {**call, "model_config": {name: value for name, value in merged.items() if value is not None}}


class Api:
    """A server, and a session that holds its key."""

    def __init__(self, server: EmbeddedServer, session: aiohttp.ClientSession, path: Path) -> None:
        self.server, self.session, self.path = server, session, path

    async def post(self, path: str, body: object) -> tuple[int, Any]:
        """Status and decoded JSON."""
        async with self.session.post(self.server.base_url + path, json=body) as response:
            assert response.headers["Content-Type"] == "application/json"
            return response.status, await response.json()

    @asynccontextmanager
    async def opened(self, path: str, body: dict[str, Any]) -> AsyncGenerator[aiohttp.ClientResponse]:
        """The response of a streaming call, its body still to be read."""
        async with self.session.post(self.server.base_url + path, json={**body, "stream": True}) as response:
            yield response

    async def stream(self, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        """All events of a streaming call, which must succeed."""
        async with self.opened(path, body) as response:
            assert response.status == 200
            return [event async for event in events_of(response)]

    def rows(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        """What another process would read from the database now."""
        with closing(sqlite3.connect(self.path)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, parameters)]

    def logs(self) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM logs ORDER BY rowid")


async def events_of(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """The events of a stream, as they arrive; comments are skipped."""
    buffer = b""
    async for piece in response.content.iter_any():
        buffer += piece
        *whole, buffer = buffer.split(b"\n\n")
        for event in whole:
            if event.startswith(b"data: "):
                yield json.loads(event.removeprefix(b"data: "))
    assert buffer == b""
