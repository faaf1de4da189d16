"""The embedded server: the place of its database, its address, and its end."""

from __future__ import annotations

import os
import socket
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from humanloop_async.server import EmbeddedServer, ServerSettings
from humanloop_async.server.storage.errors import DatabaseError
from tests.server.served import CHAT, events_of, with_config


async def test_an_embedded_server_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with EmbeddedServer() as server:
        async with aiohttp.ClientSession(headers={"X-API-KEY": server.api_key}) as session:
            for path in ("/health", "/ready"):
                async with session.get(server.base_url.removesuffix("/v4") + path) as response:
                    assert response.status == 200
            async with session.post(server.base_url + "/chat", json=CHAT) as response:
                assert response.status == 200
        [folder] = os.listdir(tmp_path)
        assert "humanloop.db" in os.listdir(tmp_path / folder)
    assert os.listdir(tmp_path) == []
    async with EmbeddedServer(api_key="my key") as other:
        assert other.api_key == "my key"
        assert other.base_url.startswith("http://127.0.0.1:")


async def test_an_embedded_server_uses_its_settings(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    settings = ServerSettings(host="127.0.0.2", port=port, database=str(tmp_path / "my.db"), shutdown_timeout=10)
    slow = with_config(CHAT, max_tokens=4, other={"tokens_per_second": 10})
    async with aiohttp.ClientSession() as session:
        async with EmbeddedServer(settings=settings) as server:
            assert server.base_url == f"http://127.0.0.2:{port}/v4"
            url, headers = server.base_url + "/chat", {"X-API-KEY": server.api_key}
            response = await session.post(url, json={**slow, "stream": True}, headers=headers)
        assert len([event async for event in events_of(response)]) == 4
    with closing(sqlite3.connect(tmp_path / "my.db")) as connection:
        assert connection.execute("SELECT status FROM logs").fetchall() == [("complete",)]
    async with EmbeddedServer(database=tmp_path / "other.db", settings=settings):
        assert (tmp_path / "other.db").exists()


async def test_a_database_that_cannot_be_opened_is_an_error_on_entering(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError):
        async with EmbeddedServer(database=tmp_path):
            pass
