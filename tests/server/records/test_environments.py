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


async def test_servers_that_start_together_create_each_environment_once(database: Database) -> None:
    opened = await asyncio.gather(*(Environments.open(database, names) for names in [("a", "b")] * 4 + [("b", "c")]))
    ids = [{environment.name: environment.id for environment in environments} for environments in opened]
    assert ids[0] == ids[1] == ids[2] == ids[3]
    assert ids[4]["b"] == ids[0]["b"]
    assert opened[4].default.name == "b"
    for wrong in ((), ("a", "a"), ("",), ("x" * 256,)):
        with pytest.raises(ServeError, match="invalid environments"):
            await Environments.open(database, wrong)


async def test_environments_are_found_by_name_and_id(database: Database) -> None:
    environments = await Environments.open(database, ["live", "trial"])
    live, trial = environments
    assert environments.by_name(None) is environments.default is live
    assert environments.by_name("trial") is environments.by_id(trial.id) is trial
    assert [environment.tag for environment in environments] == ["default", "other"]
    with pytest.raises(ApiError, match="no environment 'x'; this server has 'live', 'trial'") as caught:
        environments.by_name("x")
    assert caught.value.status == 404
    with pytest.raises(ApiError, match="no environment 'env_x'"):
        environments.by_id("env_x")
