"""Writers of the same rows on PostgreSQL: they cause no deadlocks, and survive those that others cause."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any

import asyncpg
import pytest

from humanloop_async.server.generation.log_writer import ClaimTaken, LogWriter
from humanloop_async.server.ids import new_id
from humanloop_async.server.storage.database import Database
from humanloop_async.server.storage.idempotency import Claim
from humanloop_async.server.storage.logs import NewLog
from humanloop_async.server.storage.projects import add_project
from tests.server.served import Api, rows

ROUNDS, CALLS, PROJECTS = 60, 40, 40


@pytest.fixture
def database_kind() -> str:
    return "postgresql"


@pytest.fixture
async def projects(database: Database) -> list[str]:
    """The ids of projects, in order."""
    async with database.write() as connection:
        return sorted([str(await add_project(connection, str(number))) for number in range(PROJECTS)])


def new_log(writer: LogWriter, project_id: str) -> NewLog:
    return NewLog(
        id=new_id("data"),
        project_id=project_id,
        config_id=None,  # type: ignore[arg-type]
        session_id=None,
        parent_id=None,
        owner=writer.owner,
        save=True,
    )


@pytest.mark.parametrize("claimed", [False, True])
async def test_two_servers_that_write_the_same_rows_in_opposite_order_do_not_deadlock(
    database_address: str, projects: list[str], claimed: bool
) -> None:
    async with AsyncExitStack() as stack:
        writers: list[LogWriter] = []
        for _ in range(2):
            database = await Database.open(database_address, migrate=False)
            stack.push_async_callback(database.aclose)
            writers.append(await stack.enter_async_context(LogWriter(database)))

        async def write(writer: LogWriter, order: int) -> int:
            rejected = 0
            for number in range(ROUNDS):
                claims = [_claim(writer, f"{number} {call}") if claimed else None for call in range(CALLS)]
                started = [
                    await writer.begin([new_log(writer, project)], claim)
                    for project, claim in [*zip(cycle(projects), claims, strict=False)][::order]
                ]
                for future in started:
                    await asyncio.wait([future])
                    rejected += isinstance(future.exception(), ClaimTaken)
            return rejected

        rejected = await asyncio.gather(write(writers[0], 1), write(writers[1], -1))
    written = 2 * CALLS * ROUNDS - sum(rejected)
    assert written == CALLS * ROUNDS * (1 if claimed else 2)  # each claim is inserted once
    assert rows(database_address, "SELECT sum(count) AS n FROM log_counts") == [{"n": written}]
    assert rows(database_address, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [
        {"deadlocks": 0}
    ]


def _claim(writer: LogWriter, id: str) -> Claim:
    return Claim(id=id, fingerprint="f", owner=writer.owner, expires_at=datetime.now(UTC) + timedelta(days=1))


async def test_a_log_that_is_rolled_back_because_of_a_deadlock_is_written_again(
    database: Database, projects: list[str], database_address: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with LogWriter(database) as writer:
        projects = projects[-2:]
        for project_id in projects:
            await (await writer.begin([new_log(writer, project_id)]))

        async def write() -> None:
            await (await writer.begin([new_log(writer, project_id) for project_id in projects]))

        await cause_deadlock(database_address, projects, write)
    assert rows(database_address, "SELECT count FROM log_counts") == [{"count": 2}] * 2
    assert caplog.text == ""


async def test_a_call_that_is_rolled_back_because_of_a_deadlock_runs_again(api: Api) -> None:
    body = [{"project": name, "config": {"model": "m"}} for name in ("one", "two")]
    _, created = await api.post("/logs", body)
    projects = sorted(log["project_id"] for log in created)
    responses: list[Any] = []

    async def post() -> None:
        url, headers = api.server.base_url + "/logs", {"Idempotency-Key": "k"}
        async with api.session.post(url, json=body, headers=headers) as response:
            responses.append((response.status, await response.json()))

    await cause_deadlock(api.database, projects, post)
    ((status, logs),) = responses
    assert (status, sorted(log["project_id"] for log in logs)) == (200, projects)
    assert len(api.logs()) == 4


async def cause_deadlock(address: str, projects: list[str], write: Callable[[], Awaitable[None]]) -> None:
    """Make a writer wait for a row that we locked, then wait for its row: PostgreSQL rolls the writer back."""
    ours = await asyncpg.connect(address)
    touch = "UPDATE log_counts SET count = count WHERE project_id = $1"
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    try:
        async with ours.transaction():
            await ours.execute(touch, projects[1])
            writing = asyncio.ensure_future(write())
            async with asyncio.timeout(10):
                while not rows(address, waiting)[0]["count"]:  # noqa: ASYNC110 - PostgreSQL sends no notification
                    await asyncio.sleep(0.01)
            await ours.execute(touch, projects[0])
        await writing
    finally:
        await ours.close()
