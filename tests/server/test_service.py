"""Admission of generations, and the first key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from humanloop_async.server.service import Service
from humanloop_async.server.settings import ServerSettings
from humanloop_async.server.storage.database import Database
from humanloop_async.server.storage.keys import count_keys
from tests.server.served import CHAT, error_message, with_config


async def test_too_many_generations_at_once_are_429_with_retry_after(start: Callable[..., Any]) -> None:
    async with start(max_generations=1) as api:
        slow = with_config(CHAT, other={"tokens_per_second": 5})
        async with api.opened("/chat", slow) as running:
            assert await running.content.readany()
            async with api.session.post(api.server.base_url + "/chat", json=CHAT) as response:
                assert response.status == 429
                assert int(response.headers["Retry-After"]) >= 1
                error_message(await response.json(), 429)
            assert await running.read()
        assert (await api.post("/chat", CHAT))[0] == 200


async def test_a_failure_at_the_end_keeps_the_first_key(database_address: str) -> None:
    running = Service(ServerSettings(database=database_address)).run()
    await anext(running)
    with pytest.raises(OSError, match="the disk is gone"):
        await running.athrow(OSError("the disk is gone"))
    database = await Database.open(database_address)
    async with database.read() as connection:
        assert await count_keys(connection) == 1
    await database.aclose()
