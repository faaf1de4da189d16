"""The environments of a server."""

from __future__ import annotations

import asyncio

import pytest

from humanloop_async.server.errors import ApiError
from humanloop_async.server.records.environments import Environments
from humanloop_async.server.settings import ServeError
from humanloop_async.server.storage.database import Database
from tests.server.served import on_both_databases

pytestmark = on_both_databases


async def names_and_ids(database: Database, environments: Environments) -> dict[str, str]:
    async with database.read() as connection:
        return {environment.name: environment.id for environment in await environments.all(connection)}


async def test_servers_that_start_together_create_each_environment_once(database: Database) -> None:
    opened = await asyncio.gather(*(Environments.open(database, names) for names in [("a", "b")] * 4 + [("b", "c")]))
    ids = [await names_and_ids(database, environments) for environments in opened]
    assert ids[0].keys() == {"a", "b", "c"}
    assert all(others == ids[0] for others in ids)
    assert opened[4].default.name == "b"
    for wrong in ((), ("a", "a"), ("",), ("x" * 256,)):
        with pytest.raises(ServeError, match="invalid environments"):
            await Environments.open(database, wrong)


async def test_environments_are_found_by_name_and_id(database: Database) -> None:
    environments = await Environments.open(database, ["live", "trial"])
    async with database.read() as connection:
        live, trial = await environments.all(connection)
        assert await environments.by_name(connection, None) is environments.default is live
        assert await environments.by_name(connection, "trial") is trial
        assert await environments.by_id(connection, trial.id) is trial
        assert [environment.tag for environment in (live, trial)] == ["default", "other"]
        with pytest.raises(ApiError, match="no environment 'x'; this server has 'live', 'trial'") as caught:
            await environments.by_name(connection, "x")
        assert caught.value.status == 404
        with pytest.raises(ApiError, match="no environment 'env_x'"):
            await environments.by_id(connection, "env_x")


async def test_an_environment_that_another_program_creates_is_found_at_once(database: Database) -> None:
    environments = await Environments.open(database, ["live"])
    other = await Environments.open(database, ["other", "live"])
    async with database.read() as connection:
        found = await environments.by_name(connection, "other")
        assert (found.id, found.tag) == (other.default.id, "other")
        assert await environments.by_id(connection, other.default.id) == found
        assert [environment.name for environment in await environments.all(connection)] == ["live", "other"]
        assert [environment.name for environment in await other.all(connection)] == ["other", "live"]
