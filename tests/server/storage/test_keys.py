"""API keys: stored as digests, and revoked at once, also on running servers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from humanloop_async.server.running.embedded import EmbeddedServer
from humanloop_async.server.settings import ServeError
from humanloop_async.server.storage.database import Database
from humanloop_async.server.storage.keys import add_key, count_keys, generate_key, list_keys, revoke_key, valid_key_id
from humanloop_async.server.storage.schema import api_keys
from tests.server.served import CHAT, Api, on_both_databases

pytestmark = on_both_databases


async def status(api: Api, key: str, path: str = "/chat") -> int:
    async with api.session.post(api.server.base_url + path, json=CHAT, headers={"X-API-KEY": key}) as response:
        return response.status


async def test_a_running_server_accepts_a_new_key_and_rejects_it_once_it_is_revoked(
    api: Api, database: Database
) -> None:
    key = generate_key()
    assert await status(api, key) == 401
    async with database.write() as connection:
        await add_key(connection, key, "Ada")
        key_id = await valid_key_id(connection, key)
    assert key_id is not None
    assert await status(api, key) == 200
    async with database.write() as connection:
        assert await revoke_key(connection, key_id)
    for path in ("/chat", "/sessions"):
        assert await status(api, key, path) == 401
    assert await status(api, api.server.api_key) == 200


async def test_stored_values_are_not_accepted_as_keys(api: Api) -> None:
    (row,) = api.rows("SELECT * FROM api_keys")
    assert api.server.api_key not in str(row)
    for stored in (row["digest"], row["id"], api.server.api_key[:-1], api.server.api_key.upper(), "é"):
        assert await status(api, stored) == 401


async def test_keys_are_stored_as_digests_and_checked_until_they_are_revoked(database: Database) -> None:
    key = generate_key()
    async with database.write() as connection:
        assert await count_keys(connection) == 0
        await add_key(connection, key, "first")
        await add_key(connection, key, "again")
        assert await count_keys(connection) == 1
        assert await valid_key_id(connection, key)
        assert not await valid_key_id(connection, key + "x")
        rows = (await connection.execute(select(api_keys))).all()
        assert len(rows) == 1
        assert key not in str(rows)
        await connection.execute(api_keys.update().values(revoked_at=datetime.now(UTC)))
        assert not await valid_key_id(connection, key)
        assert await count_keys(connection) == 0


async def test_the_list_shows_each_key_and_when_it_was_revoked(database: Database) -> None:
    async with database.write() as connection:
        for name in ("first", "second", ""):
            await add_key(connection, generate_key(), name)
        keys = await list_keys(connection)
        assert [(key.name, key.revoked_at) for key in keys] == [("first", None), ("second", None), ("", None)]
        assert await revoke_key(connection, keys[1].id)
        assert not await revoke_key(connection, keys[1].id)
        assert not await revoke_key(connection, "key_unknown")
        revoked = (await list_keys(connection))[1]
    assert (revoked.id, revoked.name) == (keys[1].id, "second")
    assert revoked.revoked_at is not None
    assert revoked.revoked_at > revoked.created_at


async def test_a_server_does_not_start_with_a_revoked_key(start: Callable[..., Any], database: Database) -> None:
    async with start(api_key="a revoked key"):
        pass
    async with database.write() as connection:
        key_id = await valid_key_id(connection, "a revoked key", "a revoked key")
        assert key_id is not None
        await revoke_key(connection, key_id)
    with pytest.raises(ServeError, match="has been revoked"):
        async with start(api_key="a revoked key"):
            pass


async def test_a_key_from_the_environment_is_valid_only_on_servers_that_have_it(
    start: Callable[..., Any], database: Database
) -> None:
    """Servers that share a database may have different ones while an operator replaces the key."""
    async with start(api_key="old") as before, start(api_key="new") as after:
        assert [await status(before, key) for key in ("old", "new")] == [200, 401]
        assert [await status(after, key) for key in ("old", "new")] == [401, 200]
        async with database.write() as connection:
            assert await count_keys(connection) == 0
            await add_key(connection, "everywhere", "Ada")
        assert [await status(api, "everywhere") for api in (before, after)] == [200, 200]
    async with start(api_key="everywhere"):
        pass
    async with start(api_key="new") as later:
        assert await status(later, "everywhere") == 200


async def test_the_last_use_of_a_key_is_stored(start: Callable[..., Any], database: Database) -> None:
    async with database.write() as connection:
        await add_key(connection, "used", "Ada")
        await add_key(connection, "unused", "Bob")
    before = datetime.now(UTC)
    async with start() as api:
        assert await status(api, "used") == 200
    async with database.read() as connection:
        used, unused, _ = await list_keys(connection)
    assert used.last_used_at is not None
    assert before <= used.last_used_at <= datetime.now(UTC)
    assert unused.last_used_at is None


async def test_keys_of_another_database_are_unknown(api: Api, tmp_path: Any) -> None:
    async with EmbeddedServer(database=tmp_path / "other.db") as other:
        assert await status(api, other.api_key) == 401
