"""A server under test, called by plain HTTP, and read access to its database."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from humanloop_async.server.running.embedded import EmbeddedServer
from tests.postgres import fetch

on_both_databases = pytest.mark.parametrize("database_kind", ["sqlite", "postgresql"])
"""Mark of a test or a module: run with SQLite and with PostgreSQL."""

hangup = pytest.param(
    signal.SIGHUP,
    marks=pytest.mark.skipif(
        signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, reason="not applicable: SIGHUP is ignored, as under nohup"
    ),
)
"""Parameter for tests of signals: SIGHUP, which a closing terminal sends."""

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
    """Return a call with fields of its model config replaced; None removes a field."""
    merged = {**call["model_config"], **config}
    return {**call, "model_config": {name: value for name, value in merged.items() if value is not None}}


def error_message(body: Any, status: int, origin: str = "Humanloop") -> str:
    """Check an error response and return its message."""
    detail = body["detail"]
    assert detail.keys() == {"type", "message", "code", "origin"}
    assert (detail["code"], detail["origin"]) == (status, origin)
    return str(detail["message"])


class Api:
    """A server, and an HTTP session that sends its key."""

    def __init__(self, server: EmbeddedServer, session: aiohttp.ClientSession, database: str | Path) -> None:
        self.server, self.session, self.database = server, session, str(database)

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return Path(self.database)

    async def post(self, path: str, body: object) -> tuple[int, Any]:
        """Send a POST and return the status and the decoded JSON."""
        async with self.session.post(self.server.base_url + path, json=body) as response:
            assert response.headers["Content-Type"] == "application/json"
            return response.status, await response.json()

    async def call(self, method: str, path: str, body: object = None, query: Any = None) -> tuple[int, Any]:
        """Send a request and return the status and the decoded JSON, or None for 204."""
        url = self.server.base_url + path
        async with self.session.request(method, url, json=body, params=query) as response:
            return response.status, None if response.status == 204 else await response.json()

    @asynccontextmanager
    async def opened(self, path: str, body: dict[str, Any]) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Send a streaming call and provide the response, with its body unread."""
        async with self.session.post(self.server.base_url + path, json={**body, "stream": True}) as response:
            yield response

    async def stream(self, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        """Return all events of a streaming call, which must succeed."""
        async with self.opened(path, body) as response:
            assert response.status == 200
            return [event async for event in events_of(response)]

    def rows(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        """Query the database from outside the server."""
        return rows(self.database, sql, *parameters)

    def logs(self) -> list[dict[str, Any]]:
        """Return all logs, in the order of their creation."""
        order = "created_at" if is_postgres(self.database) else "rowid"
        return self.rows(f"SELECT * FROM logs ORDER BY {order}")  # noqa: S608 - one of these two


def is_postgres(address: str) -> bool:
    return address.startswith("postgresql://")


def rows(address: str, sql: str, *parameters: object) -> list[dict[str, Any]]:
    """Execute a statement, with ``?`` for each parameter, from outside the server, and return its rows."""
    if is_postgres(address):
        numbers = count(1)
        return fetch(address, "".join(f"${next(numbers)}" if c == "?" else c for c in sql), parameters)
    with closing(sqlite3.connect(address)) as connection, connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(sql, parameters)]


@contextmanager
def read_only(address: str) -> Iterator[None]:
    """Keep the server from writing to the database inside the block."""
    if not is_postgres(address):
        with closing(sqlite3.connect(address, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
        return
    name = address.rpartition("/")[2]
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ? AND pid <> pg_backend_pid()"
    postgres = f"{address.removesuffix(name)}postgres"
    for state in ("on", "off"):
        rows(postgres, f"ALTER DATABASE {name} SET default_transaction_read_only = {state}")
        rows(postgres, others, name)
        if state == "on":
            yield


async def events_of(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """Yield the events of a stream as they arrive; comments are skipped."""
    buffer = b""
    async for data in response.content.iter_any():
        buffer += data
        *complete, buffer = buffer.split(b"\n\n")
        for event in complete:
            if event.startswith(b"data: "):
                yield json.loads(event.removeprefix(b"data: "))
    assert buffer == b""
